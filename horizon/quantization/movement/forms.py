"""Which form a movement has, from where each element comes."""

from __future__ import annotations

import numpy as np

from horizon.quantization.movement.gather import (
    ZERO,
    Exchanged,
    Folded,
    Gather,
    Separable,
    Spread,
)


def gather_of(places: np.ndarray, shape: tuple[int, ...]) -> Gather | None:
    """The form of a map.

    Args:
        places: (N, C', H', W'), the number of each element in a map of ``shape``, counted
            through N, C, H, W; ``ZERO`` for a new zero.
        shape: (N, C, H, W).

    Returns:
        None where none of the forms fits, or images are mixed.
    """
    size = int(np.prod(shape[1:]))
    first = places[0]
    images = np.arange(len(places)).reshape(-1, 1, 1, 1) * size
    if not np.array_equal(places, np.where(first == ZERO, ZERO, first + images)):
        return None
    for form in (_spread, _separable, _folded, _exchanged):
        found = form(first, shape[1:])
        if found is not None:
            return found
    return None


def _separable(places: np.ndarray, shape: tuple[int, ...]) -> Separable | None:
    _, height, width = shape
    zero = places == ZERO
    if zero.all():
        return None
    sides = [zero.all(axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
    c, y, x = (int(np.flatnonzero(~side)[0]) for side in sides)
    channels = np.where(sides[0], ZERO, places[:, y, x] // (height * width))
    rows = np.where(sides[1], ZERO, places[c, :, x] // width % height)
    columns = np.where(sides[2], ZERO, places[c, y] % width)
    grid = np.ix_(channels, rows, columns)
    expected = grid[0] * height * width + grid[1] * width + grid[2]
    expected[(grid[0] == ZERO) | (grid[1] == ZERO) | (grid[2] == ZERO)] = ZERO
    if not np.array_equal(expected, places):
        return None
    if any(_holes(axis) for axis in (rows, columns)):
        return None
    return Separable(channels, rows, columns)


def _holes(places: np.ndarray) -> bool:
    """Whether zeros lie between what is taken along an axis."""
    taken = np.flatnonzero(places != ZERO)
    return bool(len(taken) <= taken[-1] - taken[0])


def _spread(places: np.ndarray, shape: tuple[int, ...]) -> Spread | None:
    _, height, width = shape
    outputs, tall, broad = places.shape
    if tall % height or broad % width or (places == ZERO).any():
        return None
    high, wide = tall // height, broad // width
    if high == wide == 1:
        return None
    blocks = places.reshape(outputs, height, high, width, wide).transpose(0, 2, 4, 1, 3)
    grid = np.arange(height * width).reshape(height, width)
    channels = blocks[..., 0, 0] // (height * width)
    expected = channels[..., None, None] * (height * width) + grid
    return Spread(channels) if np.array_equal(expected, blocks) else None


def _folded(places: np.ndarray, shape: tuple[int, ...]) -> Folded | None:
    _, height, width = shape
    _, low, narrow = places.shape
    if height % low or width % narrow or (places == ZERO).any():
        return None
    high, wide = height // low, width // narrow
    corner = places[:, 0, 0]
    channels, rows, columns = (
        corner // (height * width),
        corner // width % height,
        corner % width,
    )
    grid = np.arange(low)[:, None] * high * width + np.arange(narrow) * wide
    if (rows >= high).any() or (columns >= wide).any():
        return None
    if not np.array_equal(corner[:, None, None] + grid, places):
        return None
    return Folded(channels, rows, columns, (high, wide))


def _exchanged(places: np.ndarray, shape: tuple[int, ...]) -> Exchanged | None:
    pixels = shape[1] * shape[2]
    outputs, rows, columns = places.shape
    if outputs % pixels or (places == ZERO).any():
        return None
    matrices = places.reshape(outputs // pixels, pixels, rows * columns)
    channels = matrices[:, 0] // pixels
    expected = channels[:, None] * pixels + np.arange(pixels)[:, None]
    return Exchanged(channels, (rows, columns)) if np.array_equal(expected, matrices) else None
