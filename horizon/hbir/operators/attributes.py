"""Attributes of nodes and their checks, and the error of a node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from horizon.errors import InputError
from horizon.hbir.fixed_point import ACCUMULATOR_LIMIT, LIMITS, MULTIPLIER_LIMIT, SHIFT_RANGE
from horizon.hbir.node import Node, TensorInfo

ARRAYS = {
    "int8 array": (np.int8,),
    "int8 or int16 array": (np.int8, np.int16),
    "int32 array": (np.int32,),
    "int64 array": (np.int64,),
}


def problem(node: Node, found: str, expected: str) -> InputError:
    """The error of a node: what was found there and what was expected."""
    return InputError(
        f"layer {node.name} ({node.op}): {found}; expected {expected}; "
        "convert the model again or correct the program"
    )


def check_attributes(node: Node, required: Mapping[str, str], optional: Mapping[str, str]) -> None:
    """Every attribute is known and of its kind, and none that is required is missing."""
    kinds = {**required, **optional}
    for name in required:
        if name not in node.attributes:
            raise problem(node, f"no attribute {name!r}", f"{sorted(required)}")
    for name, value in node.attributes.items():
        if name not in kinds:
            raise problem(node, f"attribute {name!r}", f"{sorted(kinds)}")
        if not _is_kind(value, kinds[name]):
            found = f"{value.dtype} array" if isinstance(value, np.ndarray) else repr(value)
            raise problem(node, f"attribute {name} is {found}", kinds[name])


def check_limits(node: Node, output: TensorInfo) -> None:
    """lo and hi are numbers of the output's type, in order."""
    lo, hi = node.attributes["lo"], node.attributes["hi"]
    low, high = LIMITS[output.dtype]
    if not low <= lo <= hi <= high:
        raise problem(
            node,
            f"limits lo {lo}, hi {hi}",
            f"{low} <= lo <= hi <= {high}, {output.dtype}",
        )


def check_pairs(node: Node, **smallest: int) -> None:
    """Pairs whose numbers are at least so large."""
    for name, low in smallest.items():
        if min(node.attributes[name]) < low:
            raise problem(node, f"{name} {node.attributes[name]}", f"two numbers of at least {low}")


def _is_kind(value: Any, kind: str) -> bool:
    if kind == "int":
        return isinstance(value, int | np.integer) and not isinstance(value, bool)
    if kind == "pair":
        return (
            isinstance(value, tuple) and len(value) == 2 and all(_is_kind(v, "int") for v in value)
        )
    if kind == "int or int64 array":
        return _is_kind(value, "int") or _is_kind(value, "int64 array")
    if kind == "activation":
        return isinstance(value, str)
    return isinstance(value, np.ndarray) and value.dtype in ARRAYS[kind]


def check_multiplier(node: Node, name: str, channels: int, signed: bool = False) -> None:
    """A multiplier is in 0..2^24, or -2^24..2^24; one number or one per output channel."""
    _check_vector(node, name, channels)
    values = np.asarray(node.attributes[name])
    lowest = -MULTIPLIER_LIMIT if signed else 0
    if values.size and (values.min() < lowest or values.max() > MULTIPLIER_LIMIT):
        raise problem(
            node,
            f"{name} has values {values.min()}..{values.max()}",
            f"{'-2^24' if signed else '0'}..2^24, 2^24 = {MULTIPLIER_LIMIT}",
        )


def check_slopes(node: Node, pairs: Mapping[str, str], channels: int) -> None:
    """All multipliers below zero are there, or none; ``pairs`` names those above that belong."""
    values = node.attributes
    given = [below for below in pairs.values() if below in values]
    wanted = [below for above, below in pairs.items() if above in values]
    if given and given != wanted:
        found = f"two slopes by {' and '.join(given)}"
        raise problem(node, found, f"by {' and '.join(wanted) or 'none'}")
    for below in given:
        check_multiplier(node, below, channels, signed=True)


def check_shift(node: Node, name: str, channels: int, minus: int = 0) -> None:
    """A shift is in 1..47, also after ``minus`` fraction bits have been taken off."""
    _check_vector(node, name, channels)
    low, high = SHIFT_RANGE
    values = np.asarray(node.attributes[name])
    if values.size and (values.min() - minus < low or values.max() > high):
        bits = f" less {minus} fraction bits" if minus else ""
        raise problem(node, f"{name} {values.min()}..{values.max()}{bits}", f"{low}..{high}")


def _check_vector(node: Node, name: str, channels: int) -> None:
    value = node.attributes[name]
    if isinstance(value, np.ndarray) and value.shape != (channels,):
        raise problem(node, f"{name} has shape {value.shape}", f"({channels},), one per channel")


def checked_accumulator(node: Node, acc: np.ndarray) -> np.ndarray:
    """``acc`` as int64; InputError if a value reaches 2^28, whatever the proof said."""
    acc = acc.astype(np.int64, copy=False)
    if acc.size and max(int(acc.max()), -int(acc.min())) >= ACCUMULATOR_LIMIT:
        raise problem(node, f"accumulator {acc.min()}..{acc.max()}", "magnitude less than 2^28")
    return acc
