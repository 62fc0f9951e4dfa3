"""What operators need for their form in exact integer operators of ONNX (``onnx_integer``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from horizon.hbir.node import Node, TensorInfo
from horizon.hbir.onnx_builder import NCHW_AXIS, Builder, nchw

BIAS = {"int8": 128, "int16": 1 << 15, "int32": 1 << 31}
# A tensor, its multiplier and what it is larger by than the number it stands for.
Summand = tuple[str, Any, Any]


class IntegerExport:
    """An export under way: the graph so far, and the steps that operators share."""

    def __init__(self, tensors: Mapping[str, TensorInfo]) -> None:
        self.tensors = tensors
        self.builder = Builder()
        self.halves: dict[str, tuple[str, str]] = {}

    def stored(self, name: str) -> str:
        """The ONNX tensor that holds a tensor of the program."""
        return f"{name}_plus_128" if self.tensors[name].dtype == "int8" else name

    def offset(self, name: str) -> int:
        """What the stored tensor is larger by than the tensor."""
        return 128 if self.tensors[name].dtype == "int8" else 0

    def axis(self, axis: int) -> int:
        """An axis of a program (NHWC) as an axis of the file (NCHW)."""
        return NCHW_AXIS[axis]

    def bias(self, dtype: str) -> int:
        """The number that, added to any integer of the type, makes it non-negative."""
        return BIAS[dtype]

    def summand(self, name: str, multiplier: Any) -> Summand:
        """A tensor of the program, for :meth:`requantise`."""
        return self.stored(name), multiplier, self.offset(name)

    def convolution(self, name: str, weight: np.ndarray, **geometry: Any) -> str:
        """int32 sums of a tensor of the program with int8 weights (O, I, kh, kw).

        An int16 tensor is convolved as its high and its low byte.
        """
        builder = self.builder
        kernel = builder.constant(weight.astype(np.int64) + 128, "uint8")
        middle = builder.constant(128, "uint8")
        geometry = {key: list(v) if isinstance(v, tuple) else v for key, v in geometry.items()}
        if self.tensors[name].dtype == "int8":
            return builder.add("ConvInteger", self.stored(name), kernel, middle, middle, **geometry)
        high, low = self.split_bytes(name)
        coarse = builder.add("ConvInteger", high, kernel, middle, middle, **geometry)
        coarse = builder.add("Mul", coarse, builder.constant(256, "int32"))
        zero = builder.constant(0, "uint8")
        return builder.add(
            "Add", coarse, builder.add("ConvInteger", low, kernel, zero, middle, **geometry)
        )

    def split_bytes(self, name: str) -> tuple[str, str]:
        """High and low byte of an int16 tensor as uint8, the high one larger by 128."""
        if name not in self.halves:
            builder = self.builder
            size = builder.constant(256, "int32")
            positive = builder.add("Add", self.int32(name), builder.constant(1 << 15, "int32"))
            high = builder.add("Div", positive, size)
            low = builder.add("Sub", positive, builder.add("Mul", high, size))
            self.halves[name] = builder.cast(high, "uint8"), builder.cast(low, "uint8")
        return self.halves[name]

    def int32(self, name: str) -> str:
        """A tensor of the program as int32, without an offset."""
        wide = self.builder.cast(self.stored(name), "int32")
        if not self.offset(name):
            return wide
        return self.builder.add("Sub", wide, self.builder.constant(self.offset(name), "int32"))

    def requantise(
        self, node: Node, summands: Sequence[Summand], below: Sequence[Any] | None = None
    ) -> None:
        """``requantised`` with a node's shift, limits and output."""
        values, name = node.attributes, node.output
        dtype = self.tensors[name].dtype
        self.requantised(
            summands, values["shift"], values["lo"], values["hi"], dtype, self.stored(name), below
        )

    def requantised(
        self,
        summands: Sequence[Summand],
        shift: Any,
        lo: int,
        hi: int,
        dtype: str,
        output: str | None = None,
        below: Sequence[Any] | None = None,
    ) -> str:
        """``clamp((sum((tensor - offset) * multiplier) + 2^(s-1)) >> s, lo, hi)`` in int64.

        What is constant is one number b for each channel: the offsets, the half, and ``K << s``,
        with K = 128 for int8, which is the offset of its stored tensor, 2^15 for int16 and 2^31
        for int32 or the most that int64 can hold. So the sum is non-negative wherever the result
        is above lo, and the lower clamp comes before the shift.

        Args:
            summands: (tensor, multiplier, offset), the latter two a value or one per channel.
            shift: 1..47, a value or one per channel.
            dtype: of the result; int8 is stored as uint8, larger by 128.
            below: the multipliers where the sum is negative, if they are others (two slopes).
        """
        add, constant = self.builder.add, self.builder.constant
        s = np.asarray(shift, np.int64)
        lift = np.minimum(BIAS[dtype], np.int64(1) << (62 - s))
        fixed = (np.int64(1) << (s - 1)) + (lift << s)
        total = self.weighted(summands, fixed)
        if below is not None:
            steeper = [(tensor, m, o) for (tensor, _, o), m in zip(summands, below, strict=True)]
            negative = add("Less", total, constant(nchw(fixed), "int64"))
            total = add("Where", negative, self.weighted(steeper, fixed), total)
        lowest = np.maximum(lo + lift, 0) << s
        total = add("Max", total, constant(nchw(lowest), "int64"))
        total = self.shift(total, s, "uint64")
        if dtype == "int8":
            total = add("Min", total, constant(hi + 128, "uint64"))
            return self.builder.cast(total, "uint8", output)
        total = add("Sub", self.builder.cast(total, "int64"), constant(nchw(lift), "int64"))
        total = add("Min", total, constant(hi, "int64"))
        return self.builder.cast(total, dtype, output)

    def weighted(self, summands: Sequence[Summand], fixed: np.ndarray) -> str:
        """``sum((tensor - offset) * multiplier) + fixed``, int64; ``fixed`` () or (C,)."""
        add, constant = self.builder.add, self.builder.constant
        total = ""
        for tensor, multiplier, offset in summands:
            factor = np.asarray(multiplier, np.int64)
            fixed = fixed - factor * np.asarray(offset, np.int64)
            product = self.builder.cast(tensor, "int64")
            product = add("Mul", product, constant(nchw(factor), "int64"))
            total = add("Add", total, product) if total else product
        return add("Add", total, constant(nchw(fixed), "int64"))

    def shift(self, value: str, bits: Any, dtype: str) -> str:
        """A non-negative tensor, shifted to the right as the unsigned type ``dtype``."""
        amount = self.builder.constant(nchw(np.asarray(bits)), dtype)
        value = self.builder.cast(value, dtype)
        return self.builder.add("BitShift", value, amount, direction="RIGHT")
