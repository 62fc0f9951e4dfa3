"""Lossless codecs for the arrays of a packed record.

- ``bytes`` (uint8, two or more axes): each row as its difference from the row above, then zstd.
- ``planes`` (uint8, H x W x 3k): the middle channel of three is subtracted from the other two (the
  colours of a photograph differ little), each row is stored channel by channel (middle ones, first
  ones, third ones), as its difference from the row above, then zstd. A quarter smaller than
  ``bytes``; bringing the channels together again takes a third of the decoding time.
- ``float`` (float32, two or more axes): the 32 bits of a value as an integer, each row as its
  difference from the row above (an affine flow changes by nearly the same amount from row to row,
  and integers make that exact), the four bytes of all values apart, then zstd.
- ``plain``: zstd alone.

All sums wrap around. Differences run from row to row because their undoing then adds whole rows,
which numpy does with vector instructions; a running sum along a row is one addition at a time. The
picture is cut into eight bands, each with a first row of its own, so that one call adds a row of
each. The choices are measured in ``docs/records.md``.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable

import cv2
import numpy as np
import zstandard

__all__ = ["decode_array", "encode_array"]

# Flow: level 11 is smaller than 1 by a fourth, and quicker to decode.
FLOAT_LEVEL, PLAIN_LEVEL = 11, 3
# Images: the quickest to decode of three ways that leaves at most this part of the bytes; with the
# flow, the record is then below 0.3 of the raw files. Levels above 1 gain next to nothing.
FAST_LEVEL, SMALL_LEVEL = -1, 1
ENOUGH = 0.54
BANDS = 8

_local = threading.local()  # a zstd context serves one thread at a time and is costly to make


Decode = Callable[[memoryview, np.dtype, tuple[int, ...]], np.ndarray]


def encode_array(array: np.ndarray) -> tuple[str, bytes]:
    """Encode an array with the codec that suits it: (name of the codec, bytes)."""
    if array.ndim >= 2 and array.size and array.dtype == np.uint8:
        for level in (FAST_LEVEL, SMALL_LEVEL):
            data = _encode_bytes(array, level)
            if len(data) <= ENOUGH * array.nbytes:
                return "bytes", data
        if array.ndim == 3 and array.shape[2] % 3 == 0:
            return "planes", _encode_planes(array)
        return "bytes", data
    if array.ndim >= 2 and array.size and array.dtype == np.float32:
        return "float", _encode_float(array)
    return "plain", _encode_plain(array)


def _compress(data: np.ndarray, level: int) -> bytes:
    return zstandard.ZstdCompressor(level=level).compress(data.data)


def _decompress(data: memoryview, out: np.ndarray) -> None:
    """Fill ``out``, whose size is what the frame claims."""
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    size = 0
    if out.size:
        with _local.decompressor.stream_reader(data, read_size=len(data)) as reader:
            size = reader.readinto(out.data)
    if size != out.size:
        raise ValueError(f"the data decode to {size} bytes, expected {out.size}")


def _scratch(name: str, *shape: int) -> np.ndarray:
    """Working memory of this thread, which stays warm in the cache; its address divides by 64.

    (OpenCV interleaves planes several times slower into memory that is not aligned.)
    """
    size = math.prod(shape)
    buffer = getattr(_local, name, None)
    if buffer is None or buffer.size < size:
        raw = np.empty(size + 64, np.uint8)
        buffer = raw[-raw.ctypes.data % 64 :]
        setattr(_local, name, buffer)
    return buffer[:size].reshape(shape)


def _bands(rows: np.ndarray) -> np.ndarray:
    """(H, N) as (H // BANDS, BANDS, N), row i of all bands together: a view, without the rest."""
    height = len(rows) // BANDS
    return rows[: height * BANDS].reshape(BANDS, height, rows.shape[1]).transpose(1, 0, 2)


def _row_differences(rows: np.ndarray) -> np.ndarray:
    delta = rows.copy()
    _bands(delta)[1:] -= _bands(rows)[:-1]
    rest = max(len(rows) // BANDS * BANDS, 1)  # rows below the bands continue the last one
    delta[rest:] -= rows[rest - 1 : -1]
    return delta


def _sum_rows(rows: np.ndarray) -> None:
    """Undo ``_row_differences`` in place."""
    for above, row in itertools.pairwise(_bands(rows)):
        np.add(above, row, row)
    for index in range(max(len(rows) // BANDS * BANDS, 1), len(rows)):
        np.add(rows[index - 1], rows[index], rows[index])


def _check(kind: type, dtype: np.dtype, shape: tuple[int, ...]) -> int:
    """The number of values; ValueError unless the codec of ``kind`` holds such an array."""
    if dtype != kind or len(shape) < 2 or not all(shape):
        raise ValueError(f"this codec holds {np.dtype(kind)} of two or more axes, not {shape}")
    return math.prod(shape)


def _encode_bytes(array: np.ndarray, level: int) -> bytes:
    rows = np.ascontiguousarray(array).reshape(len(array), -1)
    return _compress(_row_differences(rows), level)


def _decode_bytes(data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(_check(np.uint8, dtype, shape), np.uint8)
    _decompress(data, array)
    _sum_rows(array.reshape(shape[0], -1))
    return array.reshape(shape)


def _encode_planes(array: np.ndarray) -> bytes:
    height, width, channels = array.shape
    planes = array.reshape(height, width, channels // 3, 3).transpose(3, 0, 2, 1)
    middle = planes[1]
    rows = np.stack([middle, planes[0] - middle, planes[2] - middle], axis=1).reshape(height, -1)
    return _compress(_row_differences(rows), SMALL_LEVEL)


def _decode_planes(data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    size = _check(np.uint8, dtype, shape)
    if len(shape) != 3 or shape[2] % 3:
        raise ValueError(f"this codec holds (H, W, 3k), not {shape}")
    height, width, channels = shape
    rows = _scratch("planes", size)
    _decompress(data, rows)
    rows = rows.reshape(height, -1)
    _sum_rows(rows)
    blocks = rows.reshape(height, 3, -1)
    blocks[:, 1] += blocks[:, 0]
    blocks[:, 2] += blocks[:, 0]
    planes = rows.reshape(height, 3, channels // 3, width)
    order = [planes[:, (1, 0, 2)[c % 3], c // 3] for c in range(channels)]
    if channels != 6:
        return cv2.merge(order).reshape(shape)
    # OpenCV has vector instructions for two and three planes, not for six.
    pairs = _scratch("pairs", 3, height, width, 2)
    for pair, first in zip(pairs, (0, 2, 4), strict=True):
        cv2.merge(order[first : first + 2], pair)
    return cv2.merge(list(pairs.view(np.uint16)[..., 0])).view(np.uint8).reshape(shape)


def _encode_float(array: np.ndarray) -> bytes:
    bits = np.ascontiguousarray(array, np.dtype("<f4")).view("<i4").reshape(len(array), -1)
    delta = _row_differences(bits).view(np.uint8).reshape(-1, 4)
    return _compress(np.ascontiguousarray(delta.T), FLOAT_LEVEL)


def _decode_float(data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    planes = _scratch("planes", 4 * _check(np.float32, dtype, shape))
    _decompress(data, planes)
    bits = cv2.merge(list(planes.reshape(4, shape[0], -1))).view("<i4").reshape(shape[0], -1)
    _sum_rows(bits)
    return bits.view("<f4").reshape(shape)


def _encode_plain(array: np.ndarray) -> bytes:
    return _compress(np.ascontiguousarray(array).reshape(-1).view(np.uint8), PLAIN_LEVEL)


def _decode_plain(data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(shape, dtype)
    _decompress(data, array.reshape(-1).view(np.uint8))
    return array


CODECS: dict[str, Decode] = {
    "bytes": _decode_bytes,
    "planes": _decode_planes,
    "float": _decode_float,
    "plain": _decode_plain,
}


def decode_array(
    codec: str, data: memoryview, dtype: np.dtype, shape: tuple[int, ...]
) -> np.ndarray:
    """Decode an array; it is new, writable and contiguous.

    Raises:
        ValueError: unknown codec, or the bytes do not give exactly an array of ``dtype`` and
            ``shape``. The size that they claim is checked before any memory is taken.
    """
    if codec not in CODECS:
        raise ValueError(f"unknown codec {codec!r}")
    expected = math.prod(shape) * dtype.itemsize
    try:
        claimed = zstandard.get_frame_parameters(data).content_size
        if claimed != expected:
            raise ValueError(f"the data decode to {claimed} bytes, expected {expected}")
        return CODECS[codec](data, dtype, shape)
    except zstandard.ZstdError as error:
        raise ValueError(f"zstd cannot decode the data: {error}") from error
