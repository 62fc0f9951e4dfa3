"""Forged files: right ones with a few fields of their records changed, behind new checksums.

Most changes are small, so that a file often stays right or breaks one rule only.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from horizon.hbm import DataType, Opcode, Space
from horizon.hbm import format as layout
from horizon.hbm.container import join_sections, split_sections
from horizon.hbm.format import SectionKind
from horizon.hbm.records import UNIT_OF
from horizon.isa.records import RECORDS
from tests.horizon.hbm.sealed import sealed

RECORD_TYPES = {
    SectionKind.program: ("ProgramRecord", layout.PROGRAM),
    SectionKind.tensors: ("TensorRecord", layout.TENSOR),
    SectionKind.instructions: ("InstructionRecord", layout.INSTRUCTION),
}
OPERANDS = ("out", "a", "b", "weight")
VALUES = (0, 1, 2, 3, 4, 5, 8, 16, 63, 64, 127, 128, 255, 256, 257, 4095, 4096, 65535, 65536)


def forge(base: bytes, rng: random.Random) -> bytes:
    """A file with one to four changes; ``rng`` decides."""
    file = _Forged(base, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        change = rng.choices(_CHANGES, _WEIGHTS)[0]
        change(file)
    return file.sealed()


def forge_frame(base: bytes, rng: random.Random) -> bytes:
    """A file with a number of its header or of its section table changed, or cut, or longer."""
    data = bytearray(base)
    kind = rng.randrange(8)
    if kind == 0:
        del data[rng.randrange(len(data)) :]
    elif kind == 1:
        data += bytes(rng.randrange(1, 100))
    else:
        size = rng.choice((1, 2, 4, 8))
        place = rng.randrange(0, 256, size)
        old = int.from_bytes(data[place : place + size], "little")
        data[place : place + size] = (_near(rng, old) % 2 ** (8 * size)).to_bytes(size, "little")
    return sealed(bytes(data)) if len(data) >= 256 else bytes(data)


def forge_copies(base: bytes, rng: random.Random) -> bytes:
    """A file with copies of small boxes, with strides of all kinds, before its other instructions.

    Many of them lie in between each other: whether they share a byte is the question.
    """
    file = _Forged(base, rng)
    copies = np.zeros(rng.randrange(1, 4), layout.INSTRUCTION)
    copies["opcode"], copies["unit"] = Opcode.copy, UNIT_OF[Opcode.copy]
    for name in ("kernel", "stride", "dilation"):
        copies[name] = 1
    for item in copies:
        size = rng.choice((1, 1, 2, 4))
        shape = [rng.choice((1, 1, 2, 3, 4)) for _ in range(4)]
        item["out"]["shape"] = item["a"]["shape"] = shape
        for name in ("out", "a"):
            view = item[name]
            view["space"], view["type"] = Space.sram, {1: 0, 2: 1, 4: 2}[size]
            view["offset"] = size * rng.randrange(64 // size)
            view["stride"] = size * np.array(_strides(shape, rng))
        if rng.random() < 0.3:
            item["a"]["stride"] = item["out"]["stride"]
    program = file.records[SectionKind.program]
    program["sram_bytes"] = 1024
    records = np.concatenate([copies, file.instructions])
    file.parts[SectionKind.instructions] = bytearray(records.tobytes())
    return file.sealed()


def _strides(shape: list[int], rng: random.Random) -> list[int]:
    """Of elements that mostly lie apart, sides in any order, with or without gaps."""
    strides, step = [0] * 4, 1
    for axis in sorted(range(4), key=lambda axis: (rng.random() < 0.3, -axis)):
        strides[axis] = step
        step = step * shape[axis] + rng.choice((0, 0, 0, 1, 2, 5))
    if rng.random() < 0.3:
        strides[rng.randrange(4)] = rng.choice((0, 1, 2, *strides))
    return strides


class _Forged:
    """A file taken apart: records as arrays that can be written to, other sections as bytes."""

    def __init__(self, base: bytes, rng: random.Random) -> None:
        self.rng = rng
        self.parts = {kind: bytearray(data) for kind, data in self._split(base).items()}
        self.records = {
            kind: np.frombuffer(self.parts[kind], dtype)
            for kind, (_, dtype) in RECORD_TYPES.items()
        }

    @staticmethod
    def _split(base: bytes) -> dict[SectionKind, memoryview]:
        return split_sections(memoryview(base), "base")

    @property
    def instructions(self) -> np.ndarray:
        return self.records[SectionKind.instructions]

    def instruction(self) -> Any:
        return self.instructions[self.rng.randrange(len(self.instructions)), ...]

    def operand(self) -> Any:
        """A view, rather one that is there."""
        item = self.instruction()
        views = [item[name] for name in OPERANDS]
        present = [view for view in views if view["space"]]
        return self.rng.choice(present or views)

    def sealed(self) -> bytes:
        sections = {}
        for kind, data in self.parts.items():
            size = RECORD_TYPES[kind][1].itemsize if kind in RECORD_TYPES else 1
            sections[kind] = (bytes(data), len(data) // size)
        return join_sections(sections)


def _near(rng: random.Random, old: int) -> int:
    """Another number: close to the old one, or one that is often a limit."""
    kind = rng.randrange(6)
    if kind == 0:
        return old + rng.choice((-2, -1, 1, 2))
    if kind == 1:
        return old + rng.choice((-64, -32, -16, -8, -4, 4, 8, 16, 32, 64))
    if kind == 2:
        return rng.choice((old * 2, old // 2, -old))
    if kind == 3:
        return (1 << rng.randrange(64)) + rng.choice((-1, 0, 1))
    return rng.choice(VALUES)


def _put(rng: random.Random, record: Any, name: str, record_type: str) -> None:
    """Change a field of a record, one element of it if it is an array."""
    field = RECORDS[record_type].field(name)
    column = record[name]
    if field.type == "View":
        _put(rng, column, rng.choice([f.name for f in RECORDS["View"].fields]), "View")
        return
    old = int(column.flat[index]) if (index := _index(rng, column)) is not None else int(column)
    value = _near(rng, old)
    if field.low is not None and field.high is not None and rng.random() < 0.5:
        edges = (field.low - 1, field.low, field.high, field.high + 1)
        value = rng.choice((*edges, rng.randint(field.low, field.high)))
    base = column.dtype.base
    wrapped = np.array(value % 2 ** (8 * base.itemsize), np.uint64).astype(f"<u{base.itemsize}")
    if index is None:
        record[name] = wrapped.view(base)
    else:
        column[index] = wrapped.view(base)


def _index(rng: random.Random, column: Any) -> int | None:
    return rng.randrange(column.size) if column.shape else None


def _field(file: _Forged) -> None:
    names = [field.name for field in RECORDS["InstructionRecord"].fields]
    _put(file.rng, file.instruction(), file.rng.choice(names), "InstructionRecord")


def _view_field(file: _Forged) -> None:
    names = [field.name for field in RECORDS["View"].fields]
    _put(file.rng, file.operand(), file.rng.choice(names), "View")


def _opcode(file: _Forged) -> None:
    """Another opcode, with its unit."""
    item = file.instruction()
    item["opcode"] = opcode = file.rng.choice(list(Opcode))
    item["unit"] = UNIT_OF[opcode]


def _side(file: _Forged) -> None:
    """Another size of a side, in all operands that agree in it."""
    item, axis = file.instruction(), file.rng.randrange(4)
    old = int(item[file.rng.choice(("out", "a"))]["shape"][axis])
    new = max(old + file.rng.choice((-2, -1, 1, 2)), 1)
    for name in ("out", "a", "b"):
        if item[name]["space"] and item[name]["shape"][axis] == old:
            item[name]["shape"][axis] = new


def _borrowed(file: _Forged) -> None:
    """An operand of another instruction."""
    file.operand()[...] = file.operand().copy()


def _borrowed_field(file: _Forged) -> None:
    names = file.instructions.dtype.names
    name = file.rng.choice(names)
    file.instruction()[name] = file.instruction()[name].copy()


def _dense(file: _Forged) -> None:
    """Another type, place or space, with strides that leave no gaps."""
    view, rng = file.operand(), file.rng
    dtype = rng.choice(list(DataType))
    if rng.random() < 0.3:
        view["space"] = rng.choice(list(Space)[1:])
    view["type"] = dtype
    if rng.random() < 0.3:
        view["offset"] = 64 * rng.randrange(100)
    step = dtype.size
    for axis in (3, 2, 1, 0):
        view["stride"][axis] = step % 2**32
        step *= int(view["shape"][axis])


def _interleaved(file: _Forged) -> None:
    """Strides that are some of the small ones: boxes that lie in between each other, or overlap."""
    view, rng = file.operand(), file.rng
    size = DataType(int(view["type"])).size if view["type"] < len(DataType) else 1
    known = [int(step) for step in view["stride"]]
    view["stride"][rng.randrange(4)] = rng.choice((*known, size, 2 * size, 0))
    view["offset"] = (int(view["offset"]) + size * rng.randrange(-8, 9)) % 2**64


def _overlapping(file: _Forged) -> None:
    """An operand close to the output of its instruction."""
    item, rng = file.instruction(), file.rng
    view = item[rng.choice(("a", "b"))]
    if view["space"] == item["out"]["space"]:
        view["offset"] = (int(item["out"]["offset"]) + rng.randrange(-300, 301)) % 2**64
        if rng.random() < 0.5:
            view["stride"] = item["out"]["stride"]


def _channel(file: _Forged) -> None:
    item, rng = file.instruction(), file.rng
    start, count = int(item["table"]), int(item["table_count"])
    constants = file.parts[SectionKind.constants]
    size = layout.CHANNEL.itemsize
    if count and start % 4 == 0 and start + count * size <= len(constants):
        table = np.frombuffer(constants, layout.CHANNEL, count, start)
        names = [field.name for field in RECORDS["Channel"].fields]
        _put(rng, table[rng.randrange(count), ...], rng.choice(names), "Channel")
        if rng.random() < 0.5:
            item["two_slopes"] = 1


def _looked_up(file: _Forged) -> None:
    """Another place or number of a lookup's results, near the end of the constants."""
    rng, end = file.rng, len(file.parts[SectionKind.constants])
    for item in file.records[SectionKind.instructions]:
        if item["opcode"] == Opcode.lookup:
            size = 256 * DataType(int(item["out"]["type"]) % len(DataType)).size
            item["table"] = max(end - size + rng.choice((-64, -32, -16, 0, 32, 64)), 0) // 16 * 16
            item["table_count"] = rng.choice((256, 256, 256, 255, 257, 128, 512))


def _record(kind: SectionKind) -> Any:
    def change(file: _Forged) -> None:
        records, name = file.records[kind], RECORD_TYPES[kind][0]
        record = records[file.rng.randrange(len(records)), ...]
        _put(file.rng, record, file.rng.choice(records.dtype.names), name)

    return change


def _bytes_of(kind: SectionKind) -> Any:
    def change(file: _Forged) -> None:
        data = file.parts[kind]
        data[file.rng.randrange(len(data))] = file.rng.randrange(256)

    return change


def _order(file: _Forged) -> None:
    """Two instructions change places."""
    one, other = file.instruction(), file.instruction()
    first, second = one.copy(), other.copy()
    one[...], other[...] = second, first


_CHANGES, _WEIGHTS = zip(
    (_field, 30),
    (_view_field, 20),
    (_opcode, 3),
    (_side, 8),
    (_borrowed, 4),
    (_borrowed_field, 6),
    (_dense, 5),
    (_interleaved, 6),
    (_overlapping, 6),
    (_channel, 8),
    (_looked_up, 2),
    (_order, 3),
    (_record(SectionKind.program), 4),
    (_record(SectionKind.tensors), 8),
    (_bytes_of(SectionKind.strings), 2),
    (_bytes_of(SectionKind.constants), 4),
    (_bytes_of(SectionKind.metadata), 2),
    strict=True,
)
