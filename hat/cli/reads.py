"""What a command with a config reads: its outputs are checked against that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hat.config import Config
from hat.config.source import config_files
from hat.engine.checkpoint import checkpoint_path
from hat.paths import find_input
from hat.stages import STAGES
from horizon.files import AnyPath

LOADERS = ("data_loader", "val_data_loader", "calibration_data_loader")


def reads(config: Config, **more: AnyPath | None) -> dict[str, AnyPath | None]:
    """The ``inputs`` of :func:`hat.outputs.check_outputs`, by name.

    These are the config, the configs that it derives from, the best checkpoints of all stages in
    ``ckpt_dir`` and ``shipped_ckpt_dir``, the data sets, and ``more``.
    """
    inputs: dict[str, AnyPath | None] = {"config": config.path, **more}
    for index, file in enumerate(config_files(Path(config.path))[1:]):
        inputs[f"_base_ {index}" if index else "_base_"] = file
    for key in ("ckpt_dir", "shipped_ckpt_dir"):
        for stage in STAGES:
            if config.get(key) is not None:
                folder = config[key] if key == "ckpt_dir" else find_input(config[key])
                inputs[f"{stage} checkpoint of {key}"] = checkpoint_path(folder, stage)
    for key in LOADERS:
        for index, path in enumerate(data_paths(config.get(key))):
            inputs[f"{key}'s data set" + (f" {index + 1}" if index else "")] = find_input(path)
    return inputs


def data_paths(loader: Any) -> Iterator[AnyPath]:
    """The ``data_path`` of the data set of a loader, and of the parts of a mixture."""
    if isinstance(loader, Mapping):
        if loader.get("data_path"):
            yield loader["data_path"]
        for value in loader.values():
            yield from data_paths(value)
    elif isinstance(loader, list | tuple):
        for value in loader:
            yield from data_paths(value)
