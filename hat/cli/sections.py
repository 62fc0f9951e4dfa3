"""The sections that a command reads for itself, checked, and the model in one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from hat.cli import common
from hat.config import Config
from hat.engine.convert import LoadCheckpoint
from hat.errors import InputError
from hat.registry import build_from_registry, nearest


def read_section(
    config: Config, name: str, required: Sequence[str], optional: Sequence[str] = ()
) -> Mapping[str, Any]:
    """The dict ``name`` of a config.

    Raises:
        InputError: no such section, no dict, a key missing, or a key that nothing reads.
    """
    section = config.section(name)
    if not isinstance(section, Mapping):
        raise InputError(f"{config.path}: {name}: expected a dict, found {type(section).__name__}")
    known = [*required, *optional]
    for key in section:
        if key not in known:
            raise InputError(
                f"{config.path}: {name}.{key}: unknown key{nearest(str(key), known)}; "
                f"{name} takes: {', '.join(known)}"
            )
    for key in required:
        if key not in section:
            raise InputError(
                f"{config.path}: {name} has no {key!r}; it needs: {', '.join(required)}"
            )
    return section


def build_model(config: Config, name: str) -> nn.Module:
    """The model that ``{name}.model`` describes, with seeded random weights, in evaluation mode."""
    common.seed_everything(config.get("seed", 0))
    model: nn.Module = build_from_registry(config.section(name)["model"], f"{name}.model")
    return model.eval()


def trained_model(
    config: Config, name: str, stage: str, ckpt: str | Path | None = None
) -> tuple[nn.Module, Path]:
    """That model with the weights of ``stage``, and the file they come from.

    Raises:
        InputError: no checkpoint (says which command makes it), or one that does not fit.
    """
    path = common.stage_checkpoint(config, stage, ckpt)
    return LoadCheckpoint(path)(build_model(config, name)).eval(), path
