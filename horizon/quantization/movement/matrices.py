"""Matrix products of quantised tensors: which maps their factors are.

A product needs a map whose pixels are one side of the matrix and whose channels are the other, in
as many groups (heads) as an image has matrices. ``q.flatten(2).transpose(1, 2)`` is one, and so is
``scores.view(n, heads, -1, h * w)``: whatever movements made it, they are continued to such a map.
In the program these cancel out, or are movements as any others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from horizon.errors import InputError
from horizon.nn.map_product import map_product
from horizon.quantization.calls import operate
from horizon.quantization.movement.rearranged import Rearranged, best_form, moved, rearranged
from horizon.quantization.qtensor import QTensor

Moved = QTensor | Rearranged
Size = tuple[int, int]
PRODUCTS = {torch.matmul, Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__}
PRODUCTS |= {torch.bmm, Tensor.bmm}
"""The functions of torch that multiply two tensors as matrices."""
REMEDY = (
    "make one side of each matrix the pixels of a map and the other its channels, in groups where "
    "an image has several matrices: q.flatten(2), (N, C, H * W), or q.view(N, heads, C // heads, "
    "H * W), either of them transposed as needed"
)


def matrix_product(first: Moved, second: Moved) -> Moved:
    """``first @ second``, (..., R, K) and (..., K, C), by a layer.

    Raises:
        InputError: no two maps stand for these factors.
    """
    shapes = tuple(first.shape), tuple(second.shape)
    if min(map(len, shapes)) < 2 or shapes[0][-1] != shapes[1][-2]:
        raise InputError(
            f"a matrix product of quantised tensors {shapes[0]} and {shapes[1]}: expected "
            "(..., R, K) and (..., K, C)"
        )
    batch = torch.broadcast_shapes(shapes[0][:-2], shapes[1][:-2])
    first, second = _expanded(first, batch), _expanded(second, batch)
    form = _form(first, second)
    if form is None:
        raise InputError(
            f"a matrix product of quantised tensors {shapes[0]} and {shapes[1]}, made of maps "
            f"{tuple(_source(first).shape)} and {tuple(_source(second).shape)}: {REMEDY}"
        )
    a, b = (side.of(first, second) for side in (form.first, form.second))
    images = len(a)
    arguments = (a, b, math.prod(batch) // images, form.transposed)
    result = operate(map_product, arguments, {})
    return rearranged(matrix_of_map, result, batch, form.first.rows)


def map_of_matrix(x: Tensor, heads: int, rows: bool, size: Size) -> Tensor:
    """(..., R, C) as a map (N, heads * C, h, w) whose pixels are the rows, or the columns."""
    x = x.reshape(-1, heads, *x.shape[-2:])
    if rows:
        x = x.transpose(2, 3)
    return x.reshape(len(x), -1, *size)


def matrix_of_map(x: Tensor, batch: tuple[int, ...], rows: bool) -> Tensor:
    """The other way round."""
    x = x.reshape(*batch, -1, x.shape[2] * x.shape[3])
    return x.transpose(-1, -2) if rows else x


@dataclass(frozen=True)
class _Side:
    """A factor as a map.

    Attributes:
        number: 0 for the first factor, 1 for the second.
        rows: whether the pixels are the rows of the matrix, or its columns.
        heads, size: of the map.
        passes: over all elements, that make the map.
    """

    number: int
    rows: bool
    heads: int
    size: Size
    passes: int

    def of(self, *factors: Moved) -> QTensor:
        x = rearranged(map_of_matrix, factors[self.number], self.heads, self.rows, self.size)
        assert isinstance(x, QTensor)
        return x


@dataclass(frozen=True)
class _Form:
    """The operands of :func:`map_product`; the first has the pixels of the result."""

    first: _Side
    second: _Side
    transposed: bool


def _form(first: Moved, second: Moved) -> _Form | None:
    """The first of those with the fewest passes; None if there is none."""
    (x_rows, x_columns), (y_rows, y_columns) = (
        [_side(number, x, rows) for rows in (True, False)]
        for number, x in enumerate((first, second))
    )
    possible = [
        _Form(a, b, transposed)
        for a, b, transposed in (
            (x_rows, y_columns, True),
            (x_rows, y_rows, False),
            (y_columns, x_columns, False),  # (y^T x^T)^T
        )
        if a and b
    ]
    return min(possible, key=lambda form: form.first.passes + form.second.passes, default=None)


def _side(number: int, x: Moved, rows: bool) -> _Side | None:
    """A factor as a map; None where no movement of a program makes that map."""
    source = _source(x)
    heads, rest = divmod(math.prod(x.shape[:-2]), len(source))
    if rest:
        return None
    found = []
    for size in _sizes(x.shape[-2 if rows else -1], source):
        form = best_form(moved(map_of_matrix, x, heads, rows, size))
        if form is not None:
            found.append(_Side(number, rows, heads, size, form.passes))
    return min(found, key=lambda side: side.passes, default=None)


def _sizes(pixels: int, source: QTensor) -> Iterator[Size]:
    """Heights and widths of so many pixels: those of the source first."""
    height, width = source.shape[2:]
    if pixels % width == 0:
        yield pixels // width, width
    if pixels % height == 0:
        yield height, pixels // height
    yield 1, pixels


def _source(x: Moved) -> QTensor:
    return x if isinstance(x, QTensor) else x.source


def _expanded(x: Moved, batch: Any) -> Moved:
    if tuple(x.shape[:-2]) == tuple(batch):
        return x
    return rearranged(torch.Tensor.expand, x, (*batch, *x.shape[-2:]))
