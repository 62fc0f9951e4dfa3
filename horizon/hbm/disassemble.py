"""A program as text: some lines about the whole, then one line for each instruction."""

from __future__ import annotations

import json
import re
import zlib
from itertools import groupby
from typing import Any

from horizon.hbm.records import (
    Instruction,
    IoTensor,
    Layout,
    Program,
    Unit,
    View,
)
from horizon.isa.instructions import CLAMP, INSTRUCTIONS, TABLE
from horizon.isa.records import RECORDS, Field

_WORD = re.compile(r"[\w.:/+-]+", re.ASCII)
MAX_COLUMN = 40


def disassemble(program: Program) -> str:
    """The program's text, ending in a newline. Different programs have different texts.

    An instruction's line: number, unit, opcode, layer, operands, parameters, and after ``after``
    how many instructions of each unit have to be completed before. An operand is
    ``space[offset] NxHxWxC:type``; ``by (s0,s1,s2,s3)`` are its strides where it is not dense.
    """
    crc = zlib.crc32(program.constants)
    lines = [
        f"program {_word(program.name)}",
        f"march {_word(program.march)}, opt O{program.opt}, "
        f"images in multiples of {program.size_multiple}",
        f"memory: sram {program.sram_bytes} bytes, ddr {program.ddr_bytes} bytes, "
        f"constants {len(program.constants)} bytes (crc {crc:08x})",
        *(f"input {_tensor(tensor)}" for tensor in program.inputs),
        *(f"output {_tensor(tensor)}" for tensor in program.outputs),
        f"metadata {json.dumps(program.metadata, sort_keys=True)}",
        f"instructions {len(program.instructions)}",
    ]
    width = min(max((len(item.layer) for item in program.instructions), default=0), MAX_COLUMN)
    for number, item in enumerate(program.instructions):
        head = (
            f"{number:>6} {item.unit.name:<9} {item.opcode.name:<11} {_word(item.layer):<{width}}"
        )
        lines.append(f"{head}  {'; '.join(_parts(item, program))}")
    return "\n".join(lines) + "\n"


def _word(text: str) -> str:
    return text if _WORD.fullmatch(text) else json.dumps(text)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _tensor(tensor: IoTensor) -> str:
    order = "nchw" if tensor.layout is Layout.nchw else "nhwc"
    groups = [(repr(scale), len(list(same))) for scale, same in groupby(tensor.scales)]
    scales = " ".join(scale if count == 1 else f"{scale}*{count}" for scale, count in groups)
    return (
        f"{_word(tensor.name)}: {_shape(tensor.shape)}:{tensor.dtype.name} {order}, "
        f"zero point {tensor.zero_point}, scale {scales}"
    )


def _view(view: View, program: Program) -> str:
    place = view.space.name
    tensors = {"input": program.inputs, "output": program.outputs}.get(place)
    if tensors:
        place = f"{place}:{_word(tensors[view.index].name)}"
    text = f"{place}[{view.offset:#x}] {_shape(view.shape)}:{view.dtype.name}"
    step = view.dtype.size
    dense: list[int] = []
    for side in reversed(view.shape):
        dense.insert(0, step)
        step *= side
    return text if tuple(dense) == view.strides else f"{text} by ({_list(view.strides)})"


def _list(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values))


def _parts(item: Instruction, program: Program) -> list[str]:
    parts = [f"{_view(item.out, program)} = {_view(item.a, program)}"]
    parts += [
        f"{name} {_view(view, program)}"
        for name, view in (("b", item.b), ("weight", item.weight))
        if view
    ]
    parts += _parameters(item)
    waits = [f"{unit.name}:{count}" for unit, count in zip(Unit, item.waits, strict=True) if count]
    if waits:
        parts.append(f"after {' '.join(waits)}")
    return parts


def _parameters(item: Instruction) -> list[str]:
    """The fields that the opcode uses, where they say something; limits and table come last."""
    record = RECORDS["InstructionRecord"]
    used = [record.field(name) for name in INSTRUCTIONS[item.opcode].fields]
    parts = [_parameter(field, getattr(item, field.name)) for field in used]
    if item.table_count:
        parts.append(f"table [{item.table:#x}]x{item.table_count}")
    if (item.lo, item.hi) != (0, 0):
        parts.append(f"clamp {item.lo}..{item.hi}")
    return [part for part in parts if part]


def _parameter(field: Field, value: Any) -> str:
    words = field.name.replace("_", " ")
    if field.name in _TOGETHER:
        return ""
    if field.name == "kernel":
        return f"kernel {_shape(value)}"
    if field.form == "pair":
        return "" if value == (field.default,) * 2 else f"{words} {_list(value)}"
    if not value:
        return ""
    if field.form == "flag":
        return words
    return value.name if field.form == "enum" else f"{words} {value}"


_TOGETHER = (*CLAMP, *TABLE)
