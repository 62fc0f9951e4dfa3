"""A box of a memory, which every operand of an instruction is."""

from __future__ import annotations

from dataclasses import dataclass

from horizon.isa.enums import DataType, Space

Quad = tuple[int, int, int, int]
Pair = tuple[int, int]


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
