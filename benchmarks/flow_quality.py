"""End-point error of the trained networks, float and integer, and OpenCV's methods.

``python -m benchmarks.flow_quality [--config FILE] [--ckpt-dir DIR] [--data DIR] [--json FILE]``

The pairs are the config's validation set, or those of ``--data`` (packed or raw). Every method sees
the same images and is judged by the same metrics; times are per pair, with OpenCV and PyTorch
on the same number of threads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from hat.cli.common import print_table
from hat.cli.sections import trained_model
from hat.config import Config
from hat.data.datasets import FlyingChairs
from hat.data.files import write_json
from hat.engine.checkpoint import checkpoint_path
from hat.engine.processors import BatchProcessor
from hat.metrics import FlowMetrics
from hat.registry import build_from_registry

CONFIG = "configs/opticalflow_pred/pwcnet/pwcnet_lite_flyingchairs.py"
STAGES = ("float", "int_infer")
CHECKPOINTS = "models/pwcnet_lite"
COLUMNS = ("EPE", "1px", "3px", "5px", "Fl-all", "EPE s0-10", "EPE s10-40", "EPE s40+")

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]


def opencv_methods() -> dict[str, Method]:
    """Flow (H, W, 2) from two grey images, with OpenCV's own settings."""

    def farneback(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 5, 15, 3, 5, 1.2, 0)  # type: ignore[call-overload]

    def inverse_search(preset: int) -> Method:
        dis = cv2.DISOpticalFlow_create(preset)
        return lambda first, second: dis.calc(first, second, None)

    return {
        "zero flow": lambda first, second: np.zeros((*first.shape, 2), np.float32),
        "Farneback": farneback,
        "DIS ultrafast": inverse_search(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST),
        "DIS fast": inverse_search(cv2.DISOPTICAL_FLOW_PRESET_FAST),
        "DIS medium": inverse_search(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
    }


def network_method(model: nn.Module, processor: BatchProcessor) -> Callable[[dict], torch.Tensor]:
    device = torch.device("cpu")
    return lambda batch: processor.evaluate(model, batch, device)[1]


def compare(
    dataset: FlyingChairs, networks: dict[str, Callable[[dict], torch.Tensor]]
) -> dict[str, dict[str, float]]:
    """The metrics and milliseconds per pair of every method over ``dataset``."""
    methods = opencv_methods()
    metrics = {method: FlowMetrics() for method in [*methods, *networks]}
    seconds = dict.fromkeys(metrics, 0.0)
    for index in range(len(dataset)):
        sample = dataset[index]
        img, truth = sample["img"], torch.from_numpy(sample["gt_flow"]).permute(2, 0, 1)[None]
        grey = [
            cv2.cvtColor(np.ascontiguousarray(img[..., i : i + 3]), cv2.COLOR_RGB2GRAY)
            for i in (0, 3)
        ]
        for method, function in methods.items():
            started = time.perf_counter()
            flow = function(*grey)
            seconds[method] += time.perf_counter() - started
            metrics[method].update(truth, torch.from_numpy(flow).permute(2, 0, 1)[None])
        for name, network in networks.items():
            batch = {"img": torch.from_numpy(img).permute(2, 0, 1)[None]}
            started = time.perf_counter()
            prediction = network(batch)
            seconds[name] += time.perf_counter() - started
            metrics[name].update(truth, prediction)
    return {
        method: {**metric.results(), "ms": 1e3 * seconds[method] / len(dataset)}
        for method, metric in metrics.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument(
        "--ckpt-dir", default=CHECKPOINTS, help="folder of the stages' best checkpoints"
    )
    parser.add_argument("--data", help="packed or raw folder (default: the config's)")
    parser.add_argument("--split-name", choices=("train", "val"), help="of a raw folder")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    config = Config.fromfile(args.config)
    processor = build_from_registry(config.val_batch_processor, "val_batch_processor")
    path = args.data or config.val_data_loader["dataset"]["data_path"]
    dataset = FlyingChairs(path, split_name=args.split_name, skip_missing=args.data is not None)
    cv2.setNumThreads(torch.get_num_threads())
    networks = {}
    for stage in STAGES:
        ckpt = checkpoint_path(args.ckpt_dir, stage)
        model = trained_model(config, "infer_cfg", stage, ckpt)[0]
        networks[f"{config.task_name}, {stage}"] = network_method(model, processor)
    results = compare(dataset, networks)
    print(f"{path}: {len(dataset)} pairs, {torch.get_num_threads()} thread(s)")
    rows = [
        (method, *(round(values[c], 3) for c in COLUMNS), round(values["ms"], 1))
        for method, values in results.items()
    ]
    print_table(rows, ("method", *COLUMNS, "ms/pair"))
    for name in networks:
        ratio = results[name]["EPE"] / results["Farneback"]["EPE"]
        print(f"EPE of {name} / EPE of Farneback: {ratio:.3f}")
    if args.json:
        content = {"data": str(path), "pairs": len(dataset), "methods": results}
        write_json(args.json, content)


if __name__ == "__main__":
    main()
