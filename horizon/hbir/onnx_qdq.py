"""A program as a float network between QuantizeLinear and DequantizeLinear.

The form that tools for quantised networks read: ``DQ(x) -> Conv(DQ(w), DQ(bias)) -> Relu -> Q``,
with int8 or int16 activations (one scale per tensor), int8 weights (one scale per output channel)
and int32 biases. Scales are real; a value of the file times its scale is a value of the network.

- A tensor that carries one scale per channel, which is a channel concatenation, enters arithmetic
  as its integers (DequantizeLinear with scale 1). The program has folded its scales into the
  consuming weights, so those stay int8 with one scale per output channel, that of the accumulator.
- The ratio of a program's multiplier and shift is that of the scales; where it is not, because a
  scalar factor stands between, a Mul carries it.
- A warp's offset is quantised once more, as the program does, to its fraction of a pixel.
- An int32 tensor is a float without quantisation or saturation: QuantizeLinear has no such type.

The result is not the program's: QuantizeLinear rounds halves to even, and sums are floats. Where
the two round differently, an activation differs by one step; ``check_qdq`` measures what remains.
ONNX Runtime makes integer convolutions of this form, which are not exact on x86 processors without
VNNI; the files of ``onnx_integer`` are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from horizon.errors import InputError
from horizon.hbir.graph import Graph
from horizon.hbir.node import TensorInfo
from horizon.hbir.onnx_common import compared, model_of, save
from horizon.hbir.onnx_qdq_export import QdqExport
from horizon.hbir.operators import operator_of

INT16_OPSET = 21  # the first version whose QuantizeLinear has int16
DEFAULT_OPSET = INT16_OPSET
# 20 has GridSample's present names of modes.
OPSETS = range(20, 24)


def export_qdq(
    graph: Graph,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
    opset: int = DEFAULT_OPSET,
) -> onnx.ModelProto:
    """Write a program as an ONNX file with QuantizeLinear and DequantizeLinear.

    Args:
        graph: the program, as ``horizon.hbir.graph.verify`` accepts it.
        path: the file, replaced as a whole.
        metadata: entries for the file's ``metadata_props``.
        opset: version of the ONNX operators; int16 activations need 21.

    Returns:
        The model as written. Inputs and outputs: float32 (N, C, H, W), real numbers, with the
        names of the program's.

    Raises:
        InputError: an opset that lacks what the program needs, an unknown operator, or a file
            that cannot be written.
    """
    wide = [name for name, info in graph.tensors.items() if info.dtype == "int16"]
    lowest = max((operator_of(node).qdq_opset for node in graph.nodes), default=OPSETS[0])
    if wide:
        lowest = max(lowest, INT16_OPSET)
    if not lowest <= opset <= OPSETS[-1]:
        reason = ", because of int16 tensors" if lowest >= INT16_OPSET else ""
        raise InputError(
            f"opset {opset}: expected {lowest} to {OPSETS[-1]}{reason}; choose {DEFAULT_OPSET}"
        )
    export = QdqExport(graph.tensors)
    for name in graph.inputs:
        export.builder.layer = name
        export.quantise(name, name)
    for node in graph.nodes:
        export.builder.layer = node.name
        operator_of(node).qdq_onnx(node, export)
    for name in graph.outputs:
        export.builder.layer = name
        export.builder.add("Identity", export.real(name), output=name)
    model = model_of(
        export.builder,
        graph,
        dict.fromkeys((*graph.inputs, *graph.outputs), "float32"),
        opset,
        metadata,
    )
    save(model, path)
    return model


@dataclass(frozen=True)
class QdqComparison:
    """One output for one input: values, those that differ by half a step or more, and the largest
    difference in steps and in real units."""

    input: int
    output: str
    values: int
    differing: int
    largest_steps: float
    largest_difference: float


def check_qdq(
    path: str | os.PathLike[str],
    graph: Graph,
    source: np.random.Generator | Sequence[Mapping[str, np.ndarray]],
) -> list[QdqComparison]:
    """Run a file in ONNX Runtime (CPU) and its program in the reference executor.

    Args:
        path: a file of ``export_qdq``.
        graph: the program that it was made of.
        source: inputs, by name, as the program takes them (NHWC integers; the file gets them
            times their scales); or a generator, for random values and for extremes.

    Raises:
        InputError: a file that ONNX Runtime cannot load, or inputs that the program cannot take.
    """
    result = []

    def real_values(info: TensorInfo, integers: np.ndarray) -> np.ndarray:
        return (integers * np.array(info.scales)).astype(np.float32)

    for index, name, found, expected in compared(path, graph, source, real_values):
        scales = np.array(graph.tensors[name].scales)
        real = np.abs(found - expected * scales)
        steps = real / scales
        result.append(
            QdqComparison(
                index,
                name,
                steps.size,
                int(np.count_nonzero(steps >= 0.5)),
                float(steps.max()),
                float(real.max()),
            )
        )
    return result
