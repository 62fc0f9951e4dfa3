"""Small programs, one for each operator, for the tests of the ONNX exports."""

from __future__ import annotations

from typing import Any

import numpy as np

from horizon.hbir.fixed_point import LIMITS, align_ratios, quantize_ratios
from horizon.hbir.graph import Graph, verify
from horizon.hbir.node import Node, TensorInfo

Shape = tuple[int, int, int, int]


def tensor(name: str, shape: Shape, dtype: str = "int8", *scales: float) -> TensorInfo:
    return TensorInfo(name, shape, dtype, scales or (1 / 64,))


def program(tensors: list[TensorInfo], *nodes: Node, outputs: tuple[str, ...] = ()) -> Graph:
    """A verified program; its inputs are the tensors that no node makes."""
    made = [node.output for node in nodes]
    graph = Graph(
        "test",
        {info.name: info for info in tensors},
        tuple(nodes),
        tuple(info.name for info in tensors if info.name not in made),
        outputs or (made[-1],),
        {},
    )
    verify(graph)
    return graph


def limits(dtype: str, relu: bool = False) -> dict[str, int]:
    low, high = LIMITS[dtype]
    return {"lo": 0 if relu else low, "hi": high}


def conv(
    rng: np.random.Generator,
    x: TensorInfo,
    output: TensorInfo,
    kernel: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    residual: TensorInfo | None = None,
    relu: bool = False,
    extreme: bool = False,
    transposed: bool = False,
    name: str = "conv",
    end_padding: tuple[int, int] | None = None,
    output_padding: tuple[int, int] | None = None,
) -> Node:
    """A convolution that reads ``x``; the scale of its weights makes the output's range fit."""
    channels, inputs = output.shape[3], x.shape[3] // groups
    shape = (channels, *kernel, inputs)
    if extreme:
        weight = rng.choice([-127, 127], shape)
    else:
        weight = rng.integers(-127, 127, shape, endpoint=True)
    reach = {"int8": 64, "int16": 16000, "int32": 1 << 20}
    spread = 75 * reach[x.dtype] * np.sqrt(np.prod(shape[1:]))
    ratios = reach[output.dtype] / spread * rng.uniform(0.3, 3, channels)
    multiplier, shift = quantize_ratios(ratios, name)
    if residual is not None:
        scale = np.full(channels, residual.scales[0] / output.scales[0])
        multiplier, residual_multiplier, shift = align_ratios(ratios, scale, name)
    attributes: dict[str, Any] = {
        "weight": weight.astype(np.int8),
        "bias": rng.integers(-1000, 1000, channels).astype(np.int32),
        "stride": stride,
        "padding": padding,
        "multiplier": multiplier,
        "shift": shift,
        **limits(output.dtype, relu),
    }
    if not transposed:
        attributes["dilation"] = dilation
    if not transposed or groups > 1:
        attributes["groups"] = groups
    if output_padding is not None:
        attributes["output_padding"] = output_padding
    if end_padding is not None:
        attributes["end_padding"] = end_padding
    inputs_ = [x.name]
    if residual is not None:
        inputs_.append(residual.name)
        attributes["residual_multiplier"] = residual_multiplier
    op = "conv_transpose2d" if transposed else "conv2d"
    return Node(op, name, tuple(inputs_), output.name, attributes)


def convolution(
    rng: np.random.Generator,
    shape: Shape = (1, 5, 7, 3),
    channels: int = 4,
    dtypes: tuple[str, str] = ("int8", "int8"),
    residual: str | None = None,
    scales: tuple[float, ...] = (),
    **values: Any,
) -> Graph:
    """One conv2d or conv_transpose2d, with every size of its output."""
    batch, height, width, _ = shape
    kernel = values.setdefault("kernel", (3, 3))
    stride = values.setdefault("stride", (1, 1))
    padding = values.setdefault("padding", (1, 1))
    dilation = values.get("dilation", (1, 1))
    sizes = []
    ends = values.get("end_padding", padding)
    more = values.get("output_padding", (0, 0))
    for side, k, s, p, d, e, m in zip(
        (height, width), kernel, stride, padding, dilation, ends, more, strict=True
    ):
        if values.get("transposed"):
            sizes.append((side - 1) * s - 2 * p + k + m)
        else:
            sizes.append((side + p + e - d * (k - 1) - 1) // s + 1)
    x = tensor("x", shape, dtypes[0], *scales)
    y = tensor("y", (batch, *sizes, channels), dtypes[1], 1 / 16)
    extra = [tensor("r", y.shape, residual, 1 / 23)] if residual else []
    node = conv(rng, x, y, residual=extra[0] if extra else None, **values)
    return program([x, *extra, y], node)


def raw_accumulators(rng: np.random.Generator) -> Graph:
    graph = convolution(rng, (1, 4, 6, 33), 5, ("int8", "int32"))
    (node,) = graph.nodes
    identity = {"multiplier": np.full(5, 1 << 23), "shift": np.full(5, 23)}
    node = Node(node.op, node.name, node.inputs, node.output, node.attributes | identity)
    y = tensor("y", (1, 4, 6, 5), "int32", *rng.uniform(0.001, 0.002, 5))
    return program([graph.tensors["x"], y], node)


def correlation(
    shape: Shape, reach: int, relu: bool = False, dtypes: tuple[str, str] = ("int8", "int8")
) -> Graph:
    a, b = tensor("a", shape, dtypes[0]), tensor("b", shape, dtypes[1], 1 / 50)
    y = tensor("y", (*shape[:3], (2 * reach + 1) ** 2), "int8", 1 / 8)
    ratio = 1 / 64 / 50 * 8 / shape[3]
    (multiplier,), (shift,) = quantize_ratios(np.array([ratio]), "correlation")
    attributes = {"multiplier": int(multiplier), "shift": int(shift), "max_displacement": reach}
    node = Node("correlation", "cost", ("a", "b"), "y", attributes | limits("int8", relu))
    return program([a, b, y], node)


def warp(shape: Shape, dtype: str = "int8", pixels: float = 1 / 700) -> Graph:
    """``pixels`` is the size of one step of the offset."""
    feature = tensor("feature", shape, dtype)
    offset = tensor("offset", (*shape[:3], 2), "int16", 1 / 300)
    (multiplier,), (shift,) = quantize_ratios(np.array([pixels]), "warp")
    attributes = {"offset_multiplier": int(multiplier), "offset_shift": int(shift)}
    node = Node("warp", "warp", ("feature", "offset"), "y", attributes)
    return program([feature, offset, tensor("y", shape, dtype)], node)


def rescale(
    dtypes: tuple[str, str], multiplier: Any, shift: Any, relu: bool = False, **clamp: int
) -> Graph:
    shape = (2, 3, 4, 3)
    attributes = {"multiplier": multiplier, "shift": shift, **limits(dtypes[1], relu), **clamp}
    node = Node("rescale", "rescale", ("x",), "y", attributes)
    return program([tensor("x", shape, dtypes[0]), tensor("y", shape, dtypes[1])], node)


def addition(a: str, b: str, dtype: str) -> Graph:
    shape = (1, 3, 5, 3)
    attributes = {"multiplier_a": 9_000_001, "multiplier_b": 3_000_007, "shift": 24}
    node = Node("add", "sum", ("a", "b"), "y", attributes | limits(dtype))
    y = tensor("y", shape, dtype, 1 / 128)
    return program([tensor("a", shape, a), tensor("b", shape, b, 1 / 30), y], node)


def concat_and_slice(rng: np.random.Generator) -> Graph:
    """Both halves of a batch, joined by channel with another scale, into a convolution."""
    pair = tensor("pair", (2, 4, 5, 3), "int8", 1 / 50)
    other = tensor("other", (1, 4, 5, 2), "int8", 1 / 9)
    first, second = (tensor(name, (1, 4, 5, 3), "int8", 1 / 50) for name in ("first", "second"))
    joined = tensor("joined", (1, 4, 5, 8), "int8", *[1 / 50] * 6, *[1 / 9] * 2)
    part = tensor("part", (1, 4, 5, 4), "int8", *[1 / 50] * 2, *[1 / 9] * 2)
    twice = tensor("twice", (2, 4, 5, 4), "int8", *[1 / 50] * 2, *[1 / 9] * 2)
    y = tensor("y", (2, 4, 5, 3), "int8", 1 / 16)
    return program(
        [pair, other, first, second, joined, part, twice, y],
        Node("slice", "s0", ("pair",), "first", {"axis": 0, "start": 0, "stop": 1}),
        Node("slice", "s1", ("pair",), "second", {"axis": 0, "start": 1, "stop": 2}),
        Node("concat", "join", ("first", "second", "other"), "joined", {"axis": 3}),
        Node("slice", "s2", ("joined",), "part", {"axis": 3, "start": 4, "stop": 8}),
        Node("concat", "stack", ("part", "part"), "twice", {"axis": 0}),
        conv(rng, twice, y),
        outputs=("y", "twice", "joined"),
    )


def small_network(rng: np.random.Generator, height: int = 8, width: int = 12) -> Graph:
    """Pyramid, cost volume, estimator with a dense block, upsampling and warp, in small."""
    img = tensor("img", (1, height, width, 6), "int8", 1 / 128)
    sides = (height // 2, width // 2)
    tensors = [img]

    def make(name: str, batch: int, size: tuple[int, int], channels: int, *rest: Any) -> TensorInfo:
        tensors.append(tensor(name, (batch, *size, channels), *rest))
        return tensors[-1]

    first = make("image1", 1, (height, width), 3, "int8", 1 / 128)
    second = make("image2", 1, (height, width), 3, "int8", 1 / 128)
    both = make("both", 2, (height, width), 3, "int8", 1 / 128)
    features = make("features", 2, sides, 8)
    one, two = make("f1", 1, sides, 8), make("f2", 1, sides, 8)
    cost = make("cost", 1, sides, 25, "int8", 1 / 32)
    joined = make("joined", 1, sides, 33, "int8", *[1 / 32] * 25, *[1 / 64] * 8)
    flow = make("flow", 1, sides, 2, "int16", 1 / 512)
    warped = make("warped", 1, sides, 8)
    refined = make("refined", 1, sides, 2, "int16", 1 / 512)
    large = make("large", 1, (height, width), 2, "int32", 1e-5, 2e-5)
    (multiplier,), (shift,) = quantize_ratios(np.array([32 / 64 / 64 / 8]), "cost")
    return program(
        tensors,
        Node("slice", "image1", ("img",), first.name, {"axis": 3, "start": 0, "stop": 3}),
        Node("slice", "image2", ("img",), second.name, {"axis": 3, "start": 3, "stop": 6}),
        Node("concat", "batch", (first.name, second.name), both.name, {"axis": 0}),
        conv(rng, both, features, stride=(2, 2), relu=True, name="down"),
        Node("slice", "f1", (features.name,), one.name, {"axis": 0, "start": 0, "stop": 1}),
        Node("slice", "f2", (features.name,), two.name, {"axis": 0, "start": 1, "stop": 2}),
        Node(
            "correlation",
            "correlation",
            (one.name, two.name),
            cost.name,
            {
                "max_displacement": 2,
                "multiplier": int(multiplier),
                "shift": int(shift),
                **limits("int8", True),
            },
        ),
        Node("concat", "dense", (cost.name, one.name), joined.name, {"axis": 3}),
        conv(rng, joined, flow, name="predict"),
        Node(
            "warp",
            "warp",
            (two.name, flow.name),
            warped.name,
            {"offset_multiplier": 1 << 23, "offset_shift": 36},
        ),
        conv(rng, warped, refined, residual=flow, name="refine"),
        conv(
            rng,
            refined,
            large,
            kernel=(4, 4),
            stride=(2, 2),
            transposed=True,
            name="up",
        ),
    )
