"""Metrics of every stage of the lite network on the held-out pairs, and differing integers.

``python -m benchmarks.fixed_point_quality [--config FILE] [--exact-pairs N] [--json FILE]``

Evaluates the checkpoints of the stages float, calibration, qat and int_infer on the whole
validation set in one run. The checkpoints are those in the config's ``ckpt_dir``, otherwise the
shipped ones. Counts the output integers in which int_infer and the evaluation of qat differ. On the
first ``--exact-pairs`` pairs, also counts those in which the reference executor and ONNX Runtime
(integer graph) differ from int_infer.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.calibration_choices import CONFIG
from hat.cli.common import print_table
from hat.cli.sections import trained_model, validation_loader
from hat.config import Config
from hat.data.files import write_json
from hat.engine.processors import BatchProcessor
from hat.metrics import FlowMetrics
from hat.registry import build_from_registry
from horizon.hbir import resized, run
from horizon.hbir.onnx_common import session
from horizon.hbir.onnx_integer import export_integer
from horizon.quantization import IntegerModel, output_integers

RESULT = Path(__file__).parent / "results" / "fixed_point_quality.json"
STAGES = ("float", "calibration", "qat", "int_infer")
COLUMNS = ("EPE", "1px", "3px", "5px", "Fl-all", "EPE s0-10", "EPE s10-40", "EPE s40+")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--exact-pairs", type=int, default=16)
    parser.add_argument("--pairs", type=int, help="evaluate the first pairs only")
    parser.add_argument("--json", type=Path, default=RESULT)
    args = parser.parse_args()
    config = Config.fromfile(args.config)
    models = {stage: trained_model(config, "infer_cfg", stage) for stage in STAGES}
    for stage, (_, path) in models.items():
        print(f"{stage}: {path}")
    with torch.no_grad():
        content = evaluate(config, {s: m for s, (m, _) in models.items()}, args)
    rows = [
        (stage, *(content["metrics"][stage][c] for c in COLUMNS), content["ratios"][stage])
        for stage in STAGES
    ]
    print()
    print_table(rows, ("stage", *COLUMNS, "EPE / float"))
    print("\nDiffering output integers:")
    print_table([(k, *v.values()) for k, v in content["differing"].items()], ("", "of", "differ"))
    write_json(args.json, content)


def evaluate(config: Config, models: dict[str, nn.Module], args: argparse.Namespace) -> dict:
    """Metrics per stage, ratios of EPE to float's, and differing integers."""
    processor: BatchProcessor = build_from_registry(config.section("val_batch_processor"), "")
    metrics = {stage: FlowMetrics() for stage in STAGES}
    counts = {
        name: {"values": 0, "differing": 0}
        for name in ("int_infer, qat evaluation", "reference, int_infer", "ONNX Runtime, int_infer")
    }
    program: Any = models["int_infer"]
    executors: Executors | None = None
    device = torch.device("cpu")
    seen = exact = 0
    for raw in validation_loader(config):
        if args.pairs is not None and seen >= args.pairs:
            break
        for stage, model in models.items():
            batch, flow = processor.evaluate(model, raw, device)
            metrics[stage].update(batch["gt_flow"], flow, batch.get("gt_valid"))
        integers = program.integers(batch)
        (trained,) = output_integers(models["qat"], batch)
        count(counts["int_infer, qat evaluation"], trained.numpy(), integers.numpy())
        for image, wanted in zip(batch["img"], integers, strict=True):
            if exact >= args.exact_pairs:
                break
            if executors is None:
                executors = Executors(program, image.shape[-2], image.shape[-1])
            steps = program.stub(image[None]).values.numpy()
            for name, found in executors.run(steps).items():
                count(counts[f"{name}, int_infer"], found, wanted[None].numpy())
            exact += 1
        seen += len(batch["img"])
        print(f"{seen} pairs", end="\r", flush=True)
    results = {stage: metric.results() for stage, metric in metrics.items()}
    return {
        "pairs": seen,
        "exact_pairs": exact,
        "metrics": results,
        "ratios": {s: r["EPE"] / results["float"]["EPE"] for s, r in results.items()},
        "differing": counts,
        "torch": torch.__version__,
    }


class Executors:
    """The program of an integer model in the reference executor and in ONNX Runtime."""

    def __init__(self, model: IntegerModel, height: int, width: int) -> None:
        multiple = model.multiple
        rows, columns = (-(-side // multiple) * multiple for side in (height, width))
        self.graph = resized(model.graph, 1, rows, columns)
        self.name, self.output = self.graph.inputs[0], self.graph.outputs[0]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "program.onnx"
            export_integer(self.graph, path)
            self.runtime = session(path)

    def run(self, steps: np.ndarray) -> dict[str, np.ndarray]:
        """Output integers (1, C, h, w) of each for int8 images (1, 6, H, W)."""
        images = steps.transpose(0, 2, 3, 1).astype(np.int64)
        reference = run(self.graph, {self.name: images})[self.output]
        (onnx,) = self.runtime.run([self.output], {self.name: steps})
        return {"reference": reference.transpose(0, 3, 1, 2), "ONNX Runtime": onnx}


def count(total: dict[str, int], found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape
    total["values"] += wanted.size
    total["differing"] += int(np.count_nonzero(found.astype(np.int64) != wanted))


if __name__ == "__main__":
    main()
