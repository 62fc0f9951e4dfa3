"""A quantised network as ONNX, checked on image pairs against the network it was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hat.engine.convert import QAT2Quantize
from horizon.hbir import Graph, resized, run
from horizon.hbir.onnx_common import session
from horizon.hbir.onnx_integer import export_integer
from horizon.hbir.onnx_qdq import export_qdq
from horizon.quantization import IntegerModel


@dataclass(frozen=True)
class PairResult:
    """One image pair: output values, integers that differ, largest and mean difference, px."""

    name: str
    values: int
    differing: int
    reference_differing: int
    largest: float
    mean: float
    largest_flow: float


def program_of(model: nn.Module, name: str) -> Graph:
    """The program of a prepared model or of an integer one."""
    if isinstance(model, IntegerModel):
        return model.graph
    return QAT2Quantize(name)(model).graph


def export_program(
    model: nn.Module,
    path: Path,
    size: tuple[int, int],
    *,
    name: str,
    integer: bool,
    metadata: Mapping[str, str],
) -> tuple[Graph, int]:
    """Write the program of ``model`` for image pairs of ``size`` (H, W).

    Args:
        model: prepared and in evaluation mode, or an :class:`IntegerModel`.
        integer: integer operators; otherwise QuantizeLinear and DequantizeLinear around float
            ones.

    Returns:
        The program of that size and the number of the file's nodes.

    Raises:
        InputError: a size that is no multiple of the network's, or a file that cannot be written.
    """
    graph = resized(program_of(model, name), 1, *size)
    written = (export_integer if integer else export_qdq)(graph, path, metadata)
    return graph, len(written.graph.node)


def check_program(
    path: Path,
    graph: Graph,
    model: nn.Module,
    pairs: Sequence[tuple[str, np.ndarray]],
    *,
    integer: bool,
) -> list[PairResult]:
    """Run the file in ONNX Runtime, ``model`` in torch and the program in the reference executor.

    Args:
        pairs: names and image pairs, float32 (1, 6, H, W), normalised.
    """
    runtime = session(path)
    program = IntegerModel(graph)
    name, output = graph.inputs[0], graph.outputs[0]
    step = np.array(graph.tensors[output].scales)
    results = []
    for title, image in pairs:
        tensor = torch.from_numpy(image)
        with torch.no_grad():
            expected = model({name: tensor}).numpy()
            steps = program.stub(tensor).values.numpy()
        feed = steps if integer else image
        (found,) = runtime.run([output], {name: feed})
        reference = run(graph, {name: steps.transpose(0, 2, 3, 1).astype(np.int64)})[output]
        scale = step.reshape(1, -1, 1, 1)
        # The model gives real numbers that are whole steps; so the integers are compared exactly.
        wanted = np.rint(expected.astype(np.float64) / scale)
        integers = found.astype(np.float64) if integer else np.rint(found / scale)
        real = found * scale if integer else found
        difference = np.abs(real - expected)
        results.append(
            PairResult(
                title,
                wanted.size,
                int(np.count_nonzero(integers != wanted)),
                int(np.count_nonzero(reference.transpose(0, 3, 1, 2) != wanted)),
                float(difference.max()),
                float(difference.mean()),
                float(np.abs(expected).max()),
            )
        )
    return results
