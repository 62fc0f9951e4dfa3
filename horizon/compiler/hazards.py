"""What each instruction waits for, so that every unit can run at its own pace.

A unit executes its own instructions in order. Across units, an instruction waits for earlier
instructions that write what it reads or writes, and for those that read what it writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from horizon.compiler.schedule import Access, Operation
from horizon.hbm.records import UNIT_OF, Space, Unit

Waits = tuple[int, ...]
Range = tuple[Space, int, int]  # first byte, last byte + 1
SHARED = (Space.ddr, Space.sram)
WHOLE = np.array([0] * 4 + [-(2**62)] * 4, np.int64)


def list_waits(operations: Sequence[Operation], ranges: Mapping[str, Range]) -> list[Waits]:
    """For each operation, how many instructions of each unit must have completed before it.

    A wait that follows from an earlier instruction of the same unit is left out (0).

    Args:
        ranges: where each block lies, in ddr or sram.
    """
    owners = _earlier_owners(operations, ranges)
    histories = {name: _History() for name in owners}
    # For each block, the last uses of the earlier blocks at the same bytes: its own uses wait
    # for them.
    before: dict[str, np.ndarray] = {}
    counts = [0] * len(Unit)
    waited = np.zeros((len(Unit), len(Unit)), np.int64)
    result = []
    for operation in operations:
        unit = UNIT_OF[operation.opcode]
        counts[unit] += 1
        needs = np.zeros(len(Unit), np.int64)
        touched = []
        for name, access in _shared(operation).items():
            assert access.block is not None
            touched.append((histories[access.block], _box(access), name == "out"))
            np.maximum(needs, histories[access.block].conflicts(*touched[-1][1:]), out=needs)
            if access.block not in before:
                ended = [histories[owner].last for owner in owners[access.block]]
                before[access.block] = np.max([np.zeros_like(needs), *ended], axis=0)
            np.maximum(needs, before[access.block], out=needs)
        for history, box, writes in touched:
            history.add(unit, counts[unit], box, writes)
        needs[unit] = 0
        result.append(tuple(np.where(needs > waited[unit], needs, 0).tolist()))
        np.maximum(waited[unit], needs, out=waited[unit])
    return result


def _shared(operation: Operation) -> dict[str, Access]:
    """The operands in the memories that several units use: DDR and SRAM."""
    return {name: a for name, a in operation.operands.items() if a.view.space in SHARED}


def _box(access: Access) -> np.ndarray:
    """The used part of a block as starts and negative ends, (8,). Slots are used as a whole."""
    if access.at is None:
        return WHOLE
    ends = [-(at + side) for at, side in zip(access.at, access.view.shape, strict=True)]
    return np.array([*access.at, *ends], np.int64)


class _History:
    """The uses of a block so far, without those that later ones cover (``add``).

    Attributes:
        last: for each unit, its last instruction that used the block, counted from 1.
    """

    def __init__(self) -> None:
        self.last = np.zeros(len(Unit), np.int64)
        self._boxes = np.zeros((0, 8), np.int64)
        self._facts = np.zeros((0, 3), np.int64)  # unit, count, whether it writes

    def conflicts(self, box: np.ndarray, writes: bool) -> np.ndarray:
        """For each unit, the last of its instructions that a use of this box must wait for."""
        # start < other end, and -end < -(other start)
        met = (self._boxes < -np.roll(box, 4)).all(1)
        if not writes:
            met &= self._facts[:, 2] == 1
        result = np.zeros(len(Unit), np.int64)
        np.maximum.at(result, self._facts[met, 0], self._facts[met, 1])
        return result

    def add(self, unit: Unit, count: int, box: np.ndarray, writes: bool) -> None:
        """Add a use, and drop the earlier uses that it covers.

        A use covers earlier ones inside its box if it starts after them: because it writes and so
        waited for them, or because the same unit read them before. An instruction that waits for
        the new use then need not wait for the covered ones.
        """
        covered = (self._boxes >= box).all(1)
        if not writes:
            covered &= (self._facts[:, 0] == unit) & (self._facts[:, 2] == 0)
        self._boxes = np.concatenate([self._boxes[~covered], box[None]])
        self._facts = np.concatenate([self._facts[~covered], [[unit, count, writes]]])
        self.last[unit] = count


def _earlier_owners(
    operations: Sequence[Operation], ranges: Mapping[str, Range]
) -> dict[str, list[str]]:
    """For each block, the blocks that occupied some of its bytes before it was first used."""
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
