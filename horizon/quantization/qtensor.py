"""What flows between the layers of a quantised network: integers and the size of their step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from horizon.errors import InputError
from horizon.hbir import fixed_point
from horizon.quantization.calls import operate

LIMITS = {bits: fixed_point.LIMITS[f"int{bits}"] for bits in (8, 16, 32)}
DTYPES = {8: torch.int8, 16: torch.int16, 32: torch.int32}
NHWC = (0, 3, 1, 2)
"""The axis in a program of each axis of N, C, H, W."""
FACTS = ("ndim", "is_cuda", "layout", "is_leaf", "itemsize", "nbytes", "is_sparse", "is_meta")
"""Attributes of the tensor of integers that a network may ask for."""


class Recorder(Protocol):
    """Records a program while a converted network runs."""

    def add_input(self, x: QTensor) -> QTensor:
        """``x``, marked as an input of the program."""

    def add_output(self, x: QTensor) -> None:
        """Mark ``x`` as an output of the program."""

    def record(
        self,
        op: str,
        layer: str,
        inputs: Sequence[QTensor],
        result: QTensor,
        attributes: dict[str, Any],
    ) -> QTensor:
        """``result``, marked as what the operator ``op`` makes of ``inputs``."""


class NoSuchAttribute(InputError, AttributeError):
    """A quantised tensor was asked for what it does not have."""


def _operator(function: Any, swapped: bool = False) -> Callable[..., Any]:
    if swapped:
        return lambda x, other: operate(function, (other, x), {})
    return lambda x, *others: operate(function, (x, *others), {})


BINARY = {
    torch.add: "add",
    torch.sub: "sub",
    torch.mul: "mul",
    torch.div: "truediv",
    torch.floor_divide: "floordiv",
    torch.remainder: "mod",
    torch.pow: "pow",
    torch.matmul: "matmul",
}
"""Python's operators of two operands, by the function of torch that each is."""
OTHERS = {
    "neg": torch.neg,
    "abs": torch.abs,
    "getitem": torch.Tensor.__getitem__,
    "gt": torch.gt,
    "ge": torch.ge,
    "lt": torch.lt,
    "le": torch.le,
    "ne": torch.ne,
}


class Intercepted:
    """A tensor whose operators and functions of torch are carried out by :func:`operate`."""

    values: Tensor

    @property
    def shape(self) -> torch.Size:
        return self.values.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        return self.values.device

    def dim(self) -> int:
        return self.values.dim()

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def __torch_function__(
        cls, function: Callable, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return operate(function, args, kwargs or {})


for _function, _name in BINARY.items():
    setattr(Intercepted, f"__{_name}__", _operator(_function))
    setattr(Intercepted, f"__r{_name}__", _operator(_function, swapped=True))
for _name, _function in OTHERS.items():
    setattr(Intercepted, f"__{_name}__", _operator(_function))


@dataclass(frozen=True, eq=False)
class QTensor(Intercepted):
    """A tensor of integers that stands for ``values * scale``.

    What is called on it, as a method, an operator or a function of torch, goes to
    :func:`horizon.quantization.calls.operate`. Without a layer of its own only that is possible
    which leaves the integers as they are (:mod:`horizon.quantization.moves`). Anything else is an
    error that says what to use instead, so that no arithmetic slips past the quantisation.

    Args:
        values: (N, C, H, W): integers in a float tensor during training, in an integer tensor
            otherwise; real numbers while ``scale`` is None (calibration).
        scale: one step, () for the tensor or (C,) per channel.
        bits: 8, 16 or 32.
        recorder, name: the program that is being recorded, and this tensor's name in it.
    """

    values: Tensor
    scale: Tensor | None
    bits: int
    recorder: Recorder | None = None
    name: str = ""

    @property
    def requires_grad(self) -> bool:
        return self.values.requires_grad

    def integers(self) -> Tensor:
        """The values in an integer type of ``bits`` bits."""
        return self.values.to(DTYPES[self.bits])

    def channel_scale(self) -> Tensor:
        """The scale per channel, (C,)."""
        assert self.scale is not None
        return self.scale.expand(self.shape[1])

    def one_scale(self, layer: str) -> Tensor:
        """The scale, (); InputError naming ``layer`` where channels have their own."""
        assert self.scale is not None
        if self.scale.dim():
            raise InputError(
                f"{layer}: its input has one scale per channel (a concatenation), and only a "
                "convolution can take that; set concat='requantise' in the qconfig of the "
                "concatenation"
            )
        return self.scale

    def dequantize(self) -> Tensor:
        """Real numbers, float32 (N, C, H, W)."""
        if self.scale is None:
            return self.values
        scale = self.scale.view(-1, 1, 1) if self.scale.dim() else self.scale
        if self.values.dtype == torch.int32:
            # 32 bits do not fit float32: round once, at the end.
            return (self.values.double() * scale.double()).float()
        return self.values.float() * scale

    def scaled(self, factor: Any) -> QTensor:
        """``self * factor``: the same integers with another scale."""
        if not factor > 0:
            raise InputError(
                f"multiplication of a quantised tensor by {factor}: expected above 0, which needs "
                f"no layer; write x * {factor} in forward(), and hand prepare_calibration or "
                "prepare_qat an example input, by which the place gets one"
            )
        if self.scale is None:
            return replace(self, values=self.values * factor)
        return replace(self, scale=self.scale * factor)

    def cut(self, axis: int, start: int, stop: int) -> QTensor:
        """A range of one axis of N, C, H, W."""
        scale = self.scale
        if axis == 1 and scale is not None and scale.dim():
            scale = scale[start:stop]
        result = replace(self, values=self.values.narrow(axis, start, stop - start), scale=scale)
        if self.recorder is not None:
            attributes = {"axis": NHWC[axis], "start": start, "stop": stop}
            return self.recorder.record("slice", f"{self.name}.slice", [self], result, attributes)
        return result

    def __getattr__(self, name: str) -> Any:
        """Methods of ``torch.Tensor``."""
        if name.startswith("_"):
            raise AttributeError(name)
        if name in FACTS:
            return getattr(self.values, name)
        method = getattr(torch.Tensor, name, None)
        if callable(method):
            return lambda *args, **kwargs: operate(method, (self, *args), kwargs)
        if method is not None:
            return operate(method.__get__, (self,), {})
        raise NoSuchAttribute(
            f"{name!r} of a quantised tensor: no tensor has it; look at what the network calls"
        )

    def __eq__(self, other: Any) -> Any:
        return operate(torch.eq, (self, other), {})

    __hash__ = object.__hash__


def same_scale(a: Tensor | None, b: Tensor | None) -> bool:
    if a is b:
        return True
    return a is not None and b is not None and a.shape == b.shape and bool(torch.equal(a, b))
