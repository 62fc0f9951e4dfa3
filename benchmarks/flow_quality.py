"""End-point errors of trained networks (float and integer) and of OpenCV's methods, by data set.

``python -m benchmarks.flow_quality [--config FILE] [--ckpt-dir DIR] [--data DIR] [--json FILE]``

The sets are the real samples if they are at hand, held-out generated pairs of each distribution of
motions and, with ``--data``, a packed or raw folder. All methods get the same images and the same
metrics. The columns ``s0-10`` ... have the error by the true speed in px (``--speeds``); the column
``unmatched`` has that of the pixels that the second image does not show, if the pairs tell them.
The integer network gives the integers of the compiled program (``align_bpu_validation``).
``--program`` also measures the time of that program and of DIS (:mod:`benchmarks.flow_time`).
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.flow_sets import REAL, Pair, generated_set, real_sets, sample_pair
from benchmarks.flow_time import REFERENCE
from hat.cli.common import print_table
from hat.cli.sections import trained_model
from hat.config import Config
from hat.data.datasets import FlyingChairs, TextureBank
from hat.data.files import write_json
from hat.data.synthesis.motions import MOTIONS
from hat.engine.checkpoint import checkpoint_path
from hat.engine.processors import BatchProcessor
from hat.metrics import FlowMetrics
from hat.metrics.resize import full_resolution
from hat.registry import build_from_registry

CONFIG = "configs/opticalflow_pred/pwcnet/pwcnet_lite_generated.py"
CHECKPOINTS = "models/pwcnet_lite_generated"
COLUMNS = ("EPE", "median", "1px", "3px")

SPEEDS = (10.0, 40.0, 80.0, 160.0)
UNMATCHED = "EPE unmatched"

Method = Callable[[np.ndarray, np.ndarray], torch.Tensor]


def opencv_methods() -> dict[str, Method]:
    """Flow (1, 2, H, W) from two RGB images, with OpenCV's own settings."""

    def on_grey(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Method:
        def method(first: np.ndarray, second: np.ndarray) -> torch.Tensor:
            flow = function(*(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (first, second)))
            return torch.from_numpy(flow).permute(2, 0, 1)[None]

        return method

    def farneback(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 5, 15, 3, 5, 1.2, 0)

    def inverse_search(preset: int) -> Method:
        dis = cv2.DISOpticalFlow_create(preset)
        return on_grey(lambda first, second: dis.calc(first, second, None))

    return {
        "zero flow": on_grey(lambda first, _: np.zeros((*first.shape, 2), np.float32)),
        "Farneback": on_grey(farneback),
        "DIS ultrafast": inverse_search(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST),
        "DIS fast": inverse_search(cv2.DISOPTICAL_FLOW_PRESET_FAST),
        REFERENCE: inverse_search(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
    }


def network_method(model: nn.Module, processor: BatchProcessor, enlarge: float = 1.0) -> Method:
    """The flow of a network; ``enlarge`` is a factor on the size of its images."""
    device = torch.device("cpu")

    def evaluate(first: np.ndarray, second: np.ndarray) -> torch.Tensor:
        image = torch.from_numpy(np.concatenate([first, second], axis=2))
        return processor.evaluate(model, {"img": image.permute(2, 0, 1)[None]}, device)[1]

    def enlarged(first: np.ndarray, second: np.ndarray) -> torch.Tensor:
        height, width = first.shape[:2]
        size = round(width * enlarge), round(height * enlarge)
        large = (cv2.resize(x, size, interpolation=cv2.INTER_CUBIC) for x in (first, second))
        flow = full_resolution(evaluate(*large), (size[1], size[0]))
        flow = functional.interpolate(flow, (height, width), mode="bilinear", align_corners=False)
        return flow / torch.tensor([size[0] / width, size[1] / height]).reshape(1, 2, 1, 1)

    return evaluate if enlarge == 1.0 else enlarged


def judge(
    pairs: Iterable[Pair], methods: dict[str, Method], speeds: Sequence[float] = SPEEDS
) -> dict[str, dict[str, float]]:
    """The metrics of every method over ``pairs``, and what :func:`error_statistics` adds."""
    metrics = {method: FlowMetrics() for method in methods}
    errors: dict[str, list[torch.Tensor]] = {method: [] for method in methods}
    true_speeds = []
    for first, second, flow, hidden in pairs:
        truth = torch.from_numpy(flow).permute(2, 0, 1)[None]
        occlusion = None if hidden is None else torch.from_numpy(hidden)[None]
        true_speeds.append(truth.norm(dim=1).flatten())
        for method, function in methods.items():
            found = full_resolution(function(first, second), flow.shape[:2])
            metrics[method].update(truth, found, occlusion=occlusion)
            errors[method].append((found - truth).norm(dim=1).flatten())
    return {
        method: {**metric.results(), **error_statistics(errors[method], true_speeds, speeds)}
        for method, metric in metrics.items()
    }


def speed_classes(limits: Sequence[float]) -> dict[str, tuple[float, float]]:
    """Names of the classes of true speed, such as "s10-40", and their bounds in px."""
    bounds = [0.0, *limits, math.inf]
    return {
        f"s{low:g}-{high:g}" if high < math.inf else f"s{low:g}+": (low, high)
        for low, high in itertools.pairwise(bounds)
    }


def error_statistics(
    errors: Sequence[torch.Tensor], true_speeds: Sequence[torch.Tensor], speeds: Sequence[float]
) -> dict[str, float]:
    """The median error of a pixel, and the mean error of each class of true speed (NaN: none)."""
    error, speed = torch.cat(list(errors)), torch.cat(list(true_speeds))
    means = {
        f"EPE {name}": float(error[(speed >= low) & (speed < high)].mean())
        for name, (low, high) in speed_classes(speeds).items()
    }
    return {"median": float(error.nanmedian()), **means}


def data_pairs(path: str, split_name: str | None) -> Iterator[Pair]:
    pairs = FlyingChairs(path, split_name=split_name, skip_missing=True)
    return (sample_pair(pairs[index]) for index in range(len(pairs)))


def program_times(path: Path, threads: int, rounds: int, real: Path) -> dict[str, float]:
    """Milliseconds of a compiled program and of DIS, measured in a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "times.json"
        command = [sys.executable, "-m", "benchmarks.flow_time", str(path), "--real", str(real)]
        command += ["--threads", str(threads), "--rounds", str(rounds), "--json", str(result)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times: dict[str, float] = json.loads(result.read_text())["ms"]
    return times


def table(
    results: dict[str, dict[str, float]], speeds: Sequence[float]
) -> tuple[list[tuple[Any, ...]], tuple[str, ...]]:
    """Rows and header of a set; classes that no pixel belongs to are left out."""
    reference = results[REFERENCE]
    classes = [f"EPE {name}" for name in speed_classes(speeds)]
    columns = [*COLUMNS, *classes, UNMATCHED]
    columns = [name for name in columns if not math.isnan(reference.get(name, math.nan))]
    rows = [
        (
            method,
            *(round(values[c], 3) for c in columns),
            round(values["EPE"] / reference["EPE"], 3),
        )
        for method, values in results.items()
    ]
    short = [name.removeprefix("EPE ") for name in columns]
    return rows, ("method", *short, f"EPE / {REFERENCE}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--ckpt-dir", default=CHECKPOINTS, help="of the stages' best checkpoints")
    parser.add_argument("--ckpt", type=Path, help="one float checkpoint instead")
    parser.add_argument("--stages", nargs="*", default=("float", "int_infer"))
    parser.add_argument("--enlarge", type=float, default=1.0, help="images for the networks alone")
    parser.add_argument("--real", type=Path, default=REAL, help="folder of the real samples")
    parser.add_argument("--textures", help="a bank of textures: pairs of each distribution too")
    parser.add_argument("--pairs", type=int, default=32, help="generated ones per distribution")
    parser.add_argument("--data", help="packed or raw folder of further pairs")
    parser.add_argument("--split-name", choices=("train", "val"), help="of a raw folder")
    parser.add_argument(
        "--speeds", nargs="+", type=float, default=SPEEDS, metavar="PX", help="limits of classes"
    )
    parser.add_argument("--program", type=Path, help="model.hbm to be timed")
    parser.add_argument("--rounds", type=int, default=50, help="of timing")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)

    config = Config.fromfile(args.config)
    processor = build_from_registry(config.val_batch_processor, "val_batch_processor")
    methods = opencv_methods()
    for stage in ("float",) if args.ckpt else args.stages:
        ckpt = args.ckpt or checkpoint_path(args.ckpt_dir, stage)
        model = trained_model(config, "infer_cfg", stage, ckpt)[0]
        methods[f"{config.task_name}, {stage}"] = network_method(model, processor, args.enlarge)
    sets: dict[str, Iterable[Pair]] = dict(real_sets(args.real))
    if args.textures:
        bank = TextureBank(args.textures)
        sets |= {f"generated, {name}": generated_set(bank, name, args.pairs) for name in MOTIONS}
    if args.data:
        sets[args.data] = data_pairs(args.data, args.split_name)

    results = {}
    for name, pairs in sets.items():
        results[name] = judge(pairs, methods, args.speeds)
        print(f"\n{name}")
        print_table(*table(results[name], args.speeds))
    times = {}
    if args.program:
        times = program_times(args.program, args.threads, args.rounds, args.real)
    if times:
        print_table(
            [(n, round(ms, 2), round(ms / times[REFERENCE], 3)) for n, ms in times.items()],
            (f"{args.threads} thread(s)", "ms/pair", f"time / {REFERENCE}"),
        )
    if args.json:
        write_json(args.json, {"sets": results, "ms": times})


if __name__ == "__main__":
    main()
