"""Small programs for the tests of the reference executor."""

from __future__ import annotations

from typing import Any

import numpy as np

from horizon.hbir.fixed_point import LIMITS
from horizon.hbir.graph import Graph
from horizon.hbir.node import Node, TensorInfo

# The smallest multiplier; with shift 23, the identity.
ONE = 1 << 23


def tensor(name: str, shape: Any, dtype: str = "int8", *scales: float) -> TensorInfo:
    return TensorInfo(name, shape, dtype, scales or (1 / 64,))


def one_node(
    op: str, inputs: list[TensorInfo], output: TensorInfo, attributes: dict[str, Any]
) -> Graph:
    names = tuple(info.name for info in inputs)
    node = Node(op, "layer", names, output.name, attributes)
    tensors = {info.name: info for info in (*inputs, output)}
    return Graph("test", tensors, (node,), names, (output.name,), {})


def random_values(rng: np.random.Generator, info: TensorInfo) -> np.ndarray:
    return rng.integers(*LIMITS[info.dtype], info.shape, endpoint=True)


def extremes(rng: np.random.Generator, info: TensorInfo) -> np.ndarray:
    return rng.choice(LIMITS[info.dtype], info.shape)


def conv_attributes(
    rng: np.random.Generator,
    op: str,
    weight: tuple[int, ...],
    out: str,
    residual: bool,
    **values: Any,
) -> dict[str, Any]:
    """Half of the weights are +-127; outputs of int8 and int16 are partly saturated."""
    channels = weight[0]
    numbers = rng.integers(-127, 128, weight)
    numbers = np.where(rng.random(weight) < 0.5, rng.choice([-127, 127], weight), numbers)
    low, high = LIMITS[out]
    shift = {"int8": 33, "int16": 26, "int32": 23}[out]
    attributes = {
        "weight": numbers.astype(np.int8),
        "bias": rng.integers(-5000, 5001, channels).astype(np.int32),
        "stride": (1, 1),
        "padding": (1, 1),
        "multiplier": rng.integers(ONE, 2 * ONE, channels),
        "shift": rng.integers(shift, shift + 3, channels),
        "lo": 0 if out == "int8" else low,
        "hi": high,
        **values,
    }
    if op == "conv2d":
        attributes = {"dilation": (1, 1), "groups": 1} | attributes
    if residual:
        attributes["residual_multiplier"] = rng.integers(0, 2 * ONE, channels)
    return attributes


def conv_program(
    op: str, shape: Any, attributes: dict[str, Any], dtype: str, out: str, residual: str | None
) -> Graph:
    n, h, w, _ = shape
    channels, kh, kw, _ = attributes["weight"].shape
    sides = []
    for axis, (side, kernel) in enumerate(((h, kh), (w, kw))):
        stride, padding = attributes["stride"][axis], attributes["padding"][axis]
        if op == "conv2d":
            reach = attributes["dilation"][axis] * (kernel - 1) + 1
            end = attributes.get("end_padding", attributes["padding"])[axis]
            sides.append((side + padding + end - reach) // stride + 1)
        else:
            more = attributes.get("output_padding", (0, 0))[axis]
            sides.append((side - 1) * stride - 2 * padding + kernel + more)
    y = tensor("y", (n, *sides, channels), out)
    inputs = [tensor("x", shape, dtype)]
    if residual:
        inputs.append(tensor("residual", y.shape, residual))
    return one_node(op, inputs, y, attributes)


def pyramid() -> Graph:
    """Two images in, stacked, convolved, taken apart, compared, warped and joined again."""
    rng = np.random.default_rng(0)
    t = [
        tensor("img", (1, 8, 12, 6), "int8", 1 / 128),
        tensor("one", (1, 8, 12, 3), "int8", 1 / 128),
        tensor("two", (1, 8, 12, 3), "int8", 1 / 128),
        tensor("both", (2, 8, 12, 3), "int8", 1 / 128),
        tensor("features", (2, 4, 6, 5)),
        tensor("f1", (1, 4, 6, 5)),
        tensor("f2", (1, 4, 6, 5)),
        tensor("cost", (1, 4, 6, 9), "int8", 1 / 32),
        tensor("dense", (1, 4, 6, 14), "int8", *[1 / 32] * 9, *[1 / 64] * 5),
        tensor("flow", (1, 4, 6, 2), "int16", 0.001),
        tensor("warped", (1, 4, 6, 5)),
        tensor("out", (1, 8, 12, 2), "int32", 1e-5, 2e-5),
    ]
    down = conv_attributes(rng, "conv2d", (5, 3, 3, 3), "int8", False, stride=(2, 2))
    predict = conv_attributes(rng, "conv2d", (2, 3, 3, 14), "int16", False)
    up = conv_attributes(rng, "conv_transpose2d", (2, 4, 4, 5), "int32", False, stride=(2, 2))
    ratio = {"multiplier": 9_000_000, "shift": 33, "lo": 0, "hi": 127}
    nodes = (
        Node("slice", "s1", ("img",), "one", {"axis": 3, "start": 0, "stop": 3}),
        Node("slice", "s2", ("img",), "two", {"axis": 3, "start": 3, "stop": 6}),
        Node("concat", "stack", ("one", "two"), "both", {"axis": 0}),
        Node("conv2d", "down.0", ("both",), "features", down),
        Node("slice", "s3", ("features",), "f1", {"axis": 0, "start": 0, "stop": 1}),
        Node("slice", "s4", ("features",), "f2", {"axis": 0, "start": 1, "stop": 2}),
        Node("correlation", "corr", ("f1", "f2"), "cost", {"max_displacement": 1, **ratio}),
        Node("concat", "cat", ("cost", "f1"), "dense", {"axis": 3}),
        Node("conv2d", "predict", ("dense",), "flow", predict),
        Node(
            "warp", "warp", ("f2", "flow"), "warped", {"offset_multiplier": ONE, "offset_shift": 33}
        ),
        Node("conv_transpose2d", "up", ("warped",), "out", up),
    )
    return Graph(
        "pyramid", {i.name: i for i in t}, nodes, ("img",), ("out", "flow"), {"size_multiple": 4}
    )
