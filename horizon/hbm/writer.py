"""Programs as files. The same program always gives the same bytes."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from horizon.errors import InputError
from horizon.files import atomic_path
from horizon.hbm import format as layout
from horizon.hbm.check import check_program
from horizon.hbm.container import join_sections
from horizon.hbm.format import SectionKind
from horizon.hbm.records import ALIGNMENT, Instruction, IoTensor, Program, View
from horizon.isa.records import RECORDS, Field

_NO_VIEW = (0, (0,) * 4, (0,) * 4, 0, 0, 0, 0)


def write(program: Program, path: str | os.PathLike[str]) -> None:
    """Write a program to a file, whole or not at all.

    Raises:
        InputError: as :func:`to_bytes`; or the file cannot be written.
    """
    data = to_bytes(program)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def to_bytes(program: Program) -> bytes:
    """The contents of the program's file.

    Raises:
        CompilerError: the program breaks a rule that readers check.
        InputError: its metadata are not JSON.
    """
    where = f"program {program.name}"
    check_program(program, where)
    strings = _Strings()
    record = np.zeros((), layout.PROGRAM)
    record["name"], record["march"] = strings.add(program.name), strings.add(program.march)
    record["input_count"], record["output_count"] = len(program.inputs), len(program.outputs)
    record["sram_bytes"], record["ddr_bytes"] = program.sram_bytes, program.ddr_bytes
    record["opt"], record["size_multiple"] = program.opt, program.size_multiple

    constants = bytearray(program.constants)
    constants.extend(bytes(-len(constants) % ALIGNMENT))
    tensors = []
    for tensor in (*program.inputs, *program.outputs):
        tensors.append(_tensor(tensor, strings.add(tensor.name), len(constants)))
        constants.extend(np.array(tensor.scales, layout.SCALE).tobytes())
    instructions = [_instruction(item, strings.add(item.layer)) for item in program.instructions]
    return join_sections(
        {
            SectionKind.program: (record.tobytes(), 1),
            SectionKind.strings: (strings.data, len(strings.data)),
            SectionKind.tensors: (np.array(tensors, layout.TENSOR).tobytes(), len(tensors)),
            SectionKind.instructions: (
                np.array(instructions, layout.INSTRUCTION).tobytes(),
                len(instructions),
            ),
            SectionKind.constants: (constants, len(constants)),
            SectionKind.metadata: _metadata(program.metadata, where),
        }
    )


class _Strings:
    """The strings section: each string once, in the order of first use."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._offsets: dict[str, int] = {}

    def add(self, text: str) -> int:
        if text not in self._offsets:
            self._offsets[text] = len(self.data)
            self.data.extend(text.encode() + b"\0")
        return self._offsets[text]


def _metadata(metadata: dict[str, Any], where: str) -> tuple[bytes, int]:
    try:
        text = json.dumps(metadata, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: metadata: {error}; expected values that JSON has") from error
    return text.encode(), len(text)


def _tensor(tensor: IoTensor, name: int, scale_offset: int) -> tuple[Any, ...]:
    head = (name, tensor.dtype, tensor.layout, 0, tensor.shape)
    return (*head, len(tensor.scales), tensor.zero_point, scale_offset, 0)


def _view(view: View | None) -> tuple[Any, ...]:
    if view is None:
        return _NO_VIEW
    return (view.offset, view.shape, view.strides, view.space, view.dtype, view.index, 0)


def _instruction(item: Instruction, layer: int) -> tuple[Any, ...]:
    return tuple(_value(item, field, layer) for field in RECORDS["InstructionRecord"].fields)


def _value(item: Instruction, field: Field, layer: int) -> Any:
    if field.form == "zero":
        return (0,) * field.count if field.count > 1 else 0
    if field.form == "text":
        return layer
    if field.form == "waits":
        return item.waits
    value = getattr(item, field.name)
    return _view(value) if field.form == "view" else value
