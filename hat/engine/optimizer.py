"""Optimizers from configs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from hat.errors import InputError
from hat.registry import Deferred


def build_optimizer(config: Deferred, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of ``model``'s parameters.

    ``params={"weight": dict(weight_decay=4e-4)}`` in the config gives the parameters whose name
    contains "weight" a group of their own with that setting; the first key that fits wins, and the
    rest form the default group.

    Raises:
        InputError: a key that fits no parameter.
    """
    arguments = dict(config.config)
    groups_config: dict[str, dict[str, Any]] = arguments.pop("params", None) or {}
    if not isinstance(groups_config, dict):
        raise InputError(
            f"{config.path}.params: expected a dict from a part of a name to settings, found "
            f"{type(groups_config).__name__}"
        )
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = []
    taken: set[str] = set()
    for part, settings in groups_config.items():
        chosen = {name: p for name, p in named if part in name and name not in taken}
        if not chosen:
            raise InputError(f"{config.path}.params.{part}: no parameter's name contains {part!r}")
        taken.update(chosen)
        groups.append({"params": list(chosen.values()), **settings})
    rest = [p for name, p in named if name not in taken]
    if rest:
        groups.append({"params": rest})
    return Deferred(arguments, config.path).build(params=groups)
