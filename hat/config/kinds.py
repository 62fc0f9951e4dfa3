"""What kind of value the keys of a config have that commands read, checked when it is read.

The arguments of typed dicts are not here: the types themselves check those. Nor are the sections
that a command reads by its own rules, which say more of them (:mod:`hat.cli.sections`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hat.errors import InputError
from hat.stages import STAGES

Check = tuple[str, Callable[[Any], bool]]
SHOWN = 60  # characters of a value in a message


def _is_object(value: Any) -> bool:
    """Whether this can be, or describe, an object: it is no plain value."""
    return not isinstance(value, str | bytes | int | float | list | tuple)


def _is_typed(value: Any) -> bool:
    return isinstance(value, Mapping) and "type" in value


def _is_path(value: Any) -> bool:
    return isinstance(value, str | Path) and value != ""


DICT: Check = ("a dict", lambda value: isinstance(value, Mapping))
TYPED: Check = ("a dict with a type", _is_typed)
OBJECT: Check = ("a dict, or an object", _is_object)
MODEL: Check = (
    "a dict with a type, or an object",
    lambda value: _is_typed(value) or (_is_object(value) and not isinstance(value, Mapping)),
)
PATH: Check = ("the path of a folder", _is_path)
NUMBER: Check = ("a whole number", lambda value: isinstance(value, int))

TRAINERS = (*(f"{stage}_trainer" for stage in STAGES), "int_trainer")
PREDICTORS = (*(f"{stage}_predictor" for stage in STAGES), "align_bpu_predictor")
SECTIONS = ("calops_cfg", "infer_cfg", "onnx_cfg", "compile_cfg")
KINDS: dict[str, Check] = {
    **dict.fromkeys(("ckpt_dir", "shipped_ckpt_dir"), PATH),
    **dict.fromkeys((*TRAINERS, *PREDICTORS), TYPED),
    **dict.fromkeys(("data_loader", "val_data_loader"), DICT),
    **dict.fromkeys(("model", "deploy_model", "batch_processor", "val_batch_processor"), OBJECT),
    **{f"{section}.model": MODEL for section in (*SECTIONS, *TRAINERS, *PREDICTORS)},
    "onnx_cfg.out_dir": PATH,
    "onnx_cfg.opset_version": NUMBER,
}
"""By key, with a dot inside of a section. None, a section that is not there, is always allowed."""


def check_kinds(sections: Mapping[str, Any], path: str) -> None:
    """InputError for the first key of the config ``path`` whose value is of another kind."""
    for key, (expected, fits) in KINDS.items():
        section, _, entry = key.partition(".")
        value = sections.get(section)
        if entry:
            value = value.get(entry) if isinstance(value, Mapping) else None
        if value is not None and not fits(value):
            found = repr(value)
            raise InputError(
                f"{path}: {key}: found {found[:SHOWN]}{'...' if len(found) > SHOWN else ''}, "
                f"expected {expected}; change it in the config or by --opts"
            )
