"""A program as integer operators of ONNX: ONNX Runtime computes the same integers.

There is no floating-point tensor in the file, not even in between. Inputs and outputs have the
program's names and types, in the order NCHW and of the program's size.

Inside, an int8 tensor q is kept as uint8 q + 128 with the zero point 128, the weights too: of the
convolutions and matrix products of ONNX Runtime, only those of two unsigned operands are exact on
every x86 processor (the mixed ones saturate sums of two products where VNNI is missing).
ONNX shifts unsigned integers only, and its integer division truncates. So every shift to the right
is of a number that an offset, a multiple of the shift's power of two, has made non-negative: there,
both are the floor that the contract asks for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from horizon.hbir.graph import Graph
from horizon.hbir.onnx_common import compared, model_of, save
from horizon.hbir.onnx_integer_export import IntegerExport
from horizon.hbir.operators import operator_of

# Every operator used is of this version or older; ONNX Runtime reads it since 1.12.
OPSET = 17


def export_integer(
    graph: Graph, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> onnx.ModelProto:
    """Write a program as an ONNX file of integer operators.

    Args:
        graph: the program, as ``horizon.hbir.graph.verify`` accepts it.
        path: the file, replaced as a whole.
        metadata: entries for the file's ``metadata_props``.

    Returns:
        The model as written. Inputs and outputs: (N, C, H, W) in the type of the program's
        tensors, with their names.

    Raises:
        InputError: an unknown operator, or a file that cannot be written.
    """
    export = IntegerExport(graph.tensors)
    for name in graph.inputs:
        if graph.tensors[name].dtype == "int8":
            export.builder.layer = name
            wide = export.builder.cast(name, "int32")
            shifted = export.builder.add("Add", wide, export.builder.constant(128, "int32"))
            export.builder.cast(shifted, "uint8", output=export.stored(name))
    for node in graph.nodes:
        export.builder.layer = node.name
        operator_of(node).integer_onnx(node, export)
    for name in graph.outputs:
        if graph.tensors[name].dtype == "int8":
            export.builder.layer = name
            wide = export.builder.cast(export.stored(name), "int32")
            signed = export.builder.add("Sub", wide, export.builder.constant(128, "int32"))
            export.builder.cast(signed, "int8", output=name)
    types = {name: info.dtype for name, info in graph.tensors.items()}
    model = model_of(export.builder, graph, types, OPSET, metadata)
    save(model, path)
    return model


@dataclass(frozen=True)
class IntegerComparison:
    """One output for one input: how many values there are, differ, and by how much at most."""

    input: int
    output: str
    values: int
    differing: int
    largest_difference: int


def check_integer(
    path: str | os.PathLike[str],
    graph: Graph,
    source: np.random.Generator | Sequence[Mapping[str, np.ndarray]],
) -> list[IntegerComparison]:
    """Run a file in ONNX Runtime (CPU) and its program in the reference executor.

    Args:
        path: a file of ``export_integer``.
        graph: the program that it was made of.
        source: inputs, by name, as the program takes them (NHWC integers); or a generator, for
            random values and for extremes.

    Raises:
        InputError: a file that ONNX Runtime cannot load, or inputs that the program cannot take.
    """
    result = []
    pairs = compared(path, graph, source, lambda info, integers: integers.astype(info.dtype))
    for index, name, found, expected in pairs:
        difference = np.abs(found.astype(np.int64) - expected)
        result.append(
            IntegerComparison(
                index,
                name,
                difference.size,
                int(np.count_nonzero(difference)),
                int(difference.max()),
            )
        )
    return result
