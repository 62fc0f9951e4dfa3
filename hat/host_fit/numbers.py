"""The numbers of a machine that are fitted to times, by their keys in the description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from horizon.march import ARRAYS, Array, Machine
from horizon.march.keys import path

UNITS = ("load", "store", "vector", "aux", "transform")
# Sizes of a step that are tried: those of the registers of all instruction sets.
SIZES = {
    "pixels": (1, 2, 4, 8, 16, 32),
    "inputs": (1, 2, 4, 8, 16, 32, 64),
    "outputs": (1, 2, 4, 8, 16, 32),
}
# Limits of the search. The lower limit of a number that may be 0 in a description acts like 0. The
# upper limit of a bandwidth slows no instruction down.
LIMITS = {
    "startup_cycles": (1.0, 1e7),
    "drain_cycles": (1e-2, 1e4),
    "pixel_cycles": (1e-2, 1e4),
    "int16_steps": (1.0, 100.0),
    "bytes_per_cycle": (1e-3, 256.0),
    "sram_bytes_per_cycle": (1e-1, 256.0),
    "step_cycles": (1e-3, 1e4),
}


def sizes_of(array: str, size: str) -> tuple[int, ...]:
    """The sizes of an array that are tried. Depthwise outputs read one input each."""
    return (1,) if (array, size) == ("depthwise", "inputs") else SIZES[size]


def fitted_keys() -> tuple[str, ...]:
    """The keys of all fitted numbers, without the sizes of the arrays."""
    keys = ["memory.sram_bytes_per_cycle", "tensor.startup_cycles", "tensor.int16_steps"]
    for array in ARRAYS:
        keys += [f"tensor.{array}.step_cycles", f"tensor.{array}.drain_cycles"]
    for unit in UNITS:
        keys += [f"{unit}.{name}" for name in ("startup_cycles", "pixel_cycles", "bytes_per_cycle")]
    return tuple(keys)


def limits(key: str) -> tuple[float, float]:
    """Least and largest value of a number to be fitted."""
    return LIMITS[key.rpartition(".")[2]]


def with_numbers(machine: Machine, values: Mapping[str, float]) -> Machine:
    """The machine with other values of these keys."""
    changed: Any = machine
    for key, value in values.items():
        changed = _changed(changed, path(machine, key), value)
    result: Machine = changed
    return result


def array_of(machine: Machine, name: str) -> Array:
    assert machine.tensor is not None
    return machine.tensor.array(name)


def with_array(machine: Machine, name: str, array: Array) -> Machine:
    result: Machine = _changed(machine, ["tensor", name], array)
    return result


def _changed(place: Any, path: list[str], value: Any) -> Any:
    """``place`` with the value at the path replaced."""
    if not path:
        return value
    name, *rest = path
    if isinstance(place, Mapping):
        return {**place, name: _changed(place[name], rest, value)}
    return replace(place, **{name: _changed(getattr(place, name), rest, value)})
