"""One instruction of a program. Made by ``python -m horizon.isa.generate``: change horizon/isa."""

from __future__ import annotations

from dataclasses import dataclass

from horizon.hbm.view import Pair, View
from horizon.isa.enums import Unit, WeightLayout
from horizon.isa.instructions import Opcode


@dataclass(frozen=True)
class Instruction:
    """Fields that an opcode does not use keep their defaults.

    Attributes:
        layer: the layer that it belongs to.
        waits: for each unit, how many of its instructions must have completed before.
        kernel: (y, x).
        stride: (y, x).
        dilation: (y, x).
        pad: (top, left), may be negative.
        lo: lower limit of the output.
        hi: upper limit of the output.
        transposed: 0 or 1: a transposed convolution; matmul: b is transposed.
        reach: largest displacement.
        fraction_bits: fraction bits of a sampling position.
        origin: (y, x) of the output's first pixel in the map.
        two_slopes: 0 or 1: whether negative sums have their own multipliers.
        step: (y, x): position = (step * pixel + offset) / divisor.
        offset: (y, x): see step.
        divisor: (y, x): see step.
        last: (y, x) of the whole input's last pixel.
        margin: (y, x): rows and columns around `a` that count as elements.
        table: offset of Channel entries (lookup: of out's type) in constants, a multiple of 32.
        table_count: entries: 1 or one per channel; avg_pool: one per element count; lookup: 256.
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
    two_slopes: bool = False
    step: Pair = (0, 0)
    offset: Pair = (0, 0)
    divisor: Pair = (0, 0)
    last: Pair = (0, 0)
    margin: Pair = (0, 0)
    table: int = 0
    table_count: int = 0
