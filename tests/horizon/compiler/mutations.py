"""Broken variants of a compiled program: one instruction or constant is changed at random."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from horizon.compiler.verify import verify_program
from horizon.errors import InputError
from horizon.hbm.format import CHANNEL
from horizon.hbm.records import Instruction, Opcode, View
from tests.horizon.compiler.interpreter import from_file, random_order, run_program, to_file

OPERANDS = ("out", "a", "b", "weight")


def changed(compiled: Any, number: int, **fields: Any) -> SimpleNamespace:
    """The compiled program with other fields in one instruction; the regions stay."""
    instructions = list(compiled.program.instructions)
    instructions[number] = replace(instructions[number], **fields)
    program = replace(compiled.program, instructions=tuple(instructions))
    return SimpleNamespace(program=program, graph=compiled.graph, regions=compiled.regions)


def fewer_waits(instruction: Instruction, rng: np.random.Generator) -> dict[str, Any]:
    """One wait less: dropped, or for fewer instructions."""
    waits = list(instruction.waits)
    unit = rng.choice(np.flatnonzero(waits))
    waits[unit] = int(rng.integers(0, waits[unit])) if rng.random() < 0.7 else waits[unit] - 1
    return {"waits": tuple(waits)}


def moved(instruction: Instruction, rng: np.random.Generator) -> dict[str, Any]:
    """An operand elsewhere: by elements, by rows, or by an alignment."""
    name, view = _operand(instruction, rng)
    steps = [*view.strides, 64, view.dtype.size]
    step = int(rng.choice(steps)) * int(rng.integers(1, 4))
    offset = max(view.offset + int(rng.choice([-1, 1])) * step, 0)
    return {name: replace(view, offset=offset)}


def restrided(instruction: Instruction, rng: np.random.Generator) -> dict[str, Any]:
    """An operand with another stride."""
    name, view = _operand(instruction, rng)
    strides = list(view.strides)
    axis = int(rng.integers(0, 3))
    strides[axis] = max(strides[axis] + int(rng.choice([-1, 1])) * view.strides[2], 0)
    return {name: replace(view, strides=tuple(strides))}


def fewer_rows(instruction: Instruction, rng: np.random.Generator) -> dict[str, Any]:
    """An input without its first or last row or column; the padding is adapted to it."""
    name = "b" if instruction.opcode is Opcode.correlation else "a"
    view: View = getattr(instruction, name)
    axis = int(rng.integers(0, 2))
    shape = list(view.shape)
    shape[1 + axis] -= 1
    if shape[1 + axis] < 1:
        return {}
    if rng.random() < 0.5:
        return {name: replace(view, shape=tuple(shape))}
    pad = list(instruction.pad)
    step = instruction.stride[axis]
    pad[axis] += -step if instruction.transposed else 1
    offset = view.offset + view.strides[1 + axis]
    return {name: replace(view, shape=tuple(shape), offset=offset), "pad": tuple(pad)}


def parameter(instruction: Instruction, rng: np.random.Generator) -> dict[str, Any]:
    """Another padding, origin, limit, stride, dilation or table."""
    sign = int(rng.choice([-1, 1]))
    axis = int(rng.integers(0, 2))

    def pair(value: tuple[int, int]) -> tuple[int, int]:
        return (value[0] + sign, value[1]) if axis == 0 else (value[0], value[1] + sign)

    options: list[dict[str, Any]] = []
    if instruction.table_count:
        options.append({"table": max(instruction.table + CHANNEL.itemsize * sign, 0)})
    if instruction.opcode not in (Opcode.load, Opcode.store, Opcode.copy, Opcode.warp):
        options += [{"hi": instruction.hi - 1}, {"lo": instruction.lo + 1}]
    if instruction.opcode in (Opcode.conv, Opcode.correlation):
        options.append({"pad": pair(instruction.pad)})
    if instruction.opcode is Opcode.conv:
        options += [{name: pair(getattr(instruction, name))} for name in ("stride", "dilation")]
    if instruction.opcode is Opcode.warp:
        options.append({"origin": pair(instruction.origin)})
    return options[rng.integers(len(options))] if options else {}


def _operand(instruction: Instruction, rng: np.random.Generator) -> tuple[str, View]:
    named = [(name, getattr(instruction, name)) for name in OPERANDS]
    named = [(name, view) for name, view in named if view is not None]
    return named[rng.integers(len(named))]


def without(compiled: Any, number: int) -> SimpleNamespace:
    """The program without one instruction; waits for its unit count one less."""
    removed = compiled.program.instructions[number]
    earlier = compiled.program.instructions[:number]
    ordinal = sum(instruction.unit == removed.unit for instruction in earlier)
    kept = []
    for index, instruction in enumerate(compiled.program.instructions):
        if index != number:
            waits = list(instruction.waits)
            waits[removed.unit] -= waits[removed.unit] > ordinal
            kept.append(replace(instruction, waits=tuple(waits)))
    regions = [region for index, region in enumerate(compiled.regions) if index != number]
    program = replace(compiled.program, instructions=tuple(kept))
    return SimpleNamespace(program=program, graph=compiled.graph, regions=regions)


def exchanged(compiled: Any, number: int) -> SimpleNamespace:
    """An instruction and the next one of its unit change places; the waits stay where they are."""
    instructions, regions = list(compiled.program.instructions), list(compiled.regions)
    unit = instructions[number].unit
    later = [i for i in range(number + 1, len(instructions)) if instructions[i].unit == unit]
    if later:
        first, second = instructions[number], instructions[later[0]]
        instructions[number] = replace(second, waits=first.waits)
        instructions[later[0]] = replace(first, waits=second.waits)
        regions[number], regions[later[0]] = regions[later[0]], regions[number]
    program = replace(compiled.program, instructions=tuple(instructions))
    return SimpleNamespace(program=program, graph=compiled.graph, regions=regions)


def other_constant(compiled: Any, rng: np.random.Generator) -> SimpleNamespace:
    """One bit of a weight or a channel table is another."""
    constants = bytearray(compiled.program.constants)
    if constants:
        constants[rng.integers(len(constants))] ^= 1 << int(rng.integers(8))
    program = replace(compiled.program, constants=bytes(constants))
    return SimpleNamespace(program=program, graph=compiled.graph, regions=compiled.regions)


KINDS = (fewer_waits, moved, restrided, fewer_rows, parameter)


def mutate(compiled: Any, rng: np.random.Generator) -> tuple[str, SimpleNamespace] | None:
    """A random change; None where the drawn instruction has nothing of the drawn kind."""
    number = int(rng.integers(len(compiled.program.instructions)))
    choice = int(rng.integers(len(KINDS) + 1))
    if choice == len(KINDS):
        whole = {"without": without, "exchanged": exchanged}
        name = str(rng.choice([*whole, "other_constant"]))
        if name == "other_constant":
            return name, other_constant(compiled, rng)
        return f"instruction {number}: {name}", whole[name](compiled, number)
    kind = KINDS[choice]
    instruction = compiled.program.instructions[number]
    if kind is fewer_waits and not any(instruction.waits):
        return None
    halo = instruction.opcode in (Opcode.conv, Opcode.correlation)
    if kind is fewer_rows and not halo:
        return None
    fields = kind(instruction, rng)
    if not fields:
        return None
    what = f"instruction {number} ({instruction.opcode.name}): {kind.__name__} {fields}"
    return what, changed(compiled, number, **fields)


def differs(
    compiled: Any,
    values: dict[str, np.ndarray],
    expected: dict[str, np.ndarray],
    rng: np.random.Generator,
    orders: int = 4,
) -> bool:
    """Whether the program gives other outputs, or fails, in some of the orders that it allows."""
    program = compiled.program
    for index in range(orders):
        order = None if index == 0 else random_order(program, rng)
        try:
            found = from_file(program, run_program(program, to_file(program, values), order))
        except (AssertionError, TypeError, ValueError, IndexError):
            return True
        if any(not np.array_equal(found[name], expected[name]) for name in expected):
            return True
    return False


def count_caught(
    compiled: Any,
    values: dict[str, np.ndarray],
    expected: dict[str, np.ndarray],
    rng: np.random.Generator,
    count: int,
) -> int:
    """How many of ``count`` random changes the verifier refuses; it may accept no other result."""
    caught = 0
    for _ in range(count):
        mutation = mutate(compiled, rng)
        if mutation is None:
            continue
        what, broken = mutation
        try:
            verify_program(broken)
        except InputError:
            caught += 1
        else:
            assert not differs(broken, values, expected, rng), what
    return caught
