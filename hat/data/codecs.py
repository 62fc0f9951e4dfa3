"""Lossless codecs for the arrays of a packed record.

``image`` (uint8, H x W x 3k): per group of three channels the middle one is subtracted from the
other two (the colours of a photograph differ little); each row is stored channel by channel
(middle ones, first ones, third ones) as its difference from the row above; then zstd.

``float`` (float32): the 32 bits of a value as an integer, minus those of the value above (an
affine flow changes by nearly the same amount from row to row, and integers make that exact); the
four bytes of all values apart; then zstd.

``plain``: zstd alone.

Differences run from row to row because their undoing then adds whole rows, which numpy does with
vector instructions; a running sum along a row is one addition at a time. All sums wrap around.
The choices are measured in ``docs/records.md``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
import zstandard

__all__ = ["CODECS", "Codec", "codec_for"]

# Images: level 1 with the smallest hash table, since noise has no repetitions worth looking for.
# Flow: level 6, whose longer repetitions are smaller and also quicker to decode than level 1's.
IMAGE_PARAMETERS = zstandard.ZstdCompressionParameters.from_level(1, hash_log=6)
FLOAT_LEVEL, PLAIN_LEVEL = 6, 3
# The rows of so many bands of the picture are summed by one call, which saves its overhead; each
# band starts with a row that has none above it.
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
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] % 3 == 0 and array.size:
        return "image"
    if array.dtype == np.float32 and array.ndim >= 2 and array.size:
        return "float"
    return "plain"


def _compress(data: np.ndarray, **settings: Any) -> bytes:
    return zstandard.ZstdCompressor(**settings).compress(data.data)


def _decompress(data: memoryview, size: int) -> np.ndarray:
    """Exactly ``size`` bytes (read-only); the frame's own claim is checked before any memory."""
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    try:
        claimed = zstandard.get_frame_parameters(data).content_size
        if claimed != size:
            raise ValueError(f"the data decode to {claimed} bytes, expected {size}")
        raw = _local.decompressor.decompress(data, max_output_size=size)
    except zstandard.ZstdError as error:
        raise ValueError(f"zstd cannot decode the data: {error}") from error
    if len(raw) != size:
        raise ValueError(f"the data decode to {len(raw)} bytes, expected {size}")
    return np.frombuffer(raw, np.uint8)


def _scratch(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Working memory of this thread; fresh pages for every record would cost more than the sums."""
    size = int(np.prod(shape, dtype=np.int64))
    buffer = getattr(_local, name, None)
    if buffer is None or buffer.size < size:
        buffer = np.empty(size, np.uint8)
        setattr(_local, name, buffer)
    return buffer[:size].reshape(shape)


def _bands(rows: np.ndarray) -> np.ndarray:
    """(H, N) as (H // BANDS, BANDS, N): row i of all bands together; a view, without the rest."""
    height = len(rows) // BANDS
    return rows[: height * BANDS].reshape(BANDS, height, rows.shape[1]).transpose(1, 0, 2)


def _row_differences(rows: np.ndarray) -> np.ndarray:
    delta = rows.copy()
    _bands(delta)[1:] -= _bands(rows)[:-1]
    rest = max(len(rows) // BANDS * BANDS, 1)
    delta[rest:] -= rows[rest - 1 : -1]
    return delta


def _sum_rows(delta: np.ndarray, out: np.ndarray) -> None:
    """Undo ``_row_differences``; ``out`` may be ``delta`` itself."""
    rest = max(len(delta) // BANDS * BANDS, 1)
    banded, difference = list(_bands(out)), _bands(delta)
    if out is not delta:
        out[0] = delta[0]
        for first, row in zip(difference[:1], banded[:1], strict=True):
            row[:] = first
    for above, step, row in zip(banded, difference[1:], banded[1:], strict=False):
        np.add(above, step, row)
    for index in range(rest, len(delta)):
        np.add(out[index - 1], delta[index], out[index])


def _encode_image(array: np.ndarray) -> bytes:
    height, width, channels = array.shape
    planes = array.reshape(height, width, channels // 3, 3).transpose(3, 0, 2, 1)
    green = planes[1]
    rows = np.stack([green, planes[0] - green, planes[2] - green], axis=1).reshape(height, -1)
    return _compress(_row_differences(rows), compression_params=IMAGE_PARAMETERS)


def _decode_image(data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    if dtype != np.uint8 or len(shape) != 3 or shape[2] % 3 or not all(shape):
        raise ValueError(f"the image codec holds uint8 (H, W, 3k), not {dtype} {shape}")
    height, width, channels = shape
    delta = _decompress(data, height * width * channels).reshape(height, -1)
    rows = _scratch("rows", delta.shape)
    _sum_rows(delta, rows)
    blocks = rows.reshape(height, 3, -1)
    blocks[:, 1] += blocks[:, 0]
    blocks[:, 2] += blocks[:, 0]
    planes = rows.reshape(height, 3, channels // 3, width)
    order = [planes[:, (1, 0, 2)[c % 3], c // 3] for c in range(channels)]
    if channels != 6:
        return cv2.merge(order).reshape(shape)
    # OpenCV interleaves 2 or 3 planes with vector instructions, 6 without.
    pairs = _scratch("pairs", (3, height, width, 2))
    for pair, first in zip(pairs, (0, 2, 4), strict=True):
        cv2.merge(order[first : first + 2], pair)
    return cv2.merge(list(pairs.view(np.uint16)[..., 0])).view(np.uint8).reshape(shape)


def _encode_float(array: np.ndarray) -> bytes:
    bits = np.ascontiguousarray(array, np.dtype("<f4")).view("<i4").reshape(array.shape[0], -1)
    delta = _row_differences(bits).view(np.uint8).reshape(-1, 4)
    return _compress(np.ascontiguousarray(delta.T), level=FLOAT_LEVEL)


def _decode_float(data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    if dtype != np.float32 or len(shape) < 2 or not all(shape):
        raise ValueError(f"the float codec holds float32 of two or more axes, not {dtype} {shape}")
    count = int(np.prod(shape, dtype=np.int64))
    planes = _decompress(data, count * 4).reshape(4, shape[0], -1)
    bits = cv2.merge(list(planes)).view("<i4").reshape(shape[0], -1)
    _sum_rows(bits, bits)
    return bits.view("<f4").reshape(shape)


def _encode_plain(array: np.ndarray) -> bytes:
    return _compress(np.ascontiguousarray(array).reshape(-1).view(np.uint8), level=PLAIN_LEVEL)


def _decode_plain(data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return _decompress(data, size).view(dtype).reshape(shape).copy()


CODECS: dict[str, Codec] = {
    "image": Codec(_encode_image, _decode_image),
    "float": Codec(_encode_float, _decode_float),
    "plain": Codec(_encode_plain, _decode_plain),
}
