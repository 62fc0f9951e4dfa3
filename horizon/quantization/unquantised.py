"""Which layers of a float network have no fixed-point form, and what to use instead."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from horizon.errors import InputError
from horizon.quantization.prepare import check_prepared, prepare_calibration
from horizon.quantization.same_output import check_fusing

# The first entry that is a part of the class's name, so that variants are covered.
INSTEAD = (
    ("ReLU6", "nn.ReLU: int8 clamps at the top as well"),
    ("PixelShuffle", "nn.ConvTranspose2d of the same stride"),
    ("PixelUnshuffle", "nn.Conv2d of the same stride"),
    (
        "Upsampl",
        "nn.ConvTranspose2d, 4x4 with stride 2 and padding 1: it learns to interpolate",
    ),
    ("MaxPool", "nn.Conv2d with stride 2"),
    ("AvgPool", "nn.Conv2d with stride 2 and equal weights; after a DeQuantStub at the end"),
    ("LPPool", "nn.Conv2d with stride 2"),
    ("MaxUnpool", "nn.ConvTranspose2d"),
    ("Pad", "the padding of the convolution behind it"),
    ("BatchNorm", "nn.BatchNorm2d right behind a convolution, named with it in fuse_model()"),
    ("Norm", "nn.BatchNorm2d right behind a convolution, fused with it"),
    ("Linear", "nn.Conv2d of 1x1"),
    ("Conv1d", "nn.Conv2d of 1xk"),
    ("Transpose1d", "nn.ConvTranspose2d of 1xk"),
    ("Conv3d", "nn.Conv2d; frames as channels or as a batch"),
    ("Transpose3d", "nn.ConvTranspose2d; frames as channels or as a batch"),
    ("Softmax", "the logits: end with a DeQuantStub and apply it on the CPU"),
    ("Dropout", "nothing: leave it out, it does nothing outside of training"),
    ("Flatten", "a convolution as large as the map, or what follows on the CPU"),
)
ACTIVATIONS = (
    *("CELU", "ELU", "GELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh"),
    *("LeakyReLU", "LogSigmoid", "Mish", "PReLU", "RReLU", "SELU", "SiLU", "Sigmoid"),
    *("Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink", "Threshold"),
)
NO_FORM = "it has no fixed-point form"
OTHERWISE = "convolutions and layers of horizon.nn; or end with a DeQuantStub before it"


@dataclass(frozen=True)
class Unquantised:
    """A place in a network that cannot be brought to fixed point.

    Attributes:
        layer: its name.
        kind: its class.
        reason: why not.
        instead: what to use.
    """

    layer: str
    kind: str
    reason: str
    instead: str


def list_unquantised(model: nn.Module) -> list[Unquantised]:
    """All layers of a float model that keep ``prepare_calibration`` and ``prepare_qat`` from it.

    The model is not changed; ``fuse_model`` and ``set_qconfig`` run on a copy of it.

    Raises:
        InputError: the model cannot be fused, for another reason than such a layer, or computes
            something else once it is fused (tried where it has an ``example_input``).
    """
    prepared: Any = copy.deepcopy(model)
    refusal = None
    if hasattr(prepared, "fuse_model"):
        try:
            if hasattr(model, "example_input"):
                check_fusing(prepared, prepared.example_input())
            prepared.fuse_model()
        except InputError as error:
            refusal = error
            prepared = copy.deepcopy(model)
    if hasattr(prepared, "set_qconfig"):
        prepared.set_qconfig()
    found = []
    for finding in check_prepared(prepared):
        # What has not been fused, because fusing failed, says nothing.
        if finding.is_error and not (refusal and finding.kind == "unfused"):
            kind = type(prepared.get_submodule(finding.layer)).__name__
            reason = "no convolution has taken it in" if finding.kind == "unfused" else NO_FORM
            found.append(Unquantised(finding.layer, kind, reason, instead_of(kind)))
    if refusal and not found:
        raise refusal
    return found


@torch.no_grad()
def find_refusal(model: nn.Module, example: Any) -> Unquantised | None:
    """The layer whose ``forward`` does arithmetic that cannot be quantised; None if none does.

    It is the first one in the order of execution: what follows does not run.

    Whatever the float network itself raises is raised.

    Args:
        model: float; not changed.
        example: what it takes.

    Raises:
        InputError: the model cannot be fused, or computes something else once it is.
    """
    prepared: Any = copy.deepcopy(model).eval()
    prepared(example)
    if hasattr(prepared, "fuse_model"):
        check_fusing(prepared, example)
        prepared.fuse_model()
    if hasattr(prepared, "set_qconfig"):
        prepared.set_qconfig()
    prepare_calibration(prepared, inplace=True)
    running: list[str] = []

    def leave(*_: Any) -> None:
        running.pop()

    for name, module in prepared.named_modules():
        module.register_forward_pre_hook(lambda *_, name=name: running.append(name))
        module.register_forward_hook(leave)
    try:
        prepared(example)
    except (InputError, AttributeError, TypeError) as error:
        name = running[-1] if running else ""
        kind = type(prepared.get_submodule(name)).__name__
        where = name or "the network itself"
        return Unquantised(where, kind, f"in forward(): {error}", instead_of(kind))
    return None


def instead_of(kind: str) -> str:
    """What to use in the place of a layer of this class."""
    if kind in ACTIVATIONS:
        return "nn.ReLU, fused with the convolution before it"
    return next((text for part, text in INSTEAD if part in kind), OTHERWISE)
