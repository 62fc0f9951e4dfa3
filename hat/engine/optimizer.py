"""Optimizers from configs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from hat.errors import InputError
from hat.registry import Component

Groups = list[dict[str, Any]]


def build_optimizer(config: Component, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of ``model``'s parameters.

    ``params={"weight": dict(weight_decay=4e-4)}`` in the config gives the parameters whose name
    contains "weight" a group of their own with that setting; the first key that fits wins, and the
    rest form the default group.

    Raises:
        InputError: a key that fits no parameter.
    """
    groups_config: dict[str, dict[str, Any]] = config.arguments.get("params") or {}
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
    return config.build(params=groups)


def configured_groups(optimizer: torch.optim.Optimizer) -> Groups:
    """The settings of each parameter group (learning rate, weight decay ...), without parameters.

    Called on an optimizer that has just been built, these are the config's.
    """
    return [
        {key: _plain(value) for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]


def restore_optimizer(
    optimizer: torch.optim.Optimizer, state: dict[str, Any], before: Groups | None
) -> list[str]:
    """Continue with the saved ``state`` of an optimizer and with the settings of this config.

    A setting that is the same in both configs keeps the saved value, which a schedule may have
    changed since; one that differs takes the new value, and its schedule starts from that.

    Args:
        before: :func:`configured_groups` of the run that saved ``state``; None if it kept none.

    Returns:
        The settings that differ, a line each.

    Raises:
        InputError: the groups hold other numbers of parameters, or the state is another
            optimizer's.
    """
    now = configured_groups(optimizer)
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    saved_sizes = [len(group["params"]) for group in state["param_groups"]]
    if sizes != saved_sizes:
        raise InputError(
            f"optimizer.params: the run that is resumed has groups of {saved_sizes} parameters, "
            f"this config gives groups of {sizes}; use the run's config, or start a new run from "
            "its weights: --ckpt"
        )
    if before is None:
        before = [
            {**group, "lr": group.get("initial_lr", group["lr"])} for group in state["param_groups"]
        ]
    for index, (old, new) in enumerate(zip(before, now, strict=True)):
        missing = sorted({*new} - {*old}) + sorted({*old} - {*new} - {"params", "initial_lr"})
        if missing:
            raise InputError(
                f"optimizer: the run that is resumed has another kind of optimizer: group {index} "
                f"differs in {', '.join(missing)}; use the run's config, or start a new run from "
                "its weights: --ckpt"
            )
    optimizer.load_state_dict(state)
    changed = []
    for index, (group, old, new) in enumerate(
        zip(optimizer.param_groups, before, now, strict=True)
    ):
        for key, value in new.items():
            if old[key] != value:
                group[key] = value
                if key == "lr":
                    group.pop("initial_lr", None)
                changed.append(
                    f"optimizer group {index}, {key}: {old[key]} in the run, {value} now"
                )
    return changed


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) else value
