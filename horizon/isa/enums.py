"""The numbers that files contain, with their names."""

from __future__ import annotations

from enum import IntEnum


class SectionKind(IntEnum):
    """The sections, in the order in which they stand in a file."""

    program = 1
    strings = 2
    tensors = 3
    instructions = 4
    constants = 5
    metadata = 6


class DataType(IntEnum):
    int8 = 0
    int16 = 1
    int32 = 2
    uint8 = 3

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return 4 if self is DataType.int32 else 2 if self is DataType.int16 else 1


class Layout(IntEnum):
    nchw = 0
    nhwc = 1


class Space(IntEnum):
    """A memory. ``none`` stands in files where an instruction lacks an operand."""

    none = 0
    constant = 1
    input = 2
    output = 3
    ddr = 4
    sram = 5


class Unit(IntEnum):
    """Each unit of a machine carries out its instructions in their order."""

    load = 0
    store = 1
    tensor = 2
    vector = 3
    aux = 4
    transform = 5


class WeightLayout(IntEnum):
    """How a convolution's weights lie; ``horizon.hbm.weights`` makes them."""

    blocked = 0
    rows = 1
    depthwise = 2


# By member: numbers of different enumerations are equal.
_MEANINGS: dict[tuple[type[IntEnum], str], str] = {
    (SectionKind, "program"): "one ProgramRecord",
    (SectionKind, "strings"): "UTF-8, each ends in NUL; records name a string by its byte offset",
    (SectionKind, "tensors"): "TensorRecord: the inputs, then the outputs",
    (SectionKind, "instructions"): "InstructionRecord",
    (SectionKind, "constants"): "weights, channel tables, scales",
    (SectionKind, "metadata"): "JSON for people and reports; the executor does not read it",
    (Space, "none"): "a missing operand",
    (Space, "constant"): "the section, without the scales",
    (Space, "input"): "the caller's arrays",
    (Space, "output"): "the caller's arrays",
    (Space, "ddr"): "the arena's first part",
    (Space, "sram"): "the arena's second part",
    (WeightLayout, "blocked"): "[ceil(O / 16)][kh][kw][ceil(I / 4)][16 outputs][4 inputs], rest 0",
    (WeightLayout, "rows"): "[O][kh][kw][I rounded up to 64], rest 0",
    (
        WeightLayout,
        "depthwise",
    ): "[ceil(O / 64)][kh][kw][64 outputs], rest 0; one input each",
}


def meaning_of(member: IntEnum) -> str:
    """What a member stands for, on one line; nothing where its name says it."""
    return _MEANINGS.get((type(member), member.name), "")
