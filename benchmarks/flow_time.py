"""Compares the time of a flow network's compiled program with that of OpenCV's DIS.

``python -m benchmarks.flow_time MODEL.hbm [--threads N] [--rounds N] [--json FILE]``

Both compute the flow of the same pairs in turns, in a process that does nothing else. How long DIS
takes depends on the pictures, so the pairs are the real samples of the program's size where they
are at hand; else they are blurred noise, on which DIS takes up to a seventh longer.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hat.cli.common import print_table
from hat.data.files import write_json
from hat.data.image_io import read_image
from horizon.runtime import Model

REAL = Path("../shared/data")
REFERENCE = "DIS medium"
Images = tuple[np.ndarray, np.ndarray]
"""Two images, uint8 (H, W, 3)."""


def real_pairs(folder: Path, size: tuple[int, int]) -> list[Images]:
    """The pairs of FlyingChairs below ``folder`` that have this (H, W)."""
    firsts = sorted(folder.glob("FlyingChairs/**/*_img1.ppm"))
    pairs = [
        (read_image(first), read_image(first.with_name(first.name.replace("_img1", "_img2"))))
        for first in firsts
    ]
    return [pair for pair in pairs if pair[0].shape[:2] == size]


def noise_pair(size: tuple[int, int]) -> Images:
    image = np.random.default_rng(0).integers(0, 256, (*size, 6), dtype=np.uint8)
    blurred = cv2.GaussianBlur(image, (0, 0), 4)
    return np.ascontiguousarray(blurred[..., :3]), np.ascontiguousarray(blurred[..., 3:])


def calls_of(model: Model, pair: Images) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What computes the flow of a pair, by name."""
    planes = np.concatenate(pair, 2).transpose(2, 0, 1)[None]
    given = {model.inputs[0].name: np.ascontiguousarray(planes)}
    yield "program", partial(model.run, given)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in pair]
    for preset in ("FAST", "MEDIUM"):
        search = cv2.DISOpticalFlow_create(getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{preset}"))
        yield f"DIS {preset.lower()}", partial(search.calc, *grey, None)


def measure(path: Path, threads: int, rounds: int, real: Path = REAL) -> dict[str, Any]:
    """Median milliseconds of each method, and what the pairs are."""
    model = Model(path, threads)
    cv2.setNumThreads(threads)
    height, width = model.inputs[0].shape[2:]
    found = real_pairs(real, (height, width))
    pairs = found or [noise_pair((height, width))]
    calls = [call for pair in pairs for call in calls_of(model, pair)]
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, call in calls:
            started = time.perf_counter()
            call()
            seconds.setdefault(name, []).append(time.perf_counter() - started)
    return {
        "pairs": "real" if found else "noise",
        "threads": threads,
        "ms": {name: 1e3 * float(np.median(times)) for name, times in seconds.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("program", type=Path, help="a compiled program of image pairs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=50, help="of all pairs")
    parser.add_argument("--real", type=Path, default=REAL, help="folder of the real samples")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = measure(args.program, args.threads, args.rounds, args.real)
    if args.json:
        write_json(args.json, found)
    reference = found["ms"][REFERENCE]
    print_table(
        [(n, round(ms, 2), round(ms / reference, 3)) for n, ms in found["ms"].items()],
        (f"{args.threads} thread(s), {found['pairs']}", "ms/pair", f"time / {REFERENCE}"),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
