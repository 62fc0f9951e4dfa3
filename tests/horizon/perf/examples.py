"""A machine of round numbers, and programs by hand: a clock of 1 Hz makes seconds of cycles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from horizon.hbm.records import UNIT_OF, DataType, Instruction, Opcode, Program, Quad, Space, View
from horizon.march import Array, Machine, SimpleUnit, TensorUnit

# Two cores share 16 bytes per second, of which half is reached: 4 for each, 8 for one alone.
MACHINE = Machine(
    name="round",
    title="Round numbers",
    cores=2,
    workers=1,
    sequential=False,
    clock_hz=1,
    units=("load", "store", "tensor", "vector", "aux", "transform"),
    sram_bytes=1 << 30,
    alignment=64,
    constants_in_place=False,
    sram_bytes_per_cycle=1 << 20,
    ddr_bytes_per_second=16,
    ddr_efficiency=0.5,
    burst_bytes=32,
    tensor=TensorUnit(
        startup_cycles=10,
        int16_steps=2,
        conv=Array(pixels=4, inputs=8, outputs=16, step_cycles=1, drain_cycles=2),
        narrow=Array(pixels=2, inputs=32, outputs=1, step_cycles=1, drain_cycles=3),
        correlation=Array(pixels=1, inputs=8, outputs=16, step_cycles=2, drain_cycles=1),
    ),
    simple={
        "load": SimpleUnit(startup_cycles=5, pixel_cycles=0, bytes_per_cycle=16),
        "store": SimpleUnit(startup_cycles=7, pixel_cycles=0, bytes_per_cycle=8),
        "vector": SimpleUnit(startup_cycles=3, pixel_cycles=1, bytes_per_cycle=4),
        "aux": SimpleUnit(startup_cycles=4, pixel_cycles=2, bytes_per_cycle=8),
        "transform": SimpleUnit(startup_cycles=2, pixel_cycles=0, bytes_per_cycle=32),
    },
    limits={},
    sources={},
)


def with_unit(machine: Machine, name: str, **changes: float) -> Machine:
    """The machine with other numbers of one unit."""
    return replace(
        machine, simple={**machine.simple, name: replace(machine.simple[name], **changes)}
    )


def view(
    shape: Quad, dtype: str = "int8", space: Space = Space.sram, strides: Quad | None = None
) -> View:
    """A view, dense unless strides are given."""
    size = DataType[dtype].size
    _, h, w, c = shape
    dense = (h * w * c * size, w * c * size, c * size, size)
    return View(space, DataType[dtype], shape, strides or dense, 0)


def instruction(
    opcode: Opcode,
    out: View,
    a: View,
    waits: dict[str, int] | None = None,
    layer: str = "layer",
    **rest: Any,
) -> Instruction:
    """An instruction; ``waits`` by the names of units."""
    unit = UNIT_OF[opcode]
    ordered = tuple((waits or {}).get(other.name, 0) for other in type(unit))
    return Instruction(opcode, unit, layer, ordered, out, a, **rest)


def conv(out: Quad, channels: int, kernel: tuple[int, int], **rest: Any) -> Instruction:
    """A convolution of a map of so many channels; operands int8 unless given."""
    n, height, width, _ = out
    a = view((n, height, width, channels), rest.pop("dtype", "int8"))
    weight = view((1, 1, 1, rest.pop("weight_bytes", 64)))
    return instruction(Opcode.conv, view(out), a, kernel=kernel, weight=weight, **rest)


def load(nbytes: int, **rest: Any) -> Instruction:
    """Loads bytes that lie together."""
    shape = (1, 1, 1, nbytes)
    return instruction(Opcode.load, view(shape), view(shape, space=Space.ddr), **rest)


def store(nbytes: int, **rest: Any) -> Instruction:
    """Stores bytes that lie together."""
    shape = (1, 1, 1, nbytes)
    return instruction(Opcode.store, view(shape, space=Space.ddr), view(shape), **rest)


def program(instructions: Sequence[Instruction], sram_bytes: int = 1024) -> Program:
    """A program of these instructions; its tensors and constants do not matter to the time."""
    return Program(
        name="by hand",
        march="round",
        opt=0,
        inputs=(),
        outputs=(),
        instructions=tuple(instructions),
        constants=b"",
        sram_bytes=sram_bytes,
        ddr_bytes=0,
        size_multiple=1,
        metadata={},
    )
