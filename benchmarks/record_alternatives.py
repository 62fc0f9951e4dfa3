"""Alternatives to the codecs of packed records: compressed size and milliseconds to decode.

``python -m benchmarks.record_alternatives [--data DIR]``

Images are the six channels of a pair, flow is its float32 field. Every alternative is lossless.
Times are medians of CPU time on one thread.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import zstandard

from benchmarks.record_speed import find_pairs, interleaved_medians
from hat.data.codecs import decode_array, encode_array
from hat.data.packers.flyingchairs_layout import read_pair
from hat.data.synthesis.data_set import generate_data_set
from hat.data.synthesis.settings import GeneratorSettings

Array = np.ndarray
_decompressor = zstandard.ZstdDecompressor()


class Alternative(NamedTuple):
    """A transform of an array before zstd, and its inverse on the decoded bytes."""

    name: str
    level: int
    forward: Callable[[Array], Array]
    inverse: Callable[[Array, tuple[int, ...]], Array]

    def encode(self, array: Array) -> bytes:
        data = np.ascontiguousarray(self.forward(array)).reshape(-1).view(np.uint8)
        return zstandard.ZstdCompressor(level=self.level).compress(data.data)

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Array:
        return self.inverse(np.frombuffer(_decompressor.decompress(data), np.uint8), shape)


def _differences(array: Array, axis: int) -> Array:
    delta = array.copy()
    moved, source = np.moveaxis(delta, axis, 0), np.moveaxis(array, axis, 0)
    moved[1:] -= source[:-1]
    return delta


def _sum_rows(rows: Array) -> Array:
    out = np.empty_like(rows)
    out[0] = rows[0]
    for index in range(1, len(rows)):
        np.add(out[index - 1], rows[index], out[index])
    return out


def _green_planes(image: Array) -> Array:
    planes = image.transpose(0, 2, 1).copy()
    for green in (1, 4):
        planes[:, green - 1] -= planes[:, green]
        planes[:, green + 1] -= planes[:, green]
    return _differences(planes, 0)


def _from_green_planes(data: Array, shape: tuple[int, ...]) -> Array:
    planes = _sum_rows(data.reshape(shape[0], -1)).reshape(shape[0], 6, shape[1])
    for green in (1, 4):
        planes[:, green - 1] += planes[:, green]
        planes[:, green + 1] += planes[:, green]
    return cv2.merge([planes[:, channel] for channel in range(6)])


def _shuffle(flow: Array) -> Array:
    return np.ascontiguousarray(flow).view(np.uint8).reshape(-1, 4).T


def _unshuffle(data: Array, shape: tuple[int, ...]) -> Array:
    return cv2.merge(list(data.reshape(4, shape[0], -1))).view(np.float32).reshape(shape)


def _bits(flow: Array) -> Array:
    return np.ascontiguousarray(flow).view(np.int32)


def _floats(bits: Array, shape: tuple[int, ...]) -> Array:
    return bits.view(np.float32).reshape(shape)


IMAGE = [
    *(Alternative(f"row differences, zstd {level}", level, lambda x: _differences(x, 0),
                  lambda d, s: _sum_rows(d.reshape(s[0], -1)).reshape(s)) for level in (-1, 1, 3)),
    Alternative("column differences, zstd 1", 1, lambda x: _differences(x, 1),
                lambda d, s: np.add.accumulate(d.reshape(s), axis=1, dtype=np.uint8)),
    *(Alternative(f"green subtracted, planes, row differences, zstd {level}", level,
                  _green_planes, _from_green_planes) for level in (-1, 1, 3)),
]  # fmt: skip
FLOW = [
    Alternative("zstd 1", 1, lambda x: x, _floats),
    Alternative("bytes apart, zstd 1", 1, _shuffle, _unshuffle),
    *(Alternative(f"row differences of bits, zstd {level}", level,
                  lambda x: _differences(_bits(x), 0),
                  lambda d, s: _floats(_sum_rows(d.view(np.int32).reshape(s[0], -1)), s))
      for level in (1, 6)),
    *(Alternative(f"row differences of bits, bytes apart, zstd {level}", level,
                  lambda x: _shuffle(_differences(_bits(x), 0)),
                  lambda d, s: _floats(_sum_rows(_bits(_unshuffle(d, s)).reshape(s[0], -1)), s))
      for level in (1, 6, 11)),
]  # fmt: skip


def table(title: str, arrays: list[Array], alternatives: list[Alternative]) -> None:
    """Print a table for the alternatives, and for the codecs in use."""
    shape, kind = arrays[0].shape, arrays[0].dtype

    def use(packed: tuple[str, bytes]) -> Array:
        return decode_array(packed[0], memoryview(packed[1]), kind, shape)

    def decode(job: tuple[Alternative, bytes]) -> Array:
        return job[0].decode(job[1], shape)

    jobs = [[(way, way.encode(array)) for array in arrays] for way in alternatives]
    packed = [encode_array(array) for array in arrays]
    for index, array in enumerate(arrays):
        decoded = [decode(ways[index]) for ways in jobs]
        if any(found.tobytes() != array.tobytes() for found in [*decoded, use(packed[index])]):
            raise SystemExit("an alternative does not give its input back")
    names = [*(way.name for way in alternatives), "in use: " + ", ".join(p[0] for p in packed)]
    sizes = [sum(len(data) for _, data in ways) for ways in jobs]
    sizes.append(sum(len(data) for _, data in packed))
    contestants: list[tuple[Callable[..., Array], list]] = [(decode, ways) for ways in jobs]
    times = interleaved_medians([*contestants, (use, packed)], 21)
    raw = sum(array.nbytes for array in arrays)
    print(f"\n| {title} | kept | ms |\n|---|---|---|")
    for name, size, time in zip(names, sizes, times, strict=True):
        print(f"| {name} | {size / raw:.3f} | {time:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="raw FlyingChairs folder (default: generated)")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        if not args.data:
            generate_data_set(folder, GeneratorSettings(4, 0, (384, 512), seed=1))
        pairs = [read_pair(*job) for job in find_pairs(args.data or Path(folder), 4)]
    table("images", [images for images, _ in pairs], IMAGE)
    table("flow", [flow for _, flow in pairs], FLOW)


if __name__ == "__main__":
    main()
