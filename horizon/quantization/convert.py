"""From a trained model to its integer form."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.nn.functional import FloatFunctional, Functional
from horizon.quantization.calls import watch_passes
from horizon.quantization.examples import call_with
from horizon.quantization.layers.converted import QuantizedUses
from horizon.quantization.layers.prepared import QATLayer
from horizon.quantization.layers.stubs import QATDeQuantStub, QuantizedDeStub
from horizon.quantization.qtensor import QTensor
from horizon.quantization.scales.fake_quantize import FakeQuantState
from horizon.quantization.states import prepared_layers, set_fake_quantize


@torch.no_grad()
def convert(model: nn.Module, example: Any = None, inplace: bool = False) -> nn.Module:
    """Replace all prepared layers by converted ones; returns the model, in evaluation mode.

    Scales travel with the tensors, so that one evaluation of an example tells every layer those
    of its inputs. Layers that this evaluation does not reach stay out of the result.

    Args:
        model: prepared, calibrated or trained.
        example: an input of the model, of any size; default ``model.example_input()``.

    Raises:
        InputError: a scale that was never found, an accumulator that could overflow, a ratio of
            scales that cannot be represented.
    """
    if not inplace:
        model = copy.deepcopy(model)
    set_fake_quantize(model, FakeQuantState.VALIDATION)
    model.eval()
    for _, layer in prepared_layers(model):
        layer.forget_lowered()
    example = example_input(model) if example is None else example
    found: dict[QATLayer, list[nn.Module]] = {}
    handles = []

    def collect(layer: QATLayer, *_: Any) -> None:
        found.setdefault(layer, []).append(layer.last_lowered)

    watch_passes(model)
    layers = dict.fromkeys(layer for _, layer in prepared_layers(model))
    for layer in layers:
        handles.append(layer.register_forward_hook(collect))
    try:
        call_with(model, example)
    finally:
        for handle in handles:
            handle.remove()
    converted = {layer: _converted(layer, found.get(layer, [])) for layer in layers}
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, QATLayer):
                setattr(parent, name, converted[child])
    return model.eval()


def _converted(layer: QATLayer, calls: list[nn.Module]) -> nn.Module:
    """The module that replaces ``layer``, from the converted layers of its calls in order."""
    if not calls:
        # A matrix product of a FloatFunctional is a call of the module around it.
        return FloatFunctional() if isinstance(layer, Functional) else nn.Identity()
    if all(call is calls[0] for call in calls):
        return calls[0]
    return QuantizedUses(layer.layer, calls)


def example_input(model: Any) -> Any:
    """The model's own example; InputError if it offers none."""
    if not hasattr(model, "example_input"):
        raise InputError(
            f"{type(model).__name__} has no example_input(); hand an example to the call"
        )
    return model.example_input()


@torch.no_grad()
def output_integers(model: nn.Module, data: Any) -> list[Tensor]:
    """The integers that reach the DeQuantStubs in one evaluation of ``data``, in order.

    Args:
        model: prepared (evaluated exactly, scales frozen) or converted.
    """
    outputs: list[Tensor] = []

    def hook(_: nn.Module, inputs: tuple[QTensor, ...]) -> None:
        outputs.append(inputs[0].values)

    stubs = [m for m in model.modules() if isinstance(m, QATDeQuantStub | QuantizedDeStub)]
    if not stubs:
        raise InputError("output_integers: the model is neither prepared nor converted")
    handles = [stub.register_forward_pre_hook(hook) for stub in stubs]
    training = model.training
    try:
        model.eval()
        call_with(model, data)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return outputs
