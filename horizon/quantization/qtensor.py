"""What flows between the layers of a quantised network: integers and the size of their step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from horizon.errors import InputError
from horizon.hbir import fixed_point

if TYPE_CHECKING:
    from horizon.quantization.trace import Tracer

LIMITS = {bits: fixed_point.LIMITS[f"int{bits}"] for bits in (8, 16, 32)}
DTYPES = {8: torch.int8, 16: torch.int16, 32: torch.int32}


@dataclass(frozen=True, eq=False)
class QTensor:
    """A tensor of integers that stands for ``values * scale``.

    Only operations that leave the integers as they are work on it outside of the layers: slicing
    and concatenating along the batch, slicing channels, ``chunk``, ``contiguous``. Anything else
    is an error that says what to use instead, so that no arithmetic slips past the quantisation.

    Args:
        values: (N, C, H, W): integers in a float tensor during training, in an integer tensor
            otherwise; real numbers while ``scale`` is None (calibration).
        scale: one step, () for the tensor or (C,) per channel.
        bits: 8, 16 or 32.
        tracer, name: the program that is being recorded, and this tensor's name in it.
    """

    values: Tensor
    scale: Tensor | None
    bits: int
    tracer: Tracer | None = None
    name: str = ""

    @property
    def shape(self) -> torch.Size:
        return self.values.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        return self.values.device

    @property
    def requires_grad(self) -> bool:
        return self.values.requires_grad

    def dim(self) -> int:
        return self.values.dim()

    def to(self, *_: Any, **__: Any) -> QTensor:
        """Itself: which type holds the integers is for the layers to choose."""
        return self

    def float(self) -> QTensor:
        return self

    def contiguous(self, **arguments: Any) -> QTensor:
        return replace(self, values=self.values.contiguous(**arguments))

    def detach(self) -> QTensor:
        return replace(self, values=self.values.detach())

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

    def __getitem__(self, index: Any) -> QTensor:
        parts = index if isinstance(index, tuple) else (index,)
        full = slice(None)
        for place, part in enumerate(parts):
            if part is Ellipsis:
                skipped = (full,) * (self.dim() - len(parts) + 1)
                parts = parts[:place] + skipped + parts[place + 1 :]
                break
        bounds = []
        for axis, part in enumerate(parts):
            whole = isinstance(part, slice) and part == full
            if not whole and (
                axis > 1 or not isinstance(part, slice) or part.step not in (None, 1)
            ):
                raise InputError(
                    f"a quantised tensor was indexed by {index!r}; only contiguous ranges of the "
                    "batch or of channels can be taken"
                )
            if not whole:
                bounds.append((axis, *part.indices(self.shape[axis])[:2]))
        result = self
        for axis, start, stop in bounds:
            result = result._slice(axis, start, stop)
        return result

    def chunk(self, chunks: int, dim: int = 0) -> tuple[QTensor, ...]:
        if dim not in (0, 1) or self.shape[dim] % chunks:
            raise InputError(
                f"chunk({chunks}, dim={dim}) of a quantised tensor {tuple(self.shape)}: only the "
                "batch or the channels can be cut, and into equal parts"
            )
        size = self.shape[dim] // chunks
        return tuple(self._slice(dim, i * size, (i + 1) * size) for i in range(chunks))

    def _slice(self, axis: int, start: int, stop: int) -> QTensor:
        scale = self.scale
        if axis == 1 and scale is not None and scale.dim():
            scale = scale[start:stop]
        result = replace(self, values=self.values.narrow(axis, start, stop - start), scale=scale)
        if self.tracer is not None:
            attributes = {"axis": 3 if axis == 1 else 0, "start": start, "stop": stop}
            return self.tracer.record("slice", self.name, [self], result, attributes)
        return result

    @classmethod
    def __torch_function__(
        cls, function: Callable, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> QTensor:
        kwargs = kwargs or {}
        if function in (torch.cat, torch.concat, torch.concatenate):
            return join(list(args[0]), *args[1:], **kwargs)
        if function is torch.chunk:
            return args[0].chunk(*args[1:], **kwargs)
        name = getattr(function, "__name__", str(function))
        raise InputError(
            f"torch.{name} was called on a quantised tensor: it has no fixed-point form; use a "
            "layer of horizon.nn (FloatFunctional for add, cat and multiplication by a number), "
            "or end the quantised part with a DeQuantStub before it"
        )

    def __add__(self, other: Any) -> QTensor:
        raise InputError(
            "'+' on a quantised tensor: give the place a horizon.nn.FloatFunctional and call its "
            "add(x, y), so that the sum can have a scale of its own"
        )

    __radd__ = __sub__ = __rsub__ = __add__

    def __mul__(self, other: Any) -> QTensor:
        raise InputError(
            "'*' on a quantised tensor: give the place a horizon.nn.FloatFunctional and call its "
            "mul_scalar(x, factor)"
        )

    __rmul__ = __truediv__ = __rtruediv__ = __mul__

    def __neg__(self) -> QTensor:
        return self.__mul__(-1)


def join(tensors: list[QTensor], dim: int = 0) -> QTensor:
    """Concatenate along the batch; InputError unless all have the same bits and scale."""
    if any(not isinstance(t, QTensor) for t in tensors):
        raise InputError(
            "torch.cat of quantised and plain tensors: send the plain one through a QuantStub"
        )
    first = tensors[0]
    if dim != 0:
        raise InputError(
            f"torch.cat(dim={dim}) of quantised tensors: give the place a "
            "horizon.nn.FloatFunctional and call its cat(tensors)"
        )
    for other in tensors[1:]:
        if other.bits != first.bits or not same_scale(other.scale, first.scale):
            raise InputError(
                "torch.cat of quantised tensors with different scales along the batch: only parts "
                "of one tensor can be joined so"
            )
    result = replace(first, values=torch.cat([t.values for t in tensors]))
    if first.tracer is not None:
        return first.tracer.record("concat", "batch", tensors, result, {"axis": 0})
    return result


def same_scale(a: Tensor | None, b: Tensor | None) -> bool:
    if a is b:
        return True
    return a is not None and b is not None and a.shape == b.shape and bool(torch.equal(a, b))
