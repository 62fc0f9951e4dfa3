"""Which layer costs how much accuracy: one at a time in integers, all others in real numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from horizon.errors import InputError
from horizon.quantization import FakeQuantState, set_fake_quantize
from horizon.quantization.profiler.layers import is_prepared, run

Measure = Callable[[Any, Any], float]
"""Error of the outputs for a batch, such as the end-point error in pixels."""


@dataclass(frozen=True)
class LayerSensitivity:
    """The network's output with one layer in integers.

    Attributes:
        layer, kind: name and class.
        bits: of the layer's output.
        moved: root mean square difference from the output in real numbers, in the output's unit.
        error: what ``measure`` says, averaged over the batches; None without a measure.
        added: ``error`` minus that of the network in real numbers.
    """

    layer: str
    kind: str
    bits: int | None
    moved: float
    error: float | None
    added: float | None


@dataclass(frozen=True)
class Sensitivity:
    """``real``: error in real numbers; ``everything``: all layers in integers; ``layers``: those
    that move the outputs most first. On a few images the error can fall by chance, ``moved`` can
    not."""

    real: float | None
    everything: LayerSensitivity
    layers: list[LayerSensitivity]


def rank_sensitivity(
    model: nn.Module,
    batches: Sequence[Any],
    measure: Measure | None = None,
    progress: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> Sensitivity:
    """Run the batches once per layer, with that layer alone in integers.

    Its weights and output are rounded and clipped. What has no scale of its own (warps, stubs at
    the end) is left out.

    Args:
        model: a prepared (calibration or QAT) network whose scales are set. Its states are as
            before afterwards.
        batches: few; the time is theirs times the number of layers.
        measure: the error of the outputs for a batch.
        progress: wraps the list of layers, to show how far it is.

    Raises:
        InputError: the model has no prepared layer.
    """
    layers = [
        (name, layer)
        for name, layer in model.named_modules()
        if is_prepared(layer) and getattr(layer, "act_quant", None) is not None
    ]
    if not layers:
        raise InputError(
            "sensitivity: the model has no layer that prepare_calibration or prepare_qat made"
        )
    batches = list(batches)
    with _states_kept(model):
        _set_all(model, FakeQuantState.CALIBRATION)
        given = [run(model, batch) for batch in batches]
        references = [_numbers(output) for output in given]
        real = _mean(measure, given, batches)

        def measured(name: str, kind: str, bits: int | None) -> LayerSensitivity:
            outputs = [run(model, batch) for batch in batches]
            squares = sum(
                float((_numbers(output) - reference).square().sum())
                for output, reference in zip(outputs, references, strict=True)
            )
            values = sum(reference.numel() for reference in references)
            error = _mean(measure, outputs, batches)
            added = None if error is None or real is None else error - real
            return LayerSensitivity(name, kind, bits, (squares / values) ** 0.5, error, added)

        results = []
        for name, layer in progress(layers):
            layer.fake_quant_state = FakeQuantState.SIMULATED
            results.append(measured(name, type(layer).__name__, _bits(layer)))
            layer.fake_quant_state = FakeQuantState.CALIBRATION
        _set_all(model, FakeQuantState.VALIDATION)
        everything = measured("(all layers)", type(model).__name__, None)
    results.sort(key=lambda result: result.moved, reverse=True)
    return Sensitivity(real, everything, results)


def _set_all(model: nn.Module, state: FakeQuantState) -> None:
    set_fake_quantize(model, state)
    for module in model.modules():
        if hasattr(module, "observing"):
            module.observing = False  # type: ignore[assignment]


@contextmanager
def _states_kept(model: nn.Module) -> Iterator[None]:
    """Puts the layers' states back at the end, whatever happens in between."""
    names = ("fake_quant_state", "observing")
    before = [
        (module, name, getattr(module, name))
        for module in model.modules()
        for name in names
        if hasattr(module, name)
    ]
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def _numbers(output: Any) -> Tensor:
    """All numbers of the outputs, float64 (n,)."""
    found = [x.double().flatten() for x in tree_leaves(output) if isinstance(x, Tensor)]
    return torch.cat(found)


def _bits(layer: nn.Module) -> int | None:
    return getattr(layer.act_quant, "bits", None)


def _mean(measure: Measure | None, outputs: Sequence[Any], batches: Sequence[Any]) -> float | None:
    if measure is None:
        return None
    errors = [measure(output, batch) for output, batch in zip(outputs, batches, strict=True)]
    return sum(errors) / len(errors)
