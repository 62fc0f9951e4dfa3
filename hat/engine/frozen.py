"""Layers that are not trained: a part of a network learns, and what feeds it stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from hat.errors import InputError

BATCH_NORMS = nn.BatchNorm2d | nn.SyncBatchNorm


def batch_norms(model: nn.Module) -> list[nn.Module]:
    """All layers of batch normalisation."""
    return [module for module in model.modules() if isinstance(module, BATCH_NORMS)]


def freeze_layers(model: nn.Module, names: Sequence[str]) -> list[nn.Module]:
    """Take the parameters of the modules ``names`` out of training, before the optimizer is built.

    A frozen layer costs no backward pass, unless what is trained lies before it.

    Returns:
        Their batch normalisations, which have to be in evaluation mode while the rest trains.

    Raises:
        InputError: a name that no module has.
    """
    modules = dict(model.named_modules())
    norms = []
    for name in names:
        if name not in modules:
            depth = name.count(".")
            known = [other for other in modules if other and other.count(".") <= depth]
            raise InputError(
                f"frozen: the network has no module {name!r}; expected names such as "
                f"{', '.join(known[:8])}"
            )
        norms += batch_norms(modules[name].requires_grad_(False))
    return norms
