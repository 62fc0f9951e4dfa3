"""What a compiled program consists of. The numbers are those of ``csrc/hbm/format.h``.

Boxes are NHWC everywhere, strides and offsets are in bytes. ``docs/hbm_format.md`` says what each
instruction computes and what it requires.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

RANDOM_WEIGHTS = "random"
"""What a program's metadata say under ``weights`` where these are not trained."""
MAGIC = b"HBMFLOW\0"
VERSION = 1
ALIGNMENT = 64
ROWS_OUTPUTS = 4
"""Weights of layout ``rows`` are for so many outputs at most."""

Quad = tuple[int, int, int, int]
Pair = tuple[int, int]


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
    load = 0
    store = 1
    tensor = 2
    vector = 3
    aux = 4
    transform = 5


class Opcode(IntEnum):
    load = 1
    store = 2
    copy = 3
    conv = 4
    correlation = 5
    warp = 6
    rescale = 7
    add = 8


class WeightLayout(IntEnum):
    """How a convolution's weights lie; ``horizon.hbm.weights`` makes both."""

    blocked = 0
    rows = 1


# The unit that carries out each instruction.
UNIT_OF = {
    Opcode.load: Unit.load,
    Opcode.store: Unit.store,
    Opcode.copy: Unit.transform,
    Opcode.conv: Unit.tensor,
    Opcode.correlation: Unit.tensor,
    Opcode.warp: Unit.aux,
    Opcode.rescale: Unit.vector,
    Opcode.add: Unit.vector,
}


@dataclass(frozen=True)
class View:
    """A box of a memory: element (n, y, x, c) is at ``offset + n s0 + y s1 + x s2 + c s3``.

    Attributes:
        shape: (N, H, W, C).
        strides: bytes, (s0, s1, s2, s3).
        offset: bytes from the start of the space, or of the input or output.
        index: which input or output; 0 in other spaces.
    """

    space: Space
    dtype: DataType
    shape: Quad
    strides: Quad
    offset: int
    index: int = 0

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        last = sum((side - 1) * step for side, step in zip(self.shape, self.strides, strict=True))
        return self.offset + last + self.dtype.size


@dataclass(frozen=True)
class IoTensor:
    """An input or output of a program, a dense array of the caller.

    Attributes:
        shape: in the order of ``layout``.
        scales: one, or one per channel; real value = (integer - zero_point) * scale.
    """

    name: str
    dtype: DataType
    layout: Layout
    shape: Quad
    scales: tuple[float, ...]
    zero_point: int

    @property
    def nbytes(self) -> int:
        n, a, b, c = self.shape
        return n * a * b * c * self.dtype.size

    @property
    def channels(self) -> int:
        return self.shape[1] if self.layout is Layout.nchw else self.shape[3]


@dataclass(frozen=True)
class Instruction:
    """One instruction; fields that its opcode does not use keep their defaults.

    Attributes:
        layer: the layer that it belongs to.
        waits: for each unit, how many of its instructions must have completed before.
        kernel, stride, dilation: of a convolution, (y, x).
        pad: (top, left) of a convolution or correlation; may be negative.
        lo, hi: limits of the output.
        reach: of a correlation: the largest displacement.
        fraction_bits: of a warp's offsets.
        origin: of a warp: (y, x) of the output's first pixel in the map.
        table, table_count: offset of the channel table in the constants, and its entries: 1 (the
            same for all channels) or one per channel.
    """

    opcode: Opcode
    unit: Unit
    layer: str
    waits: tuple[int, ...]
    out: View
    a: View
    b: View | None = None
    weight: View | None = None
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pad: Pair = (0, 0)
    lo: int = 0
    hi: int = 0
    transposed: bool = False
    weight_layout: WeightLayout = WeightLayout.blocked
    reach: int = 0
    fraction_bits: int = 0
    origin: Pair = (0, 0)
    table: int = 0
    table_count: int = 0


@dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
        march: the machine that it was compiled for.
        opt: 0..3, the level of optimisation.
        instructions: in an order in which they may be carried out one after the other.
        constants: weights and channel tables. A file pads them to a multiple of 64 bytes, and that
            is how they are read back. The scales of ``inputs`` and ``outputs`` are not among them.
        sram_bytes, ddr_bytes: memory that the program needs.
        size_multiple: height and width of images are multiples of it.
        metadata: JSON values, for people and reports.
    """

    name: str
    march: str
    opt: int
    inputs: tuple[IoTensor, ...]
    outputs: tuple[IoTensor, ...]
    instructions: tuple[Instruction, ...]
    constants: bytes
    sram_bytes: int
    ddr_bytes: int
    size_multiple: int
    metadata: dict[str, Any]
