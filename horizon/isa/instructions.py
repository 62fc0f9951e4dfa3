"""What each instruction takes: its unit, its operands, and the fields that it uses.

Fields without a use keep their defaults (``records``). What an instruction computes, and what it
requires of its operands together, is in ``docs/hbm_format.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from horizon.isa.enums import DataType, Space, Unit


class Opcode(IntEnum):
    load = 1
    store = 2
    copy = 3
    conv = 4
    correlation = 5
    warp = 6
    rescale = 7
    add = 8
    resize = 9
    max_pool = 10
    lookup = 11
    mul = 12
    avg_pool = 13
    matmul = 14
    transpose = 15


@dataclass(frozen=True)
class Operand:
    """Where an operand may be, and its types."""

    spaces: frozenset[Space]
    types: frozenset[DataType]
    optional: bool = False


@dataclass(frozen=True)
class Operation:
    """An instruction.

    Attributes:
        operands: by name: ``out``, ``a``, ``b``, ``weight``. What is not here is missing.
        fields: of ``InstructionRecord``, those that it uses.
        computes: channels of its operands lie side by side; otherwise strides are free.
        looks_up: its table has results, one for each value of ``a``, and no channel entries.
        matrices: ``b`` takes the place of weights, for each of several groups of channels.
    """

    unit: Unit
    operands: dict[str, Operand]
    fields: tuple[str, ...] = ()
    computes: bool = True
    looks_up: bool = False
    matrices: bool = False


NARROW = frozenset({DataType.int8, DataType.int16})
SIGNED = NARROW | {DataType.int32}
ANY = frozenset(DataType)
SRAM = frozenset({Space.sram})
CLAMP = ("lo", "hi")
REQUANTISE = (*CLAMP, "two_slopes")
TABLE = ("table", "table_count")
_signed, _narrow = Operand(SRAM, SIGNED), Operand(SRAM, NARROW)

INSTRUCTIONS: dict[Opcode, Operation] = {
    Opcode.load: Operation(
        Unit.load,
        {
            "out": Operand(frozenset({Space.ddr, Space.sram}), ANY),
            "a": Operand(frozenset({Space.input, Space.constant, Space.ddr}), ANY),
        },
        computes=False,
    ),
    Opcode.store: Operation(
        Unit.store,
        {
            "out": Operand(frozenset({Space.output, Space.ddr}), ANY),
            "a": Operand(frozenset({Space.ddr, Space.sram}), ANY),
        },
        computes=False,
    ),
    Opcode.copy: Operation(
        Unit.transform, {"out": Operand(SRAM, ANY), "a": Operand(SRAM, ANY)}, computes=False
    ),
    Opcode.conv: Operation(
        Unit.tensor,
        {
            "out": _signed,
            "a": _narrow,
            "b": Operand(SRAM, NARROW, optional=True),
            "weight": Operand(frozenset({Space.constant, Space.sram}), frozenset({DataType.int8})),
        },
        (
            *("kernel", "stride", "dilation", "pad", *REQUANTISE, "transposed", "weight_layout"),
            *TABLE,
        ),
    ),
    Opcode.correlation: Operation(
        Unit.tensor,
        {"out": _signed, "a": _narrow, "b": _narrow},
        ("pad", *REQUANTISE, "reach", *TABLE),
    ),
    Opcode.warp: Operation(
        Unit.aux,
        {"out": _narrow, "a": _narrow, "b": Operand(SRAM, frozenset({DataType.int16}))},
        ("fraction_bits", "origin", *TABLE),
    ),
    Opcode.rescale: Operation(Unit.vector, {"out": _signed, "a": _signed}, (*REQUANTISE, *TABLE)),
    Opcode.add: Operation(
        Unit.vector, {"out": _signed, "a": _signed, "b": _signed}, (*REQUANTISE, *TABLE)
    ),
    Opcode.resize: Operation(
        Unit.vector,
        {"out": _narrow, "a": _narrow},
        ("pad", "fraction_bits", "origin", "step", "offset", "divisor", "last"),
    ),
    Opcode.max_pool: Operation(
        Unit.vector, {"out": _signed, "a": _signed}, ("kernel", "stride", "pad")
    ),
    Opcode.lookup: Operation(
        Unit.vector,
        {"out": _narrow, "a": Operand(SRAM, frozenset({DataType.int8}))},
        TABLE,
        looks_up=True,
    ),
    Opcode.mul: Operation(
        Unit.vector, {"out": _signed, "a": _narrow, "b": _narrow}, (*CLAMP, *TABLE)
    ),
    Opcode.avg_pool: Operation(
        Unit.vector,
        {"out": _signed, "a": _narrow},
        ("kernel", "stride", "pad", *CLAMP, "margin", *TABLE),
    ),
    Opcode.matmul: Operation(
        Unit.tensor,
        {"out": _signed, "a": _narrow, "b": _narrow},
        (*CLAMP, "transposed", *TABLE),
        matrices=True,
    ),
    Opcode.transpose: Operation(Unit.transform, {"out": _signed, "a": _signed}),
}
