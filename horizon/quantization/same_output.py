"""Whether a network that was fused or prepared still computes what it did."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.quantization.copies import copied
from horizon.quantization.examples import call_with
from horizon.quantization.scales.fake_quantize import FakeQuantState
from horizon.quantization.states import prepared_layers, set_fake_quantize

TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-2}
"""Of the largest output. Fusing rounds weights to float32, and a mistake moves the first digits."""
ADVICE = (
    "every use of a layer must be fused in the same way: name each place in fuse_model(), in the "
    "order of execution, and give every place in the network a layer of its own"
)


@torch.no_grad()
def check_same_output(model: nn.Module, changed: nn.Module, example: Any, what: str) -> None:
    """Compare two forms of a network on noise, both in evaluation mode and in real numbers.

    What fusing cannot see in the layers shows here: a convolution that is followed by its batch
    normalisation in one call and not in another, a ReLU that a second layer needed too.

    Args:
        model: before. Neither is changed.
        changed: the same network after fusing, or after preparing.
        example: an input; noise takes the place of its floating-point numbers.
        what: names the step in the message.

    Raises:
        InputError: the outputs differ by more than rounding.
    """
    outputs = _outputs(model, changed, example)
    for before, after in zip(*outputs, strict=True):
        largest = float(before.abs().max()) if before.numel() else 0.0
        if before.shape != after.shape:
            raise InputError(
                f"{what}: the network gave an output {tuple(before.shape)} before and gives "
                f"{tuple(after.shape)} now; {ADVICE}"
            )
        if largest == 0 or not torch.isfinite(before).all():
            continue  # nothing to compare by
        difference = float((before - after).abs().max()) / largest
        if not difference <= TOLERANCE[before.dtype]:
            raise InputError(
                f"{what}: the network's output is another than before, by {100 * difference:.2g} % "
                f"of its largest value; {ADVICE}"
            )


def check_fusing(model: nn.Module, example: Any) -> None:
    """:func:`check_same_output` of a copy of ``model`` that is fused; ``model`` is left alone.

    In float64, fusing included, so that no rounding hides a mistake.

    Raises:
        InputError: it cannot be fused, or computes something else then.
    """
    trial: Any = copy.deepcopy(model).double()
    trial.fuse_model()
    check_same_output(model, trial, example, "fusing")


def _outputs(model: nn.Module, changed: nn.Module, example: Any) -> list[list[Tensor]]:
    try:
        return [_output(each, example, torch.float64) for each in (model, changed)]
    except (RuntimeError, TypeError):  # a network that makes float32 of its numbers somewhere
        return [_output(each, example, torch.float32) for each in (model, changed)]


def _output(model: nn.Module, example: Any, kind: torch.dtype) -> list[Tensor]:
    model = copied(model).to(kind).eval()
    layers = list(prepared_layers(model))
    if layers:
        set_fake_quantize(model, FakeQuantState.CALIBRATION)
    for _, layer in layers:
        layer.observing = False
    generator = torch.Generator().manual_seed(0)
    return [x.to(kind) for x in _tensors(call_with(model, _noise(example, kind, generator)))]


def _noise(value: Any, kind: torch.dtype, generator: torch.Generator) -> Any:
    """``value`` with numbers from -1 to 1 in its floating-point tensors."""
    if isinstance(value, Tensor) and value.is_floating_point():
        noise = torch.rand(value.shape, generator=generator, dtype=torch.float64) * 2 - 1
        return noise.to(value.device, kind)
    if isinstance(value, Mapping):
        return {key: _noise(item, kind, generator) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_noise(item, kind, generator) for item in value)
    return value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
