"""Lossless codecs for the arrays of a packed record.

``bytes`` (uint8, two or more axes: images): each row as its difference from the row above, then
zstd. ``float`` (float32, two or more axes: flow): the 32 bits of a value as an integer, each row as
its difference from the row above (an affine flow changes by nearly the same amount from row to
row, and integers make that exact), the four bytes of all values apart, then zstd. ``plain``: zstd
alone. All sums wrap around.

Differences run from row to row because their undoing then adds whole rows, which numpy does with
vector instructions; a running sum along a row is one addition at a time. The picture is cut into
eight bands, each with a first row of its own, so that one call adds a row of each. The choices are
measured in ``docs/records.md``.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
import zstandard

__all__ = ["CODECS", "Codec", "codec_for"]

# Images: higher levels hardly gain size and decode more slowly. Flow: level 6 is smaller than 1 by a
# seventh, and quicker to decode.
BYTES_LEVEL, FLOAT_LEVEL, PLAIN_LEVEL = 1, 6, 3
BANDS = 8

_local = threading.local()  # a zstd context serves one thread at a time and is costly to make


class Codec(NamedTuple):
    """``encode(array) -> bytes``; ``decode(bytes, dtype, shape) -> array`` (new and writable).

    ``decode`` raises ValueError if the bytes do not give exactly that array.
    """

    encode: Callable[[np.ndarray], bytes]
    decode: Callable[[memoryview, np.dtype, tuple[int, ...]], np.ndarray]


def codec_for(array: np.ndarray) -> str:
    """The name of the codec that suits an array."""
    if array.ndim >= 2 and array.size:
        if array.dtype == np.uint8:
            return "bytes"
        if array.dtype == np.float32:
            return "float"
    return "plain"


def _compress(data: np.ndarray, **settings: Any) -> bytes:
    return zstandard.ZstdCompressor(**settings).compress(data.data)


def _decompress(data: memoryview, out: np.ndarray) -> None:
    """Fill ``out`` exactly; the frame's own claim of its size is checked first."""
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    try:
        size = zstandard.get_frame_parameters(data).content_size
        if size == out.size:
            with _local.decompressor.stream_reader(data, read_size=max(len(data), 1)) as reader:
                size = reader.readinto(out.data) if out.size else 0
    except zstandard.ZstdError as error:
        raise ValueError(f"zstd cannot decode the data: {error}") from error
    if size != out.size:
        raise ValueError(f"the data decode to {size} bytes, expected {out.size}")


def _scratch(size: int) -> np.ndarray:
    """Working memory of this thread: warm in the cache, where fresh memory is not."""
    buffer = getattr(_local, "buffer", None)
    if buffer is None or buffer.size < size:
        buffer = _local.buffer = np.empty(size, np.uint8)
    return buffer[:size]


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
    return int(np.prod(shape, dtype=np.int64))


def _encode_bytes(array: np.ndarray) -> bytes:
    rows = np.ascontiguousarray(array).reshape(len(array), -1)
    return _compress(_row_differences(rows), level=BYTES_LEVEL)


def _decode_bytes(data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(_check(np.uint8, dtype, shape), np.uint8)
    _decompress(data, array)
    _sum_rows(array.reshape(shape[0], -1))
    return array.reshape(shape)


def _encode_float(array: np.ndarray) -> bytes:
    bits = np.ascontiguousarray(array, np.dtype("<f4")).view("<i4").reshape(len(array), -1)
    delta = _row_differences(bits).view(np.uint8).reshape(-1, 4)
    return _compress(np.ascontiguousarray(delta.T), level=FLOAT_LEVEL)


def _decode_float(data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    planes = _scratch(4 * _check(np.float32, dtype, shape))
    _decompress(data, planes)
    bits = cv2.merge(list(planes.reshape(4, shape[0], -1))).view("<i4").reshape(shape[0], -1)
    _sum_rows(bits)
    return bits.view("<f4").reshape(shape)


def _encode_plain(array: np.ndarray) -> bytes:
    return _compress(np.ascontiguousarray(array).reshape(-1).view(np.uint8), level=PLAIN_LEVEL)


def _decode_plain(data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(shape, dtype)
    _decompress(data, array.reshape(-1).view(np.uint8))
    return array


CODECS: dict[str, Codec] = {
    "bytes": Codec(_encode_bytes, _decode_bytes),
    "float": Codec(_encode_float, _decode_float),
    "plain": Codec(_encode_plain, _decode_plain),
}
