"""Weights that several layers of a network share, and that come apart in fixed point."""

from __future__ import annotations

import logging

from torch import nn

logger = logging.getLogger(__name__)


def tell_ties(model: nn.Module) -> None:
    """Warn of weights that are one tensor in several layers.

    Each of these layers is folded and scaled by itself, so that training changes them apart.
    """
    owners: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), []).append(name)
    for names in owners.values():
        layers = {model.get_submodule(name.rpartition(".")[0]) for name in names}
        if len(layers) > 1:
            logger.warning(
                "%s are one tensor; in fixed point each is trained by itself: call one layer in "
                "all places, if they are to stay the same",
                ", ".join(names),
            )
