"""Compares packed records with records of two PNGs and a float64 flow: bytes, decoding time.

``python -m benchmarks.record_speed [--data DIR] [--json FILE]``

Both are decoded on one thread, in turns; the figure is the median CPU time of a pair. OpenCV writes
the PNGs at its default level. The PNGs have two figures: for decoding only (two images, float32
flow), and for the sample that a packed record gives (one array with six channels), joined in
OpenCV's fastest way.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from hat.data.files import write_json
from hat.data.packers.flyingchairs import encode_pair
from hat.data.packers.flyingchairs_layout import read_pair
from hat.data.records import decode_record
from hat.data.synthesis.data_set import generate_data_set
from hat.data.synthesis.settings import GeneratorSettings

Pair = tuple[np.ndarray, np.ndarray]


class PngRecord(NamedTuple):
    """Two PNGs and a float64 flow."""

    first: bytes
    second: bytes
    flow: bytes
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return len(self.first) + len(self.second) + len(self.flow)


def png_record(pair: Pair) -> PngRecord:
    """Encode a pair as two PNGs and a float64 flow."""
    images, flow = pair
    first, second = (
        cv2.imencode(".png", np.ascontiguousarray(images[..., i : i + 3]))[1].tobytes()
        for i in (0, 3)
    )
    return PngRecord(first, second, flow.astype(np.float64).tobytes(), flow.shape)


def decode_pngs(record: PngRecord) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two images and a float32 flow."""
    flow = np.frombuffer(record.flow, np.float64).reshape(record.shape).astype(np.float32)
    first, second = (
        np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR))
        for png in (record.first, record.second)
    )
    return first, second, flow


def decode_pngs_to_sample(record: PngRecord) -> Pair:
    """Images (H, W, 6) and a float32 flow."""
    first, second, flow = decode_pngs(record)
    images = np.empty((*flow.shape[:2], 6), np.uint8)
    cv2.mixChannels([first, second], [images], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    return images, flow


def interleaved_medians(
    contestants: Sequence[tuple[Callable[[Any], object], Sequence[Any]]], repeats: int
) -> list[float]:
    """Median CPU milliseconds per call; the functions take turns, one call each."""
    times: list[list[float]] = [[] for _ in contestants]
    for _ in range(repeats):
        for (function, arguments), found in zip(contestants, times, strict=True):
            start = time.thread_time()
            for argument in arguments:
                function(argument)
            found.append((time.thread_time() - start) / len(arguments) * 1e3)
    return [statistics.median(found) for found in times]


def find_pairs(data: Path, count: int) -> list[tuple[Path, str]]:
    """The first pairs of a raw FlyingChairs folder."""
    found = sorted(data.glob("**/*_flow.flo"))[:count]
    if not found:
        raise SystemExit(f"{data}: no *_flow.flo below this folder")
    return [(path.parent, path.name.removesuffix("_flow.flo")) for path in found]


def measure(data: Path, count: int, repeats: int) -> dict[str, Any]:
    """Sizes relative to the raw files, and milliseconds per pair."""
    jobs = find_pairs(data, count)
    pairs = [read_pair(*job) for job in jobs]
    encoded = [encode_pair(job) for job in jobs]
    raw = sum(facts["raw"] for _, facts in encoded)
    packed = [record for record, _ in encoded]
    pngs = [png_record(pair) for pair in pairs]
    for record, plain, (images, flow) in zip(packed, pngs, pairs, strict=True):
        arrays = decode_record(record).arrays
        plain_images, plain_flow = decode_pngs_to_sample(plain)
        if not all(
            np.array_equal(found, expected)
            for found, expected in ((arrays["img"], images), (plain_images, images),
                                    (arrays["gt_flow"], flow), (plain_flow, flow))
        ):  # fmt: skip
            raise SystemExit("a record does not give its pair back")
    ours, decoded, sample = interleaved_medians(
        [(decode_record, packed), (decode_pngs, pngs), (decode_pngs_to_sample, pngs)], repeats
    )
    return {
        "pairs": len(pairs),
        "size": list(pairs[0][1].shape[:2]),
        "packed bytes / raw bytes": sum(map(len, packed)) / raw,
        "PNG + float64 bytes / raw bytes": sum(record.size for record in pngs) / raw,
        "packed ms": ours,
        "PNG + float64 ms": decoded,
        "PNG + float64 to a sample ms": sample,
        "decode ratio": decoded / ours,
        "decode ratio to a sample": sample / ours,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="raw FlyingChairs folder (default: generated)")
    parser.add_argument("--pairs", type=int, default=8, help="how many pairs at most")
    parser.add_argument("--repeats", type=int, default=41)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    if args.data:
        result = {"data": args.data.name, **measure(args.data, args.pairs, args.repeats)}
    else:
        with tempfile.TemporaryDirectory() as folder:
            generate_data_set(folder, GeneratorSettings(args.pairs, 0, (384, 512), seed=1))
            result = {"data": "generated", **measure(Path(folder), args.pairs, args.repeats)}
    height, width = result["size"]
    print(f"{result['pairs']} pairs, {width}x{height}, {result['data']}; one thread\n")
    print(f"{'record':34} bytes/raw  ms/pair  against packed")
    for name, size, milliseconds in (
        ("packed", "packed bytes / raw bytes", "packed ms"),
        ("2 PNG + float64 flow", "PNG + float64 bytes / raw bytes", "PNG + float64 ms"),
        ("2 PNG + float64 flow, as a sample", "PNG + float64 bytes / raw bytes",
         "PNG + float64 to a sample ms"),
    ):  # fmt: skip
        ratio = result[milliseconds] / result["packed ms"]
        print(f"{name:34} {result[size]:9.3f} {result[milliseconds]:8.2f} {ratio:12.2f}x")
    if args.json:
        write_json(args.json, result)


if __name__ == "__main__":
    main()
