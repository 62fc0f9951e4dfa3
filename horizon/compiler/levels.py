"""What each level of optimisation does (``docs/compiler.md``, "Levels")."""

from __future__ import annotations

from dataclasses import dataclass

from horizon.compiler.measures import Balance, FewestBytes, FewestTiles
from horizon.compiler.tiling import INNER_CHANNELS, OUTER_CHANNELS, Measure
from horizon.errors import InputError
from horizon.hbm.records import Quad


@dataclass(frozen=True)
class Policy:
    """How to come to a plan.

    Attributes:
        measure: what makes a tiling better.
        double_buffer: a tile is loaded while the one before it is computed.
        resident: tensors stay in SRAM between layers where they fit.
        loops: orders of the loops over tiles.
        arenas: orders of allocation, of which the one with the smallest arena is taken.
    """

    measure: Measure
    double_buffer: bool
    resident: bool
    loops: tuple[Quad, ...]
    arenas: tuple[str, ...] = ("size",)


@dataclass(frozen=True)
class Proportions:
    """What cascades are chosen by.

    Attributes:
        products: multiply-accumulates that take as long as a byte of memory.
        share: of the SRAM that a stripe's buffers and weights may take.
    """

    products: float
    share: float


@dataclass(frozen=True)
class Level:
    """The choices of one level.

    Attributes:
        passes: simplify the graph.
        in_place: concats and slices are no copies.
        reuse_memory: tensors that are not needed at the same time share memory.
        policies: of whose plans the fastest is taken.
        cascades: by what to choose the layers that are carried out stripe by stripe.
        striping: the policies for programs with such layers.
    """

    number: int
    passes: bool
    in_place: bool
    reuse_memory: bool
    policies: tuple[Policy, ...]
    cascades: tuple[Proportions, ...] = ()
    striping: tuple[Policy, ...] = ()


ALL_ARENAS = ("size", "lifetime", "area", "time")
BOTH = (OUTER_CHANNELS, INNER_CHANNELS)
SERIAL = Policy(FewestTiles(), False, False, (OUTER_CHANNELS,))
OVERLAPPED = Policy(FewestTiles(), True, True, (OUTER_CHANNELS,))
FRUGAL = Policy(FewestBytes(), True, True, BOTH, ALL_ARENAS)
BALANCED = tuple(
    Policy(Balance(*proportions), True, True, BOTH, ALL_ARENAS)
    for proportions in (
        (64.0, 2048.0, (4, 8, 16)),
        (512.0, 2048.0, (32, 32, 32)),
        (4096.0, 2048.0, (32, 32, 32)),
    )
)
CASCADES = (Proportions(4096.0, 0.9),)
LEVELS = {
    "O0": Level(0, False, False, False, (SERIAL,)),
    "O1": Level(1, True, True, True, (SERIAL,)),
    "O2": Level(2, True, True, True, (SERIAL, OVERLAPPED)),
    "O3": Level(
        3, True, True, True, (SERIAL, OVERLAPPED, *BALANCED), CASCADES, (FRUGAL, *BALANCED[1:])
    ),
}


def level_of(name: str) -> Level:
    """The level called "O0" to "O3".

    Raises:
        InputError: another name.
    """
    if name not in LEVELS:
        raise InputError(f"opt {name!r}; expected one of {', '.join(LEVELS)}; choose O2 if unsure")
    return LEVELS[name]
