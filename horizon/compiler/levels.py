"""What each level of optimisation does (``docs/compiler.md``, "Levels")."""

from __future__ import annotations

from dataclasses import dataclass

from horizon.errors import InputError


@dataclass(frozen=True)
class Level:
    """The choices of one level.

    Attributes:
        passes: simplify the graph.
        in_place: concats and slices are no copies.
        reuse_memory: tensors that are not needed at the same time share memory.
        double_buffer: a tile is loaded while the one before it is computed.
        resident: tensors stay in SRAM between layers where they fit.
        search: tiles and loops of the fewest bytes instead of the fewest tiles.
        orders: orders of allocation, of which the one with the smallest arena is taken.
    """

    number: int
    passes: bool
    in_place: bool
    reuse_memory: bool
    double_buffer: bool
    resident: bool
    search: bool
    orders: tuple[str, ...]


ALL_ORDERS = ("size", "lifetime", "area", "time")
LEVELS = {
    "O0": Level(0, False, False, False, False, False, False, ("size",)),
    "O1": Level(1, True, True, True, False, False, False, ("size",)),
    "O2": Level(2, True, True, True, True, True, False, ("size",)),
    "O3": Level(3, True, True, True, True, True, True, ALL_ORDERS),
}


def level_of(name: str) -> Level:
    """The level called "O0" to "O3".

    Raises:
        InputError: another name.
    """
    if name not in LEVELS:
        raise InputError(f"opt {name!r}; expected one of {', '.join(LEVELS)}; choose O2 if unsure")
    return LEVELS[name]
