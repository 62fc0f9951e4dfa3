"""Augmented training samples per core: packed records against raw files in RAFT's style.

``python -m benchmarks.augmentation_speed [--data DIR] [--json FILE]``

This project's sides read the data set from LMDB. One has the tutorial's transforms (decode, crop to
256x448, flip, translate image 2, zoom, tensors), the other has RAFT's list of transforms. The other
side reads PPM and .flo files and augments as RAFT does (Teed and Deng, ECCV 2020): PIL colour
jitter, erased rectangles, random resizes of both full images and the flow, flips, crop to 256x448,
tensors. All sides run in turns on one thread, with new random numbers for every sample. The figure
is the median CPU time of a sample.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision.transforms import ColorJitter, InterpolationMode

from hat.data.datasets.flyingchairs import FlyingChairs
from hat.data.files import write_json
from hat.data.packers.flyingchairs import pack_flyingchairs
from hat.data.synthesis.data_set import generate_data_set
from hat.data.synthesis.settings import GeneratorSettings
from hat.data.transforms import (
    FlowRandomAffineScale,
    PhotometricJitter,
    RandomCrop,
    RandomErase,
    RandomFlip,
    RandomScaleCrop,
    SegRandomAffine,
    ToTensor,
)

SIZE = (256, 448)


def tutorial_transforms() -> list[Callable[..., dict[str, Any]]]:
    """The sample transforms of the tutorial's training data."""
    return [
        RandomCrop(SIZE),
        RandomFlip(0.5, 0.5),
        ToTensor(to_yuv=False),
        SegRandomAffine(
            degrees=0,
            translate=(0.05, 0.05),
            scale=(1.0, 1.0),
            interpolation=InterpolationMode.BILINEAR,
            translate_p=0.5,
            scale_p=0.0,
        ),
        FlowRandomAffineScale(scale_p=0.5, scale_r=0.05),
    ]


def raft_transforms() -> list[Callable[..., dict[str, Any]]]:
    """RAFT's list, as transforms of this project (docs/data.md)."""
    return [
        PhotometricJitter(0.4, 0.4, 0.4, hue=0.16),
        RandomErase(),
        RandomScaleCrop(SIZE),
        RandomFlip(0.5, 0.1),
        ToTensor(to_yuv=False),
    ]


class RaftStyle:
    """Raw files and the augmentation that RAFT trains FlyingChairs with, at our crop size."""

    jitter = ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.5 / 3.14)

    def __init__(self, data: Path, names: list[str]) -> None:
        self.data, self.names = data, names

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng(index)
        stem = str(self.data / self.names[index % len(self.names)])
        first = np.array(Image.open(f"{stem}_img1.ppm"))
        second = np.array(Image.open(f"{stem}_img2.ppm"))
        with open(f"{stem}_flow.flo", "rb") as file:
            _, width, height = np.fromfile(file, np.int32, 3)
            flow = np.fromfile(file, np.float32, 2 * width * height).reshape(height, width, 2)
        first, second = self.colour(rng, first, second)
        second = self.erase(rng, second)
        first, second, flow = self.space(rng, first, second, flow)
        tensors = [
            torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1).float()
            for array in (first, second, flow)
        ]
        valid = (tensors[2].abs() < 1000).all(dim=0)
        return {"img1": tensors[0], "img2": tensors[1], "flow": tensors[2], "valid": valid.float()}

    def colour(
        self, rng: np.random.Generator, first: np.ndarray, second: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if rng.random() < 0.2:
            one, two = (self.jitter(Image.fromarray(image)) for image in (first, second))
            return np.array(one), np.array(two)
        both = np.array(self.jitter(Image.fromarray(np.concatenate([first, second], axis=0))))
        return both[: len(first)], both[len(first) :]

    def erase(self, rng: np.random.Generator, second: np.ndarray) -> np.ndarray:
        if rng.random() < 0.5:
            second = second.copy()
            mean = second.reshape(-1, 3).mean(axis=0)
            for _ in range(rng.integers(1, 3)):
                y, x = rng.integers(second.shape[0]), rng.integers(second.shape[1])
                height, width = rng.integers(50, 100, 2)
                second[y : y + height, x : x + width] = mean
        return second

    def space(
        self, rng: np.random.Generator, first: np.ndarray, second: np.ndarray, flow: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        height, width = first.shape[:2]
        least = max((SIZE[0] + 8) / height, (SIZE[1] + 8) / width)
        scale_x = scale_y = 2 ** rng.uniform(-0.1, 1.0)
        if rng.random() < 0.8:
            scale_x *= 2 ** rng.uniform(-0.2, 0.2)
            scale_y *= 2 ** rng.uniform(-0.2, 0.2)
        scale_x, scale_y = max(scale_x, least), max(scale_y, least)
        if rng.random() < 0.8:
            first, second, flow = (
                cv2.resize(array, None, fx=scale_x, fy=scale_y, interpolation=cv2.INTER_LINEAR)
                for array in (first, second, flow)
            )
            flow = flow * [scale_x, scale_y]
        if rng.random() < 0.5:
            first, second, flow = (array[:, ::-1] for array in (first, second, flow))
            flow = flow * [-1.0, 1.0]
        if rng.random() < 0.1:
            first, second, flow = (array[::-1] for array in (first, second, flow))
            flow = flow * [1.0, -1.0]
        y = rng.integers(first.shape[0] - SIZE[0] + 1)
        x = rng.integers(first.shape[1] - SIZE[1] + 1)
        window = slice(y, y + SIZE[0]), slice(x, x + SIZE[1])
        return first[window], second[window], flow[window]


def interleaved(
    sides: dict[str, Callable[[int], Any]], rounds: int, batch: int
) -> dict[str, float]:
    """Median CPU milliseconds per sample; the sides take turns, one batch each."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, make in sides.items():
            start = time.thread_time()
            for index in range(turn * batch, (turn + 1) * batch):
                make(index)
            if turn:  # the first turn warms caches up
                times[name].append((time.thread_time() - start) / batch * 1e3)
    return {name: statistics.median(found) for name, found in times.items()}


def measure(source: Path, pairs: int, rounds: int, batch: int) -> dict[str, Any]:
    """Milliseconds per sample of each side, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)
        pack_flyingchairs(source, target, "train", skip_missing=True, progress=False)
        packed = FlyingChairs(str(target / "train_lmdb"))
        raw = FlyingChairs(str(source), split_name="train", skip_missing=True)
        count = min(pairs, len(packed))
        [folder_of_pairs] = {path.parent for path in source.glob(f"**/{raw.names[0]}_flow.flo")}
        augment = tutorial_transforms()
        raft = raft_transforms()
        jittered = [PhotometricJitter(0.4, 0.4, 0.4, hue=0.16, gamma=0.2, noise=2.0), *augment]

        def sample(index: int, transforms: list[Callable[..., dict[str, Any]]]) -> dict[str, Any]:
            data, rng = packed[index % count], np.random.default_rng((0, 0, index))
            for transform in transforms:
                data = transform(data, rng)
            return data

        times = interleaved(
            {
                "packed, decoded only": lambda index: packed[index % count],
                "packed, tutorial's transforms": lambda index: sample(index, augment),
                "packed, tutorial's transforms and colour": lambda index: sample(index, jittered),
                "packed, RAFT's list": lambda index: sample(index, raft),
                "raw files, RAFT's style": RaftStyle(
                    folder_of_pairs, raw.names[:count]
                ).__getitem__,
            },
            rounds,
            batch,
        )
        height, width = packed[0]["img_shape"][:2]
    slow = times["raw files, RAFT's style"]
    return {
        "pairs": count,
        "size": [height, width],
        "crop": list(SIZE),
        "ms per sample": times,
        "ratio": slow / times["packed, tutorial's transforms"],
        "ratio with colour": slow / times["packed, tutorial's transforms and colour"],
        "ratio with RAFT's list": slow / times["packed, RAFT's list"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="raw FlyingChairs folder (default: generated)")
    parser.add_argument("--pairs", type=int, default=8, help="how many pairs at most")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--batch", type=int, default=8, help="samples in a turn")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    torch.manual_seed(0)  # torchvision's jitter draws from torch
    if args.data:
        result = {
            "data": args.data.name,
            **measure(args.data, args.pairs, args.rounds, args.batch),
        }
    else:
        with tempfile.TemporaryDirectory() as folder:
            generate_data_set(folder, GeneratorSettings(args.pairs, 0, (384, 512), seed=1))
            found = measure(Path(folder), args.pairs, args.rounds, args.batch)
            result = {"data": "generated", **found}
    height, width = result["size"]
    print(
        f"{result['pairs']} pairs, {width}x{height}, {result['data']}; "
        f"crops {SIZE[1]}x{SIZE[0]}; one thread\n"
    )
    slow = result["ms per sample"]["raw files, RAFT's style"]
    print(f"{'sample':42} {'ms':>7} {'samples/s':>10} {'faster':>8}")
    for name, milliseconds in result["ms per sample"].items():
        rate, gain = 1e3 / milliseconds, slow / milliseconds
        print(f"{name:42} {milliseconds:7.2f} {rate:10.0f} {gain:7.2f}x")
    if args.json:
        write_json(args.json, result)


if __name__ == "__main__":
    main()
