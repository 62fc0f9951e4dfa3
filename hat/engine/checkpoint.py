"""Checkpoint files: written whole or not at all, read as weights and plain values only.

A checkpoint is one dict: ``format`` and ``version``, ``stage``, ``epoch`` and ``step`` reached,
``metrics``, ``state_dict`` (the weights to use: averaged ones where averaging is on) and, in files
that a run can continue from, ``resume``. The stage int_infer has no weights: its ``state_dict`` is
empty and ``program`` holds the fixed-point program.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hat.data.files import atomic_path
from hat.engine.checkpoint_file import check_file
from hat.errors import InputError
from hat.registry import nearest
from hat.stages import STAGES
from horizon.quantization import IntegerModel, program_state

FORMAT = "hat-checkpoint"
VERSION = 1
PREPARED = ("calibration", "qat")  # the same layers and the same names in both


def checkpoint_path(ckpt_dir: str | Path, stage: str, which: str = "best") -> Path:
    """``{ckpt_dir}/{stage}-checkpoint-{which}.pth.tar``."""
    return Path(ckpt_dir) / f"{stage}-checkpoint-{which}.pth.tar"


def stage_in_name(path: str | Path) -> str | None:
    """The stage in ``{stage}-checkpoint-...``; None for a file of another name."""
    stage, dash, _ = Path(path).name.partition("-checkpoint-")
    return stage if dash and stage in STAGES else None


def possible_stages(content: dict[str, Any]) -> tuple[str, ...]:
    """The stage that a checkpoint was made by, or those that its weights can come from."""
    if "program" in content:
        return ("int_infer",)
    if content.get("stage") in STAGES:
        return (content["stage"],)
    return PREPARED if is_prepared(content["state_dict"]) else ("float",)


def is_prepared(state_dict: Iterable[str]) -> bool:
    """Whether these are the names of a model with quantised layers."""
    return any("act_quant" in name.split(".") for name in state_dict)


def check_stage(content: dict[str, Any], source: str | Path, allowed: Sequence[str]) -> None:
    """InputError unless the checkpoint can be of one of the ``allowed`` stages."""
    found = possible_stages(content)
    if not set(found) & set(allowed):
        raise InputError(
            f"{source}: a checkpoint of the stage {' or '.join(found)}; expected one of the stage "
            f"{' or '.join(allowed)}"
        )


def model_content(model: nn.Module) -> dict[str, Any]:
    """What a checkpoint keeps of a model: its weights, or its program."""
    if isinstance(model, IntegerModel):
        return {"state_dict": {}, "program": program_state(model.graph)}
    return {"state_dict": model.state_dict()}


def save_checkpoint(path: str | Path, content: dict[str, Any]) -> None:
    """Write ``content`` (with format and version added) to ``path`` atomically.

    Raises:
        InputError: the disk is full or the folder cannot be written.
        ValueError: a tensor of ``state_dict`` is not finite; nothing is written.
    """
    for name, value in content["state_dict"].items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ValueError(f"{path}: not saved, {name} is not finite")
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary, open(temporary, "xb") as file:
            torch.save({"format": FORMAT, "version": VERSION, **content}, file)
            file.flush()
            os.fsync(file.fileno())
    except (InputError, OSError, RuntimeError) as error:  # torch reports a failed write as such
        raise InputError(
            f"{path}: the checkpoint could not be written ({error}); free some space or choose "
            "another ckpt_dir, then continue with --resume"
        ) from error


def save_weights(path: str | Path, weights: dict[str, Any], stage: str = "float") -> None:
    """Write weights that a training may start from: a checkpoint of step 0.

    Raises:
        InputError, ValueError: as :func:`save_checkpoint`.
    """
    start = {"stage": stage, "epoch": 0, "step": 0, "metrics": {}}
    save_checkpoint(path, {**start, "state_dict": weights})


def load_checkpoint(path: str | Path, hint: str = "") -> dict[str, Any]:
    """Read a checkpoint onto the CPU; a bare state dict is accepted as ``state_dict``.

    Raises:
        InputError: missing (``hint`` says how to make it), damaged, of another version, or not a
            checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint{'; ' + hint if hint else ''}")
    check_file(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{path}: not a readable checkpoint ({_reason(error)}); it is damaged or holds more "
            "than weights and plain values; save its state_dict alone with torch.save"
        ) from error
    if isinstance(content, dict) and content.get("format") == FORMAT:
        if content.get("version") != VERSION:
            raise InputError(_of_another_version(path, content))
        return content
    if isinstance(content, dict) and "state_dict" in content:
        return content
    if isinstance(content, dict) and content and _all_tensors(content.values()):
        return {"state_dict": content}
    raise InputError(f"{path}: holds no 'state_dict'; found {_describe(content)}")


def _reason(error: Exception) -> str:
    """What torch has found, without its advice to run the code in the file."""
    found = re.search(r"Unsupported (global: GLOBAL \S+|\w+ \S+)", str(error))
    if found is not None:
        return found[0]
    if isinstance(error, pickle.UnpicklingError) or not str(error):
        return type(error).__name__
    return str(error).splitlines()[0]


def _of_another_version(path: Path, content: dict[str, Any]) -> str:
    stage = content.get("stage")
    again = f"make it again with 'hat train --stage {stage}'" if stage in STAGES else "train again"
    return (
        f"{path}: checkpoint version {content.get('version')}, this program reads {VERSION}; "
        f"install the version of horizon-flow that wrote it, or {again}"
    )


def load_weights(
    model: nn.Module,
    state_dict: dict[str, Tensor],
    source: str,
    allow_miss: bool = False,
    ignore_extra: bool = False,
) -> None:
    """Copy ``state_dict`` into ``model``.

    Raises:
        InputError: a missing or extra name (unless allowed) or a shape that differs.
    """
    state_dict = {name.removeprefix("module."): value for name, value in state_dict.items()}
    own = model.state_dict()
    missing = [name for name in own if name not in state_dict]
    extra = [name for name in state_dict if name not in own]
    for name, value in state_dict.items():
        if name in own and own[name].shape != value.shape:
            raise InputError(
                f"{source}: {name} has the shape {tuple(value.shape)}, the config's model expects "
                f"{tuple(own[name].shape)}; use the config that the checkpoint was trained with"
            )
    if missing and not allow_miss:
        raise InputError(
            f"{source}: {len(missing)} of the model's entries are missing, first "
            f"{missing[0]}{nearest(missing[0], extra)}; use the config that the checkpoint was "
            "trained with, or allow_miss=True"
        )
    if extra and not ignore_extra:
        raise InputError(
            f"{source}: {len(extra)} entries do not belong to the model, first {extra[0]}"
            f"{nearest(extra[0], missing)}; use the config that the checkpoint was trained with, "
            "or ignore_extra=True"
        )
    model.load_state_dict(state_dict, strict=False)


def _all_tensors(values: Iterable[Any]) -> bool:
    return all(isinstance(value, Tensor) for value in values)


def _describe(content: Any) -> str:
    if isinstance(content, dict):
        return f"a dict with the keys {', '.join(map(str, list(content)[:8]))}"
    return f"a {type(content).__name__}"
