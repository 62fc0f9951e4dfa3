"""Operands of an operation on two tensors, brought to one shape."""

from __future__ import annotations

import torch

from horizon.errors import InputError
from horizon.quantization.movement.rearranged import Rearranged, rearranged
from horizon.quantization.qtensor import QTensor


def sides_fit(x: QTensor, y: QTensor) -> bool:
    """Whether each side of one is that of the other, or 1."""
    return all(a == b or 1 in (a, b) for a, b in zip(x.shape, y.shape, strict=True))


def check_shapes(layer: str, x: QTensor, y: QTensor) -> None:
    """InputError unless there are as many images, and further sides fit."""
    if not sides_fit(x, y) or x.shape[0] != y.shape[0]:
        raise InputError(
            f"{layer}: operands of shapes {tuple(x.shape)} and {tuple(y.shape)}; expected the same "
            "number of images, and each further side of one to be that of the other, or 1: bring "
            "one of them to the size of the other, by a convolution or by nn.Upsample"
        )


def broadcast(layer: str, x: QTensor, y: QTensor) -> tuple[QTensor, QTensor]:
    """Both with the larger of their sides: what has one row, column or channel is repeated.

    Raises:
        InputError: shapes that do not fit.
    """
    check_shapes(layer, x, y)
    shape = torch.broadcast_shapes(x.shape, y.shape)
    return _spread(x, shape), _spread(y, shape)


def _spread(x: QTensor, shape: torch.Size) -> QTensor:
    if x.shape == shape:
        return x
    spread = rearranged(torch.Tensor.expand, x, *shape)
    assert not isinstance(spread, Rearranged)
    return spread
