"""Each way in which a compiled program can be wrong is refused, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from horizon.compiler.verify import verify_program
from horizon.errors import InputError
from horizon.hbm.format import CHANNEL
from horizon.hbm.records import DataType, Instruction, Opcode, Unit
from tests.horizon.compiler.handmade import ORIGIN, tiled_conv, whole_pyramid
from tests.horizon.compiler.mutations import changed, without


def _number(compiled: Any, opcode: Opcode, index: int) -> int:
    """The list's number of the index-th instruction of an opcode."""
    found = [n for n, i in enumerate(compiled.program.instructions) if i.opcode is opcode]
    return found[index]


def _instruction(compiled: Any, opcode: Opcode, index: int) -> Instruction:
    instruction: Instruction = compiled.program.instructions[_number(compiled, opcode, index)]
    return instruction


def _change(
    compiled: Any,
    opcode: Opcode,
    index: int,
    change: Callable[[Instruction], dict[str, Any]],
) -> SimpleNamespace:
    number = _number(compiled, opcode, index)
    return changed(compiled, number, **change(compiled.program.instructions[number]))


def _waits(unit: Unit, count: int) -> Callable[[Instruction], dict[str, Any]]:
    def change(instruction: Instruction) -> dict[str, Any]:
        waits = list(instruction.waits)
        waits[unit] = count
        return {"waits": tuple(waits)}

    return change


def _shift(name: str, by: int) -> Callable[[Instruction], dict[str, Any]]:
    def change(instruction: Instruction) -> dict[str, Any]:
        view = getattr(instruction, name)
        return {name: replace(view, offset=view.offset + by)}

    return change


def _no_first_row(instruction: Instruction) -> dict[str, Any]:
    """A convolution that takes its upper halo row for padding."""
    a = instruction.a
    batch, rows, columns, channels = a.shape
    shape = (batch, rows - 1, columns, channels)
    a = replace(a, shape=shape, offset=a.offset + a.strides[1])
    return {"a": a, "pad": (instruction.pad[0] + 1, instruction.pad[1])}


def _no_last_row(instruction: Instruction) -> dict[str, Any]:
    batch, rows, columns, channels = instruction.a.shape
    return {"a": replace(instruction.a, shape=(batch, rows - 1, columns, channels))}


def _buffers_overlap() -> SimpleNamespace:
    """The second input buffer begins inside of the first; each tile waits as if it did not."""
    compiled = tiled_conv()
    first, second = (_instruction(compiled, Opcode.load, i).out.offset for i in (1, 2))
    instructions = []
    for instruction in compiled.program.instructions:
        fields = {}
        for name in ("out", "a"):
            view = getattr(instruction, name)
            if view.space.name == "sram" and view.offset == second:
                fields[name] = replace(view, offset=first + 64)
        instructions.append(replace(instruction, **fields))
    return _with_program(compiled, instructions=tuple(instructions))


def _early_overwrite() -> SimpleNamespace:
    """The second tile's rows are loaded, in proper order, over those that the first still needs."""
    compiled = tiled_conv(buffers=1)
    program = compiled.program
    load, conv = _number(compiled, Opcode.load, 2), _number(compiled, Opcode.conv, 0)
    order = [i for i in range(len(program.instructions)) if i != load]
    order.insert(order.index(conv), load)
    instructions = [program.instructions[i] for i in order]
    instructions[order.index(load)] = replace(program.instructions[load], waits=(0,) * 6)
    instructions[order.index(conv)] = replace(program.instructions[conv], waits=(3, 0, 0, 0, 0, 0))
    program = replace(program, instructions=tuple(instructions))
    regions = [compiled.regions[i] for i in order]
    return SimpleNamespace(program=program, graph=compiled.graph, regions=regions)


def _two_stores() -> SimpleNamespace:
    compiled = tiled_conv()
    last = compiled.program.instructions[-1]
    program = replace(compiled.program, instructions=(*compiled.program.instructions, last))
    regions = [*compiled.regions, compiled.regions[-1]]
    return SimpleNamespace(program=program, graph=compiled.graph, regions=regions)


def _other_constant(place: int) -> SimpleNamespace:
    compiled = tiled_conv()
    constants = bytearray(compiled.program.constants)
    constants[place] ^= 1
    return _with_program(compiled, constants=bytes(constants))


def _other_table(column: int) -> SimpleNamespace:
    return _other_constant(
        _instruction(tiled_conv(), Opcode.conv, 0).table + CHANNEL.itemsize + 4 * column
    )


def _other_claim(opcode: Opcode, index: int, name: str, claim: Any) -> SimpleNamespace:
    compiled = tiled_conv()
    regions = [dict(region) for region in compiled.regions]
    regions[_number(compiled, opcode, index)][name] = claim
    return SimpleNamespace(program=compiled.program, graph=compiled.graph, regions=regions)


def _no_zero_point() -> SimpleNamespace:
    """The input is loaded as it is on file, uint8; no region says what it is."""
    compiled = tiled_conv()
    number = _number(compiled, Opcode.load, 1)
    out = replace(compiled.program.instructions[number].out, dtype=DataType.uint8)
    broken = changed(compiled, number, out=out)
    regions = [dict(region) for region in compiled.regions]
    regions[number] = {"out": None, "a": None}
    return SimpleNamespace(program=broken.program, graph=broken.graph, regions=regions)


def _other_output(**fields: Any) -> SimpleNamespace:
    compiled = tiled_conv()
    return _with_program(compiled, outputs=(replace(compiled.program.outputs[0], **fields),))


def _with_program(compiled: Any, **fields: Any) -> SimpleNamespace:
    program = replace(compiled.program, **fields)
    return SimpleNamespace(program=program, graph=compiled.graph, regions=compiled.regions)


CONV, LOAD, STORE = Opcode.conv, Opcode.load, Opcode.store
BROKEN: dict[str, tuple[Callable[[], SimpleNamespace], str]] = {
    "conv does not wait for its rows": (
        lambda: _change(tiled_conv(), CONV, 1, _waits(Unit.load, 2)),
        r"instruction 5 \(conv, layer layer\): operand a \(sram, bytes \d+\.\.\d+\): it may run "
        r"beside instruction 4 \(load, layer layer\), unit load, whose operand out",
    ),
    "load does not wait for its buffer": (
        lambda: _change(tiled_conv(), LOAD, 3, _waits(Unit.tensor, 0)),
        r"\(load, layer layer\): operand out .* beside instruction 2 \(conv.*expected a wait",
    ),
    "conv does not wait for its buffer": (
        lambda: _change(tiled_conv(), CONV, 2, _waits(Unit.store, 0)),
        r"\(conv, layer layer\): operand out .* beside instruction 3 \(store.*whose operand a",
    ),
    "store does not wait": (
        lambda: _change(tiled_conv(), STORE, 0, _waits(Unit.tensor, 0)),
        r"\(store, layer layer\): operand a .* beside instruction 2 \(conv.*whose operand out",
    ),
    "spilled output read with another stride": (
        lambda: _change(tiled_conv(spill=True), STORE, -1, _other_batch_stride),
        r"operand a \(ddr, .*\(0, 8, 0, 0\) of y; expected element \(1, 0, 0, 0\) of y",
    ),
    "wait for what comes later": (
        lambda: _change(tiled_conv(), CONV, 0, _waits(Unit.load, 3)),
        r"instruction 2 \(conv.*waits for 3 of unit load; expected 0\.\.2",
    ),
    "unit": (
        lambda: _change(tiled_conv(), CONV, 0, lambda i: {"unit": Unit.vector}),
        "unit vector; expected tensor",
    ),
    "input shifted by a row": (
        lambda: _change(tiled_conv(), CONV, 1, _shift("a", 18)),
        r"operand a \(sram.*byte \d+ holds element \(0, 2, 0, 0\) of x; expected element "
        r"\(0, 1, 0, 0\) of x",
    ),
    "output shifted by an element": (
        lambda: _change(tiled_conv(), CONV, 0, _shift("out", 2)),
        r"\(store.*operand a .* holds nothing that was written; expected an element",
    ),
    "loaded from the wrong row": (
        lambda: _change(tiled_conv(), LOAD, 2, _shift("a", 6)),
        r"\(load.*operand a \(input 0.*\(0, 2, 0, 0\) of x; expected element \(0, 1, 0, 0\)",
    ),
    "loaded without subtracting the zero point": (
        _no_zero_point,
        r"\(load.*operand out \(sram, .*uint8; expected int8, which subtracts",
    ),
    "stored to the wrong row": (
        lambda: _change(tiled_conv(), STORE, 1, _shift("out", -12)),
        r"instruction 6 \(store.*it stores some elements again",
    ),
    "padding too small": (
        lambda: _change(tiled_conv(), CONV, 0, lambda i: {"pad": (0, 1)}),
        r"instruction 2 \(conv.*operand a: rows -1\.\.1 by the padding; expected rows of 0\.\.8",
    ),
    "padding too large": (
        lambda: _change(tiled_conv(), CONV, 0, lambda i: {"pad": (2, 1)}),
        r"operand a: rows 1\.\.3 only; expected row 0 as well, a halo",
    ),
    "padding of a transposed convolution off its stride": (
        lambda: _change(
            tiled_conv("conv_transpose2d", stride=(2, 2)), CONV, 1, lambda i: {"pad": (0, 1)}
        ),
        r"pad: 0; expected 3 less a multiple of stride 2",
    ),
    "upper halo row missing": (
        lambda: _change(tiled_conv(), CONV, 1, _no_first_row),
        r"operand a: rows 2\.\.4 only; expected row 1 as well, a halo",
    ),
    "lower halo row missing": (
        lambda: _change(tiled_conv(), CONV, 1, _no_last_row),
        r"operand a: rows 1\.\.3 only; expected row 4 as well, a halo",
    ),
    "halo row of a transposed convolution missing": (
        lambda: _change(tiled_conv("conv_transpose2d", stride=(2, 2)), CONV, 1, _no_last_row),
        r"operand a: rows \d\.\.\d only; expected row \d as well",
    ),
    "overlapping buffers": (_buffers_overlap, r"beside instruction"),
    "early overwrite": (
        _early_overwrite,
        r"instruction 3 \(conv.*operand a .* of x; expected element \(0, 0, 0, 0\) of x",
    ),
    "memory too small": (
        lambda: _with_program(tiled_conv(), sram_bytes=tiled_conv().program.sram_bytes - 64),
        r"ends at byte \d+ of sram; expected at most",
    ),
    "missing store": (
        lambda: without(tiled_conv(), _number(tiled_conv(), STORE, 2)),
        r"output y is incomplete.*nothing that was written; expected element \(0, 4, 0, 0\) of y",
    ),
    "missing convolution": (
        lambda: without(tiled_conv(), _number(tiled_conv(), CONV, 2)),
        r"\(store, layer layer\): operand a .*of y; expected element \(0, 4, 0, 0\) of y",
    ),
    "missing weights": (
        lambda: without(tiled_conv(), 0),
        "weights of unknown value at byte 0 of the sram; expected bytes that loads brought there",
    ),
    "stored twice": (_two_stores, "it stores some elements again; expected each stored once"),
    "weights of another channel": (
        lambda: _other_constant(4),
        r"operand weight .*byte 4 comes from byte 4 of the constants, which is",
    ),
    "bias": (lambda: _other_table(0), "table, bias of channel 1"),
    "multiplier": (lambda: _other_table(1), "table, multiplier of channel 1"),
    "shift": (lambda: _other_table(3), "table, shift of channel 1"),
    "limits": (
        lambda: _change(tiled_conv(), CONV, 0, lambda i: {"hi": 127}),
        "hi: 127; expected 32767",
    ),
    "stride": (
        lambda: _change(tiled_conv(), CONV, 0, lambda i: {"stride": (1, 2)}),
        r"stride: \(1, 2\); expected \(1, 1\)",
    ),
    "layer": (
        lambda: _change(tiled_conv(), CONV, 0, lambda i: {"layer": "other"}),
        "layer: other; expected layer, which makes y",
    ),
    "claimed region of the output": (
        lambda: _other_claim(CONV, 1, "out", ("y", (0, 1, 0, 0))),
        r"instruction 5 \(conv.*\(0, 1, 0, 0\)\) by its region; expected \('x', \(0, 0, 0, 0\)\)",
    ),
    "claimed region of an input": (
        lambda: _other_claim(CONV, 1, "a", ("x", (0, 2, 0, 0))),
        r"\('x', \(0, 2, 0, 0\)\) by its region; expected \('x', \(0, 1, 0, 0\)\)",
    ),
    "claim of an unknown input": (
        lambda: _other_claim(CONV, 1, "a", ("z", ORIGIN)),
        r"\('z', \(0, 0, 0, 0\)\) by its region; expected \('x', \(0, 1, 0, 0\)\)",
    ),
    "claimed region of a store": (
        lambda: _other_claim(STORE, 1, "a", ("y", (0, 0, 0, 0))),
        r"\(store.*element \(0, 2, 0, 0\) of y; expected element \(0, 0, 0, 0\) of y",
    ),
    "claim of no tensor": (
        lambda: _other_claim(CONV, 1, "out", None),
        "region None; expected a tensor of the graph",
    ),
    "claim of an input as output": (
        lambda: _other_claim(CONV, 1, "out", ("x", ORIGIN)),
        r"region \('x'.*; expected inside \(2, 9, 6, 3\)",
    ),
    "scale of the output": (
        lambda: _other_output(scales=(0.5,)),
        r"output y is .*0\.5.*expected .* as in the graph",
    ),
    "name of the output": (lambda: _other_output(name="z"), r"outputs \['z'\]; expected \['y'\]"),
    "origin of a warp": (
        lambda: _change(whole_pyramid(), Opcode.warp, 1, lambda i: {"origin": (1, 0)}),
        r"\(warp, layer warp\): origin: \(1, 0\); expected \(2, 0\)",
    ),
    "another image's features": (
        lambda: _change(whole_pyramid(), Opcode.warp, 1, lambda i: {"a": _first_image(i)}),
        r"operand a .*element \(0, 0, 0, 0\) of features; expected element \(0, 0, 0, 0\) of f2",
    ),
    "another slice of a concat": (
        lambda: _change(whole_pyramid(), Opcode.copy, 0, _shift("out", -1)),
        r"\(copy, layer cat\): operand out .* beside instruction 3 \(correlation, layer corr\)",
    ),
    "correlation's padding": (
        lambda: _change(whole_pyramid(), Opcode.correlation, 0, lambda i: {"pad": (1, 0)}),
        r"operand b: columns -1\.\.4 by the padding",
    ),
    "an output over its input": (
        lambda: _change(whole_pyramid(), CONV, 0, lambda i: {"out": replace(i.out, offset=0)}),
        "out shares bytes with a; expected places of their own",
    ),
}


def _other_batch_stride(instruction: Instruction) -> dict[str, Any]:
    image, row, *rest = instruction.a.strides
    return {"a": replace(instruction.a, strides=(image - row, row, *rest))}


def _first_image(instruction: Instruction) -> Any:
    return replace(instruction.a, offset=instruction.a.offset - instruction.a.strides[0])


@pytest.mark.parametrize("name", BROKEN)
def test_broken_programs_are_refused_by_name(name: str) -> None:
    broken, message = BROKEN[name]
    with pytest.raises(InputError, match=message):
        verify_program(broken())
