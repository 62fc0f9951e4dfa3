"""Proof that no accumulator of a convolution reaches 2^28, from the weights in the constants.

The bound is the sum over ``|w| * max|x| + |bias|`` of each output channel (``fixed_point.md``,
"Numbers"). Weights in SRAM are known if loads brought them there from the constants and nothing has
been written over them since; otherwise the program is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from horizon.errors import InputError
from horizon.hbm.format import CHANNEL
from horizon.hbm.records import Instruction, Opcode, Program, Space, View
from horizon.hbm.require import fail, require
from horizon.hbm.resident import Resident
from horizon.hbm.weights import packed_bytes, unpack_weights, weight_shape
from horizon.isa.bounds import ACCUMULATOR_LIMIT

MOST_READINGS = 64
"""How often convolutions of different shapes may read the same constants, on average."""


class Proof:
    """The proof, to be followed through the instructions in list order."""

    def __init__(self, program: Program) -> None:
        self._constants = np.frombuffer(program.constants, np.int8)
        self._resident = Resident()
        # Tiles of one layer share their weights.
        self._sums: dict[tuple[Any, ...], np.ndarray] = {}
        self._bytes_read = 0

    def follow(self, instruction: Instruction, where: str) -> None:
        """Prove a convolution, and note what an instruction writes.

        Raises:
            InputError: begins with ``where``.
        """
        if instruction.opcode is Opcode.conv:
            self._prove(instruction, where)
        out, a = instruction.out, instruction.a
        if out.space is not Space.sram:
            return
        loaded = instruction.opcode is Opcode.load and a.space is Space.constant
        if loaded and _is_dense_row(a) and _is_dense_row(out):
            self._resident.remember(out.offset, out.end, a.offset)
        else:
            self._resident.forget(out.offset, out.end)

    def _prove(self, conv: Instruction, where: str) -> None:
        weight = conv.weight
        assert weight is not None
        offset: int | None = weight.offset
        if weight.space is Space.sram:
            offset = self._resident.find(weight.offset, weight.end)
        if offset is None:
            found = f"weights of unknown value at byte {weight.offset} of the sram"
            fail(where, found, "bytes that loads brought there from the constants")
        table = np.frombuffer(self._constants, CHANNEL, conv.table_count, conv.table)
        largest = 2 ** (8 * conv.a.dtype.size - 1)
        bias = np.abs(table["bias"].astype(np.int64))
        bounds = self._sums_at(offset, conv, where) * largest + bias
        if bounds.max() >= ACCUMULATOR_LIMIT:
            channel = int(bounds.argmax())
            found = f"an accumulator of channel {channel} that can reach {bounds[channel]}"
            fail(where, found, f"less than {ACCUMULATOR_LIMIT}")

    def _sums_at(self, offset: int, conv: Instruction, where: str) -> np.ndarray:
        """sum of ``|w|`` of each output channel, int64 (O,)."""
        shape = outputs, kh, kw, inputs = weight_shape(conv)
        key = (offset, conv.weight_layout, outputs, kh * kw, inputs)
        if key not in self._sums:
            size = packed_bytes(shape, conv.weight_layout)
            self._bytes_read += size
            most = MOST_READINGS * len(self._constants)
            found = "convolutions of many shapes over the same constants"
            require(self._bytes_read <= most, where, found, "weights of their own")
            packed = self._constants[offset : offset + size]
            try:
                weights = unpack_weights(packed, shape, conv.weight_layout)
            except InputError as error:
                raise InputError(f"{where}: {error}") from error
            require(weights.min() > -128, where, "a weight of -128", "-127..127")
            self._sums[key] = np.abs(weights).reshape(outputs, -1).sum(1, np.int64)
        return self._sums[key]


def _is_dense_row(view: View) -> bool:
    return view.shape[:3] == (1, 1, 1) and view.strides[3] == view.dtype.size
