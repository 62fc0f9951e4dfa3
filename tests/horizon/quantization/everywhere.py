"""A network through all that can run it: one result, and no integer that differs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from horizon import hbm
from horizon.compiler import compile_program
from horizon.compiler.verify import verify_program
from horizon.hbir import Graph, run
from horizon.hbir.onnx_integer import check_integer, export_integer
from horizon.hbir.onnx_qdq import check_qdq, export_qdq
from horizon.march import load
from horizon.quantization import (
    IntegerModel,
    convert,
    finish_calibration,
    prepare_calibration,
    prepare_qat,
    trace,
)
from horizon.runtime import Model
from tests.horizon.compiler.checks import check, small
from tests.horizon.compiler.random_graphs import random_inputs

HOSTS = (("host", "O0"), ("host", "O3"), ("nash-e", "O2"))


def trained(network: nn.Module, example: Any) -> nn.Module:
    """Calibrated on the example and trained on it for a step, in evaluation mode."""
    inputs = example if isinstance(example, tuple) else (example,)
    prepared = prepare_calibration(copy.deepcopy(network).eval(), example=example, quiet=True)
    prepared(*inputs)
    training = prepare_qat(finish_calibration(prepared)).train()
    output = training(*inputs)
    first = next(iter(output.values())) if isinstance(output, dict) else output
    first = first[0] if isinstance(first, list | tuple) else first
    first.float().square().mean().backward()
    with torch.no_grad():
        for parameter in training.parameters():
            if parameter.grad is not None:
                parameter -= 1e-4 * parameter.grad.sign() * parameter.abs().mean()
    return training.eval()


def program_of(network: nn.Module, example: Any) -> Graph:
    """Its program, whose integers are those of the training and of every executor.

    The compiled program runs on the host and in the interpreter of a small machine's tiles.
    """
    training = trained(network, example)
    converted = convert(copy.deepcopy(training), example)
    graph = trace(converted, example)
    model = IntegerModel(graph)
    inputs = example if isinstance(example, tuple) else (example,)
    with torch.no_grad():
        same(training(*inputs), converted(*inputs))
        same(leaves(converted(*inputs)), leaves(model(example)), shapes=False)
    for seed in range(2):
        given = random_inputs(graph, seed)
        wanted = run(graph, given)
        for machine, opt in HOSTS:
            compiled = compile_program(graph, load(machine), opt, "int8")
            verify_program(compiled)
            executor = Model(hbm.to_bytes(compiled.program))
            arrays = {
                name: np.ascontiguousarray(values.transpose(0, 3, 1, 2), graph.tensors[name].dtype)
                for name, values in given.items()
            }
            found = executor.run(arrays)
            for name, values in wanted.items():
                np.testing.assert_array_equal(found[name].transpose(0, 2, 3, 1), values, name)
        check(graph, compile_program(graph, small(32768), "O3"), seed)
    return graph


def check_exports(graph: Graph, folder: Path) -> None:
    """Integer ONNX gives the same integers, QDQ ONNX values near them.

    A sum of 32 bits shows steps of 8 bits before it that QDQ rounds otherwise.
    """
    export_integer(graph, folder / "integer.onnx")
    for found in check_integer(folder / "integer.onnx", graph, np.random.default_rng(0)):
        assert found.differing == 0, found
    export_qdq(graph, folder / "qdq.onnx")
    for near in check_qdq(folder / "qdq.onnx", graph, np.random.default_rng(0)):
        wide = graph.tensors[near.output].dtype == "int32"
        assert near.largest_difference < 0.1 if wide else near.largest_steps < 2.5, near


def leaves(output: Any) -> list[Tensor]:
    if isinstance(output, dict):
        output = list(output.values())
    return list(output) if isinstance(output, list | tuple) else [output]


def same(first: Any, second: Any, shapes: bool = True) -> None:
    for a, b in zip(leaves(first), leaves(second), strict=True):
        assert not shapes or a.shape == b.shape
        assert torch.equal(a.flatten(), b.flatten())
