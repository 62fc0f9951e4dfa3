"""What both ONNX exports share: a graph builder, files, sessions and the band of a cost volume."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from horizon.errors import InputError
from horizon.files import atomic_path
from horizon.hbir.fixed_point import LIMITS
from horizon.hbir.graph import Graph, Node, TensorInfo
from horizon.hbir.reference import run

# A graph's axis (NHWC) as an axis of the ONNX file (NCHW).
NCHW_AXIS = {0: 0, 3: 1, 1: 2, 2: 3}
ELEMENT_TYPE = {np.dtype(name): helper.np_dtype_to_tensor_dtype(np.dtype(name)) for name in (
    "uint8", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32"
)}  # fmt: skip


class Builder:
    """Collects the nodes and constants of one ONNX graph.

    Attributes:
        layer: prefix of the names of the nodes and tensors that are added next.
    """

    def __init__(self) -> None:
        self.layer = ""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: str | np.dtype) -> str:
        """Name of a constant; equal constants are stored once."""
        array = np.ascontiguousarray(np.asarray(value).astype(dtype))
        array = array.reshape(np.shape(value))
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = f"constant_{len(self.constants)}"
            self.initializers.append(numpy_helper.from_array(array, self.constants[key]))
        return self.constants[key]

    def sizes(self, *values: int) -> str:
        """Name of a constant int64 vector: a shape, axes, pads or positions."""
        return self.constant(np.array(values, np.int64), "int64")

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Append a node with one output and return the output's name."""
        name = f"{self.layer}/{operator}_{len(self.nodes)}"
        result = output or name
        self.nodes.append(
            helper.make_node(operator, list(inputs), [result], name=name, **attributes)
        )
        return result

    def cast(self, value: str, dtype: str, output: str | None = None) -> str:
        """Append a conversion to ``dtype``, a numpy name."""
        return self.add("Cast", value, output=output, to=ELEMENT_TYPE[np.dtype(dtype)])

    def slice(self, value: str, axis: int, start: int, stop: int, output: str | None = None) -> str:
        """Append ``value[start:stop]`` along ``axis``."""
        return self.add(
            "Slice",
            value,
            self.sizes(start),
            self.sizes(stop),
            self.sizes(axis),
            output=output,
        )

    def model(
        self,
        graph: Graph,
        types: Mapping[str, str],
        opset: int,
        metadata: Mapping[str, str] | None,
    ) -> onnx.ModelProto:
        """The checked model; ``types`` gives the element type of each input and output."""

        def info(name: str) -> onnx.ValueInfoProto:
            batch, height, width, channels = graph.tensors[name].shape
            element = ELEMENT_TYPE[np.dtype(types[name])]
            return helper.make_tensor_value_info(name, element, [batch, channels, height, width])

        body = helper.make_graph(
            self.nodes,
            graph.name,
            [info(name) for name in graph.inputs],
            [info(name) for name in graph.outputs],
            self.initializers,
        )
        opsets = [helper.make_opsetid("", opset)]
        model = helper.make_model(
            body,
            opset_imports=opsets,
            ir_version=helper.find_min_ir_version_for(opsets),
            producer_name="horizon",
        )
        helper.set_model_props(model, dict(metadata or {}))
        onnx.checker.check_model(model, full_check=True)
        return model


def nchw(vector: np.ndarray) -> np.ndarray:
    """One value per channel as (1, C, 1, 1); a single value, or equal ones, as a scalar."""
    values = np.asarray(vector).reshape(-1)
    if (values == values[0]).all():
        return values[0].reshape(())
    return values.reshape(1, -1, 1, 1)


def one_scale(info: TensorInfo) -> bool:
    """Do all channels of a tensor have the same scale?"""
    return len(set(info.scales)) == 1


def unknown(node: Node) -> InputError:
    """The error for an operator that an export does not know."""
    return InputError(
        f"layer {node.name}: operator {node.op!r} has no ONNX form; expected one of the operators "
        "of horizon.hbir.ops; export a program that this version has made"
    )


def correlation_band(
    builder: Builder, node: Node, graph: Graph, first: str, second: str, zero: str, multiply: Any
) -> str:
    """Cost volume (N, D * D, H, W), D = 2 * max_displacement + 1, of two NCHW tensors.

    Each row of the first image is multiplied, as a matrix (W, C), with the row ``dy`` below of
    the second, (C, W + D - 1). The wanted products are the band of D diagonals of the result;
    reading it with rows that are one element longer turns the diagonals into columns. That is six
    nodes for each dy, where one shift after the other takes three for each of the D * D
    displacements, and seven times as long in ONNX Runtime.

    Args:
        zero: the constant that stands for zero in ``second``, for what is outside.
        multiply: appends a matrix product of two names and returns the result's name.
    """
    batch, height, width, _ = graph.tensors[node.inputs[0]].shape
    reach = int(node.attributes["max_displacement"])
    displacements, padded = 2 * reach + 1, width + 2 * reach
    rows = builder.add("Transpose", first, perm=[0, 2, 3, 1])
    pads = builder.sizes(0, 0, reach, reach, 0, 0, reach, reach)
    columns = builder.add("Pad", second, pads, zero)
    columns = builder.add("Transpose", columns, perm=[0, 2, 1, 3])
    bands = []
    for dy in range(displacements):
        product = multiply(rows, builder.slice(columns, 1, dy, dy + height))
        flat = builder.add("Reshape", product, builder.sizes(batch, height, width * padded))
        flat = builder.add("Pad", flat, builder.sizes(0, 0, 0, 0, 0, width))
        skewed = builder.add("Reshape", flat, builder.sizes(batch, height, width, padded + 1))
        bands.append(builder.slice(skewed, 3, 0, displacements))
    return builder.add("Transpose", builder.add("Concat", *bands, axis=3), perm=[0, 3, 1, 2])


def save(model: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    """Write a model: whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def session(path: str | os.PathLike[str], threads: int | None = None) -> Any:
    """An ONNX Runtime session on the CPU.

    Raises:
        InputError: a file that ONNX Runtime cannot load.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # ONNX Runtime's exceptions have no common base class but Exception.
        raise InputError(
            f"{path}: ONNX Runtime cannot load this file: {error}; expected a file that "
            "horizon.hbir has exported; export it again"
        ) from error


def compared(
    path: str | os.PathLike[str],
    graph: Graph,
    source: np.random.Generator | Sequence[Mapping[str, np.ndarray]],
    feed: Callable[[TensorInfo, np.ndarray], np.ndarray],
) -> Iterator[tuple[int, str, np.ndarray, np.ndarray]]:
    """Run a file in ONNX Runtime (CPU) and its program in the reference executor.

    Args:
        source: see :func:`example_inputs`.
        feed: what the file takes for an input's integers, NHWC.

    Yields:
        Number of the input, name of the output, its values (NHWC) and the expected integers.

    Raises:
        InputError: a file that ONNX Runtime cannot load, or inputs that the program cannot take.
    """
    runtime = session(path)
    for index, inputs in enumerate(example_inputs(graph, source)):
        expected = run(graph, inputs)
        values = {
            name: feed(graph.tensors[name], integers).transpose(0, 3, 1, 2)
            for name, integers in inputs.items()
        }
        found = runtime.run(list(graph.outputs), values)
        for name, result in zip(graph.outputs, found, strict=True):
            yield index, name, result.transpose(0, 2, 3, 1), expected[name]


def example_inputs(
    graph: Graph,
    source: np.random.Generator | Sequence[Mapping[str, np.ndarray]],
    count: int = 2,
) -> Iterable[dict[str, np.ndarray]]:
    """Inputs of a program, NHWC integers: those given, or ``count`` random ones.

    Random values cover the whole range of their type; the last input holds its extremes only.
    """
    if not isinstance(source, np.random.Generator):
        return [dict(inputs) for inputs in source]
    result = []
    for index in range(count):
        inputs = {}
        for name in graph.inputs:
            info = graph.tensors[name]
            low, high = LIMITS[info.dtype]
            if index == count - 1:
                inputs[name] = source.choice([low, high], info.shape)
            else:
                inputs[name] = source.integers(low, high, info.shape, endpoint=True)
        result.append(inputs)
    return result
