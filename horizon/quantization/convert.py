"""From a trained model to its integer form."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.quantization.fake_quantize import FakeQuantState
from horizon.quantization.prepare import prepared_layers, set_fake_quantize
from horizon.quantization.qat_layer import QATLayer
from horizon.quantization.qat_layers import QATDeQuantStub
from horizon.quantization.qtensor import QTensor
from horizon.quantization.quantized import QuantizedDeStub


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
            scales that cannot be represented, a layer that is called twice with different scales.
    """
    if not inplace:
        model = copy.deepcopy(model)
    set_fake_quantize(model, FakeQuantState.VALIDATION)
    model.eval()
    for _, layer in prepared_layers(model):
        layer._lowered = None
    example = example_input(model) if example is None else example
    found: dict[str, nn.Module] = {}
    handles = []

    def collect(name: str, layer: QATLayer) -> Any:
        def hook(*_: Any) -> None:
            assert layer._lowered is not None
            lowered = layer._lowered[1]
            if found.setdefault(name, lowered) is not lowered:
                raise InputError(
                    f"{name}: it runs more than once with inputs of different scales; every place "
                    "in the network needs a layer of its own"
                )

        return hook

    for name, layer in prepared_layers(model):
        handles.append(layer.register_forward_hook(collect(name, layer)))
    try:
        model(example)
    finally:
        for handle in handles:
            handle.remove()
    for name, _ in list(prepared_layers(model)):
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, found.get(name, nn.Identity()))
    return model.eval()


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
        model(data)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return outputs
