"""A network through all that can run it: one result, and no integer that differs."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from horizon.hbir import Graph
from horizon.quantization import (
    IntegerModel,
    convert,
    finish_calibration,
    prepare_calibration,
    prepare_qat,
    trace,
)
from tests.horizon.quantization.executors import check_programs


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
    """Its program, whose integers are those of the training and of every executor."""
    training = trained(network, example)
    converted = convert(copy.deepcopy(training), example)
    graph = trace(converted, example)
    model = IntegerModel(graph)
    inputs = example if isinstance(example, tuple) else (example,)
    with torch.no_grad():
        same(training(*inputs), converted(*inputs))
        same(leaves(converted(*inputs)), leaves(model(example)), shapes=False)
    check_programs(graph)
    return graph


def leaves(output: Any) -> list[Tensor]:
    if isinstance(output, dict):
        output = list(output.values())
    return list(output) if isinstance(output, list | tuple) else [output]


def same(first: Any, second: Any, shapes: bool = True) -> None:
    for a, b in zip(leaves(first), leaves(second), strict=True):
        assert not shapes or a.shape == b.shape
        assert torch.equal(a.flatten(), b.flatten())
