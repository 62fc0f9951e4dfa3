"""What a compiled program consists of. The numbers are those of ``horizon.isa``.

Boxes are NHWC everywhere, strides and offsets are in bytes. ``docs/hbm_format.md`` says what each
instruction computes and what it requires.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from horizon.hbm.instruction import Instruction
from horizon.hbm.view import Pair, Quad, View
from horizon.isa.bounds import ALIGNMENT, MAGIC, ROWS_OUTPUTS, VERSION
from horizon.isa.enums import DataType, Layout, Space, Unit, WeightLayout
from horizon.isa.instructions import INSTRUCTIONS, Opcode

__all__ = [
    "ALIGNMENT",
    "MAGIC",
    "RANDOM_WEIGHTS",
    "ROWS_OUTPUTS",
    "UNIT_OF",
    "VERSION",
    "DataType",
    "Instruction",
    "IoTensor",
    "Layout",
    "Opcode",
    "Pair",
    "Program",
    "Quad",
    "Space",
    "Unit",
    "View",
    "WeightLayout",
]

RANDOM_WEIGHTS = "random"
"""What a program's metadata say under ``weights`` where these are not trained."""
UNIT_OF = {opcode: operation.unit for opcode, operation in INSTRUCTIONS.items()}
"""The unit that carries out each instruction."""


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
