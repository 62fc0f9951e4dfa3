"""Two stages of a network compared layer by layer, for the model profiler."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from horizon.errors import InputError
from horizon.quantization.profiler.layers import (
    Call,
    Value,
    call_layer,
    inputs_for,
    layers_of,
    run,
    value_of,
    watched,
)


@dataclass(frozen=True)
class LayerSimilarity:
    """How much one layer's output differs between two stages.

    Attributes:
        layer: the name, in the order of execution.
        kind: class of the layer in the second stage.
        bits: of the quantised side's integers (the second's if both are quantised); None if
            neither is quantised.
        values: how many were compared.
        cosine: of the angle between the two outputs.
        mse: mean squared difference, in real numbers.
        sqnr_db: mean square of the first output over ``mse``, in decibels; None if they are equal.
        largest_steps: the largest difference in output steps (LSBs) of the quantised side.
        differing: values that lie on another integer of the second stage; None unless both are
            quantised.
    """

    layer: str
    kind: str
    bits: int | None
    values: int
    cosine: float
    mse: float
    sqnr_db: float | None
    largest_steps: float | None
    differing: int | None


class Comparison:
    """Sums over pairs of outputs of one layer, first against second."""

    def __init__(self, layer: str, kind: str) -> None:
        self.layer, self.kind = layer, kind
        self.values = 0
        self.squares_first = self.squares_second = self.products = self.squared_error = 0.0
        self.bits: int | None = None
        self.largest_steps: float | None = None
        self.differing: int | None = None

    def add(self, first: Value, second: Value) -> None:
        """Raises InputError if the shapes differ."""
        if first.real.shape != second.real.shape:
            raise InputError(
                f"layer {self.layer}: outputs of {tuple(first.real.shape)} and "
                f"{tuple(second.real.shape)} cannot be compared; both stages need one network "
                "and the same images"
            )
        one, two = first.real, second.real
        if (first.step is None) != (second.step is None):
            # What a float layer hands on unchanged is float32; only so it can be equal.
            one, two = one.float().double(), two.float().double()
        difference = two - one
        self.values += difference.numel()
        self.squares_first += float(one.square().sum())
        self.squares_second += float(two.square().sum())
        self.products += float((one * two).sum())
        self.squared_error += float(difference.square().sum())
        quantised = second if second.step is not None else first
        if quantised.step is not None:
            self.bits = quantised.bits
            largest = float((difference / quantised.step).abs().max())
            self.largest_steps = max(self.largest_steps or 0.0, largest)
        if first.step is not None and second.step is not None:
            moved = torch.round(first.real / second.step) != second.integers
            self.differing = (self.differing or 0) + int(moved.sum())

    def result(self) -> LayerSimilarity:
        mse = self.squared_error / self.values
        norms = math.sqrt(self.squares_first * self.squares_second)
        cosine = min(1.0, self.products / norms) if norms else float(self.squared_error == 0)
        return LayerSimilarity(
            self.layer,
            self.kind,
            self.bits,
            self.values,
            cosine,
            mse,
            decibels(self.squares_first, self.squared_error),
            self.largest_steps,
            self.differing,
        )


def decibels(signal: float, noise: float) -> float | None:
    """``10 log10(signal / noise)``; None without noise, at least -200 without signal."""
    if noise == 0:
        return None
    return max(-200.0, 10 * math.log10(signal / noise)) if signal else -200.0


def compare_end_to_end(
    first: nn.Module, second: nn.Module, batches: Iterable[Any]
) -> list[LayerSimilarity]:
    """Both models run on the same batches: errors add up from layer to layer.

    Args:
        first, second: stages of one network, with the same names of layers.
        batches: what the models take, one after the other.

    Returns:
        One entry per layer that both stages run.

    Raises:
        InputError: no layer in common, shapes that differ, or values that are not finite.
    """
    comparisons: dict[str, Comparison] = {}
    for batch in batches:
        outputs: dict[str, Value] = {}

        def keep(call: Call, outputs: dict[str, Value] = outputs) -> None:
            value = value_of(call.output, call.key)
            if value is not None:
                outputs[call.key] = value

        def compare(call: Call, outputs: dict[str, Value] = outputs) -> None:
            reference = outputs.pop(call.key, None)
            value = value_of(call.output, call.key)
            if reference is not None and value is not None:
                _of(comparisons, call).add(reference, value)

        with watched(first, keep):
            run(first, batch)
        with watched(second, compare):
            run(second, batch)
    return _results(comparisons)


def compare_alone(
    reference: nn.Module, quantised: nn.Module, batches: Iterable[Any]
) -> list[LayerSimilarity]:
    """Each layer of ``reference`` gets the inputs that the same layer of ``quantised`` got.

    What differs then is the layer's own doing: its weights, its rounding and its output's scale.
    A reference in floating point gets the inputs in real numbers, a quantised one the same
    integers.

    Returns, raises:
        As :func:`compare_end_to_end`; ``reference`` is the first side.
    """
    partners = layers_of(reference)
    comparisons: dict[str, Comparison] = {}
    reference.eval()

    def compare(call: Call) -> None:
        partner = partners.get(call.name)
        value = value_of(call.output, call.key)
        if partner is None or value is None:
            return
        args = inputs_for(partner, call.args)
        kwargs = inputs_for(partner, call.kwargs)
        expected = value_of(call_layer(partner, args, kwargs, call.use), call.key)
        if expected is not None:
            _of(comparisons, call).add(expected, value)

    for batch in batches:
        with watched(quantised, compare):
            run(quantised, batch)
    return _results(comparisons)


def _of(comparisons: dict[str, Comparison], call: Call) -> Comparison:
    if call.key not in comparisons:
        comparisons[call.key] = Comparison(call.key, type(call.module).__name__)
    return comparisons[call.key]


def _results(comparisons: Mapping[str, Comparison]) -> list[LayerSimilarity]:
    if not comparisons:
        raise InputError(
            "the two stages have no layer in common; a float model needs fuse_model(), which gives "
            "its layers the names of the quantised ones"
        )
    return [comparison.result() for comparison in comparisons.values()]
