"""Weights that are computed at each call become parameters: weight_norm, spectral_norm, pruning."""

from __future__ import annotations

import logging
from typing import Any

from torch import nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

logger = logging.getLogger(__name__)


def use_parameters(model: nn.Module) -> None:
    """Change ``model``, in evaluation mode: its weights are parameters with the values of now."""
    changed = [name for name, layer in model.named_modules() if _made_plain(layer)]
    if changed:
        logger.warning(
            "%s: weights that were computed at each call (weight_norm, spectral_norm, pruning) are "
            "parameters in the prepared network, and train like any other",
            ", ".join(changed),
        )


def _leave_parametrised(layer: Any) -> None:
    """``parametrize.remove_parametrizations`` without a change of the class, which ``layer`` shares
    with the network that it was copied from.
    """
    values = {name: getattr(layer, name).detach().clone() for name in layer.parametrizations}
    trains = {
        name: any(p.requires_grad for p in held.parameters())
        for name, held in layer.parametrizations.items()
    }
    del layer.parametrizations
    layer.__class__ = type(layer).__bases__[0]
    for name, value in values.items():
        layer.register_parameter(name, nn.Parameter(value, trains[name]))


def _made_plain(layer: nn.Module) -> bool:
    """Whether anything had to be changed."""
    changed = False
    if parametrize.is_parametrized(layer):
        _leave_parametrised(layer)
        changed = True
    for hook in list(layer._forward_pre_hooks.values()):
        if isinstance(hook, WeightNorm):
            remove_weight_norm(layer, hook.name)
        elif isinstance(hook, SpectralNorm):
            remove_spectral_norm(layer, hook.name)
        elif isinstance(hook, prune.BasePruningMethod):
            prune.remove(layer, hook._tensor_name)
        else:
            continue
        changed = True
    return changed
