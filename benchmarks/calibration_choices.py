"""EPE of the lite network after calibration, by observer and by kind of concatenation.

``python -m benchmarks.calibration_choices [--config FILE] [--ckpt FILE] [--batches N]``

Calibrates the float checkpoint once for every choice, on the same batches of the training set
(whole pairs, no augmentation), and evaluates the fixed-point arithmetic on the held-out pairs,
without any training. Prints the EPE and its ratio to that of the float network.
"""

from __future__ import annotations

import argparse
import os
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hat.cli import common
from hat.cli.checkpoints import stage_checkpoint
from hat.cli.sections import validation_loader
from hat.config import Config
from hat.data.files import write_json
from hat.engine.checkpoint import load_checkpoint, load_weights
from hat.engine.evaluate import evaluate
from hat.metrics import EndPointError
from hat.registry import build_from_registry
from horizon.quantization import finish_calibration, prepare_calibration

CONFIG = "configs/opticalflow_pred/pwcnet/pwcnet_lite_flyingchairs.py"
RESULT = Path(__file__).parent / "results" / "calibration_choices.json"
PERCENTILE: dict[str, Any] = {"observer": "percentile"}
CHOICES: dict[str, dict[str, Any]] = {
    "min-max": {"observer": "minmax"},
    "moving average": {"observer": "moving_average"},
    "percentile 99.99": {**PERCENTILE, "percentile": 99.99},
    "percentile 99.9": {**PERCENTILE, "percentile": 99.9},
    "percentile 99.5": {**PERCENTILE, "percentile": 99.5},
    "MSE": {"observer": "mse"},
    "MSE, weights MSE": {"observer": "mse", "weight_observer": "mse"},
    "KL": {"observer": "kl"},
}
CONCATS = ("fold", "requantise")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--ckpt", help="float checkpoint (default: the config's)")
    parser.add_argument("--batches", type=int, default=16, help="calibration batches of 8")
    parser.add_argument("--pairs", type=int, help="evaluate the first pairs only")
    parser.add_argument("--json", type=Path, default=RESULT)
    args = parser.parse_args()
    config = Config.fromfile(args.config)
    study = Study(config, args)
    with torch.no_grad():
        float_epe = study.evaluate(study.network())
        rows = []
        for name, options in CHOICES.items():
            for concat in CONCATS:
                epe = study.evaluate(study.calibrated(concat=concat, **options))
                rows.append((name, concat, epe, epe / float_epe))
                print(f"{name}, {concat}: {epe:.4f} px, {epe / float_epe:.4f}", flush=True)
    print(f"\nfloat: {float_epe:.4f} px")
    header = ("observer", "concat", "EPE", "ratio")
    common.print_table(rows, header)
    content = {
        "float_epe": float_epe,
        "batches": args.batches,
        "rows": [dict(zip(header, row, strict=True)) for row in rows],
        "torch": torch.__version__,
    }
    write_json(args.json, content)


class Study:
    """The network, its data and its evaluation."""

    def __init__(self, config: Config, args: argparse.Namespace) -> None:
        self.config = config
        checkpoint = stage_checkpoint(config, "float", args.ckpt)
        self.weights, self.source = load_checkpoint(checkpoint)["state_dict"], str(checkpoint)
        self.processor = build_from_registry(config.section("val_batch_processor"), "")
        self.val_loader = validation_loader(config)
        self.max_batches = None if args.pairs is None else args.pairs // 8
        self.images = [
            {"img": self.processor.prepare(batch, torch.device("cpu"))["img"]}
            for batch in islice(whole_pairs(config, "train"), args.batches)
        ]

    def network(self) -> nn.Module:
        model: nn.Module = build_from_registry(self.config.section("model"), "model")
        load_weights(model, self.weights, self.source)
        return model.eval()

    def calibrated(self, **qconfig: Any) -> nn.Module:
        model: Any = self.network()
        model.fuse_model()
        model.set_qconfig(**qconfig)
        prepare_calibration(model, inplace=True)
        for images in self.images:
            model(images)
        return finish_calibration(model)

    def evaluate(self, model: nn.Module) -> float:
        metric = EndPointError()
        device = torch.device("cpu")
        results = evaluate(
            model, self.val_loader, self.processor, [metric], device, max_batches=self.max_batches
        )
        return results["EPE"]


def whole_pairs(config: Config, split: str) -> Any:
    """The pairs of a split, in order, in batches of the config's size."""
    dataset = config.section("val_data_loader")["dataset"]
    path = os.path.join(config.section("data_dir"), f"{split}_lmdb")
    return validation_loader(config, dataset={**dataset, "data_path": path})


if __name__ == "__main__":
    main()
