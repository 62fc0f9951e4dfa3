"""Weights that are computed at each call become parameters: weight_norm, spectral_norm, pruning."""

from __future__ import annotations

import logging

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


def _made_plain(layer: nn.Module) -> bool:
    """Whether anything had to be changed."""
    changed = False
    if parametrize.is_parametrized(layer):
        for name in list(layer.parametrizations):  # type: ignore[arg-type]
            parametrize.remove_parametrizations(layer, name, leave_parametrized=True)
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
