"""Lossless codecs for the arrays of a packed record.

``image`` (uint8, H x W x 3k): per group of three channels the green one is subtracted from the
other two (neighbouring channels of a photograph differ little), each image row is stored channel
by channel, each row as its difference from the row above, then zstd. ``float`` (float32): the 32
bits of a value as an integer, minus those of the value above (an affine flow changes by nearly
the same amount from row to row, and integers make that exact), the four bytes of all values
apart, then zstd. ``plain``: zstd alone.

Differences run from row to row because their undoing then adds whole rows, which numpy does with
vector instructions; a running sum along a row is one addition at a time. All sums wrap around.
The choices are measured in ``docs/records.md``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import zstandard

__all__ = ["CODECS", "Codec", "codec_for"]

# Level 1 for images: higher levels gain 1 % of the size and cost decoding speed. Level 6 for flow:
# its long repetitions make it smaller and also quicker to decode.
IMAGE_LEVEL, FLOAT_LEVEL, PLAIN_LEVEL = 1, 6, 3

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


def _compress(data: np.ndarray, level: int) -> bytes:
    return zstandard.ZstdCompressor(level=level).compress(data)


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


def _row_differences(rows: np.ndarray) -> np.ndarray:
    delta = rows.copy()
    delta[1:] -= rows[:-1]
    return delta


def _sum_rows(delta: np.ndarray, out: np.ndarray) -> None:
    """Undo ``_row_differences``; ``out`` may be ``delta`` itself."""
    if out is not delta:
        out[:1] = delta[:1]
    rows = list(out)
    for above, difference, row in zip(rows, delta[1:], rows[1:], strict=False):
        np.add(above, difference, row)


def _encode_image(array: np.ndarray) -> bytes:
    height, width, channels = array.shape
    planes = np.ascontiguousarray(array.transpose(0, 2, 1)).reshape(height, channels // 3, 3, width)
    planes[:, :, 0] -= planes[:, :, 1]
    planes[:, :, 2] -= planes[:, :, 1]
    return _compress(_row_differences(planes.reshape(height, -1)), IMAGE_LEVEL)


def _decode_image(data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    if dtype != np.uint8 or len(shape) != 3 or shape[2] % 3 or not all(shape):
        raise ValueError(f"the image codec holds uint8 (H, W, 3k), not {dtype} {shape}")
    height, width, channels = shape
    delta = _decompress(data, height * width * channels).reshape(height, -1)
    rows = np.empty_like(delta)
    _sum_rows(delta, rows)
    planes = rows.reshape(height, channels // 3, 3, width)
    planes[:, :, 0] += planes[:, :, 1]
    planes[:, :, 2] += planes[:, :, 1]
    flat = rows.reshape(height, channels, width)
    return cv2.merge([flat[:, channel] for channel in range(channels)]).reshape(shape)


def _encode_float(array: np.ndarray) -> bytes:
    bits = np.ascontiguousarray(array, np.dtype("<f4")).view("<i4").reshape(array.shape[0], -1)
    return _compress(
        np.ascontiguousarray(_row_differences(bits).view(np.uint8).reshape(-1, 4).T), FLOAT_LEVEL
    )


def _decode_float(data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    if dtype != np.float32 or len(shape) < 2 or not all(shape):
        raise ValueError(f"the float codec holds float32 of two or more axes, not {dtype} {shape}")
    count = int(np.prod(shape, dtype=np.int64))
    planes = _decompress(data, count * 4).reshape(4, shape[0], -1)
    bits = cv2.merge(list(planes)).view("<i4").reshape(shape[0], -1)
    _sum_rows(bits, bits)
    return bits.view("<f4").reshape(shape)


def _encode_plain(array: np.ndarray) -> bytes:
    return _compress(np.ascontiguousarray(array).reshape(-1).view(np.uint8), PLAIN_LEVEL)


def _decode_plain(data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return _decompress(data, size).view(dtype).reshape(shape).copy()


CODECS: dict[str, Codec] = {
    "image": Codec(_encode_image, _decode_image),
    "float": Codec(_encode_float, _decode_float),
    "plain": Codec(_encode_plain, _decode_plain),
}
