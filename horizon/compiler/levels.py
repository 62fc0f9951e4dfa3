"""What each level of optimisation does (``docs/compiler.md``, "Levels")."""

from __future__ import annotations

from dataclasses import dataclass

from horizon.compiler.measures import Balance, FewestBytes, FewestTiles
from horizon.compiler.tiling import INNER_CHANNELS, OUTER_CHANNELS, Measure
from horizon.errors import InputError
from horizon.hbm.records import Quad


@dataclass(frozen=True)
class Policy:
    """How a plan is made.

    Attributes:
        measure: decides which of two tilings is better.
        double_buffer: load a tile while the tile before it is computed.
        resident: keep tensors in SRAM between layers where they fit.
        loops: the orders of the loops over tiles that are tried.
        arenas: the orders of allocation that are tried; the smallest arena is taken.
    """

    measure: Measure
    double_buffer: bool
    resident: bool
    loops: tuple[Quad, ...]
    arenas: tuple[str, ...] = ("size",)


@dataclass(frozen=True)
class Proportions:
    """The proportions by which cascades are chosen.

    Attributes:
        products: multiply-accumulates that take as long as moving a byte of memory.
        share: the share of the SRAM that a stripe's buffers and weights may take.
    """

    products: float
    share: float


@dataclass(frozen=True)
class Level:
    """The choices of one level.

    Attributes:
        passes: simplify the graph.
        in_place: make concats and slices parts of buffers where possible, instead of copies.
        reuse_memory: let tensors that are not needed at the same time share memory.
        policies: each makes a plan; the fastest plan is taken.
        cascades: each gives a choice of layers that run together, stripe by stripe.
        striping: the policies for programs with cascades.
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
