"""What both ONNX exports share: models, files, sessions and comparisons."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from horizon.errors import InputError
from horizon.files import atomic_path
from horizon.hbir.fixed_point import LIMITS
from horizon.hbir.graph import Graph
from horizon.hbir.node import TensorInfo
from horizon.hbir.onnx_builder import ELEMENT_TYPE, Builder
from horizon.hbir.reference import run


def model_of(
    builder: Builder,
    graph: Graph,
    types: Mapping[str, str],
    opset: int,
    metadata: Mapping[str, str] | None,
) -> onnx.ModelProto:
    """The checked model of a program; ``types`` gives the element type of each input and output."""

    def info(name: str) -> onnx.ValueInfoProto:
        batch, height, width, channels = graph.tensors[name].shape
        element = ELEMENT_TYPE[np.dtype(types[name])]
        return helper.make_tensor_value_info(name, element, [batch, channels, height, width])

    body = helper.make_graph(
        builder.nodes,
        graph.name,
        [info(name) for name in graph.inputs],
        [info(name) for name in graph.outputs],
        builder.initializers,
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
