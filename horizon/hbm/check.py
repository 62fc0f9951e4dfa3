"""Checks of a whole program: what its file must be able to hold, and what readers rely on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from horizon.errors import CompilerError, InputError
from horizon.hbm.format import CHANNEL
from horizon.hbm.proof import Proof
from horizon.hbm.records import DataType, Instruction, IoTensor, Program, Space, Unit, View
from horizon.hbm.require import fail, require
from horizon.hbm.rules import check_rules
from horizon.isa.bounds import MAX_MEMORY, MAX_OPT, MAX_STRING
from horizon.isa.instructions import INSTRUCTIONS

MAX_FIELD = 2**32 - 1
MAX_SIDE = 2**31 - 1


def check_program(program: Program, where: str) -> None:
    """:func:`check_records` of a program that this tool chain has made.

    Raises:
        CompilerError: names the section and the instruction or tensor.
    """
    try:
        check_records(program, where)
    except InputError as error:
        fault = "this is a fault of what made the program; report it"
        raise CompilerError(f"{error}; {fault}") from error


def check_records(program: Program, where: str) -> None:
    """Check every record, by itself and against the sizes, tensors and units of the program.

    Args:
        where: begins every message, for instance a file's name.

    Raises:
        InputError: names the section and the instruction or tensor.
    """
    record = f"{where}: section program"
    _check_string(program.name, f"{record}: name")
    _check_string(program.march, f"{record}: march")
    require(0 <= program.opt <= MAX_OPT, record, f"opt {program.opt}", f"0..{MAX_OPT}")
    multiple = program.size_multiple
    require(1 <= multiple <= MAX_FIELD, record, f"size multiple {multiple}", "at least 1")
    sram, ddr = program.sram_bytes, program.ddr_bytes
    good = sram >= 0 and ddr >= 0 and sram + ddr <= MAX_MEMORY
    require(good, record, f"{sram} bytes of sram, {ddr} of ddr", f"0..{MAX_MEMORY} together")
    for kind, tensors in (("input", program.inputs), ("output", program.outputs)):
        require(len(tensors) > 0, f"{where}: section tensors", f"no {kind}s", "at least one")
        for index, tensor in enumerate(tensors):
            place = f"{where}: section tensors, {kind} {index}"
            _check_tensor(tensor, place)
            known = [other.name for other in tensors[:index]]
            require(tensor.name not in known, place, f"name {tensor.name!r} again", "a new one")
    _check_instructions(program, f"{where}: section instructions")


def _check_string(text: str, where: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        fail(where, f"{text[:40]!r}: {error.reason}", "text that UTF-8 can hold")
    good = 0 < size <= MAX_STRING and "\0" not in text
    require(good, where, f"{text[:40]!r}", f"1..{MAX_STRING} bytes without NUL")


def _check_tensor(tensor: IoTensor, where: str) -> None:
    _check_string(tensor.name, f"{where}: name")
    where = f"{where} ({tensor.name})"
    good = len(tensor.shape) == 4 and all(1 <= side <= MAX_FIELD for side in tensor.shape)
    require(good and tensor.nbytes <= MAX_MEMORY, where, f"shape {tensor.shape}", "four sides")
    count = len(tensor.scales)
    require(count in (1, tensor.channels), where, f"{count} scales", f"1 or {tensor.channels}")
    good = all(math.isfinite(scale) and scale > 0 for scale in tensor.scales)
    require(good, where, f"scales {tensor.scales}", "positive finite numbers")
    zero = 128 if tensor.dtype is DataType.uint8 else 0
    found = f"zero point {tensor.zero_point} of {tensor.dtype.name}"
    require(tensor.zero_point == zero, where, found, f"{zero}")


def _check_instructions(program: Program, where: str) -> None:
    require(len(program.instructions) > 0, where, "no instructions", "at least one")
    sizes = {
        Space.constant: len(program.constants),
        Space.ddr: program.ddr_bytes,
        Space.sram: program.sram_bytes,
    }
    tensors = {Space.input: program.inputs, Space.output: program.outputs}
    proof = Proof(program)
    before = [0] * len(Unit)
    layers = set()
    for number, instruction in enumerate(program.instructions):
        layer = instruction.layer
        place = f"{where}, instruction {number} ({instruction.opcode.name}, layer {layer[:80]!r})"
        if layer not in layers:
            _check_string(layer, f"{where}, instruction {number}: layer")
            layers.add(layer)
        _check_waits(instruction.waits, before, place)
        for name in ("out", "a", "b", "weight"):
            view = getattr(instruction, name)
            if view is not None:
                _check_view(view, sizes, tensors, f"{place}, operand {name}")
        check_rules(instruction, _table(instruction, program.constants, place), place)
        proof.follow(instruction, place)
        before[instruction.unit] += 1
    stored = {item.out.index for item in program.instructions if item.out.space == Space.output}
    for index, tensor in enumerate(program.outputs):
        require(index in stored, where, f"nothing is stored to output {tensor.name}", "a store")


def _check_waits(waits: Sequence[int], before: list[int], where: str) -> None:
    require(len(waits) == len(Unit), where, f"{len(waits)} waits", f"{len(Unit)}")
    for unit, count, done in zip(Unit, waits, before, strict=True):
        # A later instruction could only be waited for in vain: list order has to be a legal order.
        if not 0 <= count <= done:
            fail(where, f"waits for {count} of unit {unit.name}", f"0..{done}, those listed before")


def _check_view(
    view: View,
    sizes: dict[Space, int],
    tensors: dict[Space, tuple[IoTensor, ...]],
    where: str,
) -> None:
    if len(view.shape) != 4 or not all(1 <= side <= MAX_SIDE for side in view.shape):
        fail(where, f"shape {view.shape}", "four positive sides")
    if len(view.strides) != 4 or not all(0 <= step <= MAX_FIELD for step in view.strides):
        fail(where, f"strides {view.strides}", "four numbers of at least 0")
    size = view.dtype.size
    if view.offset < 0 or view.offset % size or any(step % size for step in view.strides):
        found = f"offset {view.offset}, strides {view.strides}"
        fail(where, found, f"multiples of {size}, the size of {view.dtype.name}")
    if view.space in tensors:
        known = tensors[view.space]
        if not 0 <= view.index < len(known):
            fail(where, f"{view.space.name} {view.index}", f"0..{len(known) - 1}")
        tensor = known[view.index]
        limit = tensor.nbytes
        if tensor.dtype != view.dtype:
            fail(where, f"{view.dtype.name} view of {tensor.name}", f"{tensor.dtype.name}")
    else:
        require(view.space in sizes, where, f"space {view.space.name}", "a memory")
        limit = sizes[view.space]
        require(view.index == 0, where, f"index {view.index} in {view.space.name}", "0")
    if view.end > limit:
        fail(where, f"ends at byte {view.end} of {view.space.name}", f"at most {limit}")


def _table(instruction: Instruction, constants: bytes, where: str) -> np.ndarray:
    """The channel entries, or the bytes of a lookup's."""
    start, count = instruction.table, instruction.table_count
    looks_up = INSTRUCTIONS[instruction.opcode].looks_up
    size = instruction.out.dtype.size if looks_up else CHANNEL.itemsize
    end = start + count * size
    if start % CHANNEL.itemsize or start < 0 or count < 0 or end > len(constants):
        found = f"table of {count} entries at {start}"
        fail(
            where,
            found,
            f"a multiple of {CHANNEL.itemsize}, inside the constants of {len(constants)} bytes",
        )
    if looks_up:
        return np.frombuffer(constants, np.uint8, count * size, start)
    return np.frombuffer(constants, CHANNEL, count, start)
