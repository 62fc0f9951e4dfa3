"""All decisions of a program for a machine: where tensors live, how layers are cut, addresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from horizon.compiler.allocate import Block
from horizon.compiler.layout import Buffer
from horizon.compiler.tasks import Operand, Task
from horizon.compiler.tiling import Tiling
from horizon.hbm.records import Space


@dataclass(frozen=True)
class Plan:
    """The decisions.

    Attributes:
        spaces: the memory of each buffer: ddr, sram or the caller's.
        tilings: by task; None for a copy that is one instruction.
        prefetched: by task, the operands whose first part is loaded before the last tile of the
            previous task.
        blocks: the contents of the SRAM: slots and resident tensors.
        sram, ddr: offsets of slots and tensors by name.
        traffic: bytes that are loaded and stored.
    """

    spaces: dict[str, Space]
    tilings: list[Tiling | None]
    prefetched: list[frozenset[str]]
    blocks: list[Block]
    sram: dict[str, int]
    sram_bytes: int
    ddr: dict[str, int]
    ddr_bytes: int
    traffic: int


def slot_name(task: int, operand: str, number: int) -> str:
    """The name of a slot; tensors have no white space in their names."""
    return f"slot {task} {operand} {number}"


def is_one_copy(task: Task, spaces: dict[str, Space]) -> bool:
    """Whether one instruction can carry out the whole task."""
    if not task.is_copy:
        return False
    source, target = (spaces[operand.place.buffer] for operand in (task.a, task.out))
    if Space.sram in (source, target):
        return True
    return (source, target) in ((Space.input, Space.ddr), (Space.ddr, Space.output))


def spaces_of(buffers: dict[str, Buffer], resident: frozenset[str]) -> dict[str, Space]:
    """The memory of each buffer: the caller's arrays keep theirs, residents are in SRAM."""
    return {
        name: buffer.space
        if buffer.space is not Space.none
        else (Space.sram if name in resident else Space.ddr)
        for name, buffer in buffers.items()
    }


def slots(tilings: list[Tiling | None], prefetched: list[frozenset[str]]) -> list[Block]:
    """The slots of all tasks. A prefetched operand's first slot starts to live one task earlier."""
    return [
        Block(slot_name(task, name, slot), size, task - (name in ahead and slot == 0), task)
        for task, (tiling, ahead) in enumerate(zip(tilings, prefetched, strict=True))
        if tiling
        for name, (size, count) in tiling.slots.items()
        for slot in range(count)
    ]


def prefetchable(tasks: Sequence[Task], task: int, tiling: Tiling | None) -> dict[str, int]:
    """Operands that can be loaded while the previous task runs, with the bytes of a slot."""
    if task == 0 or tiling is None:
        return {}
    before = tasks[task - 1].out
    operands = tasks[task].operands
    return {
        name: size
        for name, (size, _) in tiling.slots.items()
        if name == "weight" or (name != "out" and not overlap(operands[name], before))
    }


def overlap(a: Operand, b: Operand) -> bool:
    """Whether two operands share memory."""
    if a.place.buffer != b.place.buffer:
        return False
    begins = ((place.batch, place.row, place.column, place.channel) for place in (a.place, b.place))
    return all(map(_meet, next(begins), a.shape, next(begins), b.shape))


def _meet(a: int, a_size: int, b: int, b_size: int) -> bool:
    return a < b + b_size and b < a + a_size
