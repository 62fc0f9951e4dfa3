"""What each instruction has to wait for, so that units may run at their own pace.

Units carry out their own instructions in order. Between units, an instruction waits for those
before it that write what it reads or writes, and for those that read what it writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from horizon.compiler.schedule import Access, Operation
from horizon.hbm.records import UNIT_OF, Quad, Space, Unit

Waits = tuple[int, ...]
Range = tuple[Space, int, int]  # first byte, last byte + 1
SHARED = (Space.ddr, Space.sram)


@dataclass(frozen=True)
class _Touch:
    """An access to a block; ``count``: instructions of the unit up to and including this one."""

    unit: Unit
    count: int
    at: Quad | None
    shape: Quad
    writes: bool


def list_waits(operations: Sequence[Operation], ranges: Mapping[str, Range]) -> list[Waits]:
    """For each operation how many instructions of each unit must have completed before it.

    Waits that earlier instructions of the same unit imply are left out (0).

    Args:
        ranges: where each block lies, in ddr or sram.
    """
    owners = _earlier_owners(operations, ranges)
    touches: dict[str, list[_Touch]] = {}
    done: dict[str, Waits] = {}  # by block: its last instruction of each unit
    counts = [0] * len(Unit)
    waited = [(0,) * len(Unit)] * len(Unit)
    result = []
    for operation in operations:
        unit = UNIT_OF[operation.opcode]
        counts[unit] += 1
        needs = [0] * len(Unit)
        for name, access in _shared(operation).items():
            block, touch = _touch(unit, counts[unit], name, access)
            for other in touches.get(block, ()):
                if (touch.writes or other.writes) and _overlap(touch, other):
                    needs[other.unit] = max(needs[other.unit], other.count)
            for owner in owners[block]:
                needs = list(map(max, needs, done[owner]))
        for name, access in _shared(operation).items():
            block, touch = _touch(unit, counts[unit], name, access)
            kept = [old for old in touches.get(block, ()) if not _replaces(touch, old)]
            touches[block] = [*kept, touch]
            now = [0] * len(Unit)
            now[unit] = counts[unit]
            done[block] = tuple(map(max, done.get(block, now), now))
        needs[unit] = 0
        implied = waited[unit]
        result.append(tuple(n if n > i else 0 for n, i in zip(needs, implied, strict=True)))
        waited[unit] = tuple(map(max, needs, implied))
    return result


def _shared(operation: Operation) -> dict[str, Access]:
    """The operands that are in memory which several units use."""
    return {name: a for name, a in operation.operands.items() if a.view.space in SHARED}


def _touch(unit: Unit, count: int, name: str, access: Access) -> tuple[str, _Touch]:
    assert access.block is not None
    return access.block, _Touch(unit, count, access.at, access.view.shape, name == "out")


def _overlap(a: _Touch, b: _Touch) -> bool:
    if a.at is None or b.at is None:
        return True
    sides = zip(a.at, a.shape, b.at, b.shape, strict=True)
    return all(x < y + height and y < x + width for x, width, y, height in sides)


def _replaces(new: _Touch, old: _Touch) -> bool:
    """Whether who waits for ``new`` needs not wait for ``old`` as well.

    ``new`` covers ``old``, and comes after it: in the same unit, or because it waits for it.
    """
    if not new.writes and (old.writes or old.unit is not new.unit):
        return False
    if new.at is None or old.at is None:
        return True
    sides = zip(new.at, new.shape, old.at, old.shape, strict=True)
    return all(x <= y and y + height <= x + width for x, width, y, height in sides)


def _earlier_owners(
    operations: Sequence[Operation], ranges: Mapping[str, Range]
) -> dict[str, list[str]]:
    """For each block those that had some of its bytes before it."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for number, operation in enumerate(operations):
        for access in _shared(operation).values():
            assert access.block is not None
            first.setdefault(access.block, number)
            last[access.block] = number
    names = list(first)
    spaces, starts, ends = (np.array([ranges[name][i] for name in names]) for i in range(3))
    begins, finishes = (np.array([use[name] for name in names]) for use in (first, last))
    result = {}
    for index, name in enumerate(names):
        shared = (spaces == spaces[index]) & (starts < ends[index]) & (ends > starts[index])
        shared[index] = False
        earlier = shared & (begins < begins[index])
        assert np.all(finishes[earlier] < begins[index]), f"{name} overlaps a block in use"
        result[name] = [names[other] for other in np.flatnonzero(earlier)]
    return result
