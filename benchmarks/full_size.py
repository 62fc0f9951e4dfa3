"""Compares all executors of the tutorial's full network in fixed point: all output integers.

``python -m benchmarks.full_size [--pairs N] [--steps N] [--json FILE]``

Runs twice: with random weights, and after ``--steps`` float steps and as many steps of QAT. Each
time it calibrates on a few pairs and converts, which proves that no accumulator overflows. Then it
counts the output integers in which the evaluation of the QAT model, the integer model, the
reference executor and ONNX Runtime differ on held-out pairs of 384x512. Also prints the largest
proven bound of an accumulator as a share of 2**28.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.calibration_choices import whole_pairs
from benchmarks.fixed_point_quality import Executors
from hat.cli.common import print_table
from hat.config import Config
from hat.data.files import write_json
from hat.registry import build_from_registry
from hat.seeding import seed_everything
from horizon.hbir import Graph
from horizon.hbir.fixed_point import ACCUMULATOR_LIMIT, prove_no_overflow
from horizon.quantization import (
    IntegerModel,
    convert,
    finish_calibration,
    output_integers,
    prepare_calibration,
    prepare_qat,
    trace,
)

CONFIG = "configs/opticalflow_pred/pwcnet/pwcnet_pwcnetneck_flyingchairs.py"
DATA = "./tmp_data/GeneratedChairs"
RESULT = Path(__file__).parent / "results" / "full_size.json"
LARGEST = {"int8": 128, "int16": 32768}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=2, help="for calibration, and to compare on")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--data", default=DATA)
    parser.add_argument("--json", type=Path, default=RESULT)
    args = parser.parse_args()
    config = Config.fromfile(CONFIG, {"data_dir": args.data, "batch_size_per_gpu": 1})
    processor = build_from_registry(config.section("batch_processor"), "batch_processor")
    training, held_out = (
        [
            processor.prepare(batch, torch.device("cpu"))
            for batch in islice(whole_pairs(config, split), args.pairs)
        ]
        for split in ("train", "val")
    )
    results = {}
    for name, steps in (("random weights", 0), ("briefly trained", args.steps)):
        seed_everything(0)
        model: Any = build_from_registry(config.section("model"), "model")
        train(model, config, training, steps)
        model.eval()
        model.fuse_model()
        model.set_qconfig()
        prepare_calibration(model, inplace=True)
        with torch.no_grad():
            for batch in training:
                model(batch)
        finish_calibration(model)
        if steps:
            prepare_qat(model, inplace=True)
            train(model, config, training, steps)
            model.eval()
        results[name] = compare(model, held_out)
    header = ("weights", *next(iter(results.values())))
    print_table([(name, *row.values()) for name, row in results.items()], header)
    write_json(args.json, {"pairs": args.pairs, "steps": args.steps, "results": results})


def train(model: Any, config: Config, batches: list[dict], steps: int) -> None:
    """A few steps of Adam on crops of the batches' top left quarter."""
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
    for step in range(steps):
        batch = batches[step % len(batches)]
        crop = {"img": batch["img"][..., :192, :256]}
        crop["gt_flow_levels"] = [
            flow[..., : 192 // side, : 256 // side]
            for flow, side in zip(
                batch["gt_flow_levels"], config.section("train_scales"), strict=True
            )
        ]
        optimizer.zero_grad()
        losses = model.compute_losses(model(crop, all_levels=True), crop)["losses"]
        torch.stack(losses).sum().backward()
        optimizer.step()


@torch.no_grad()
def compare(model: Any, batches: list[dict]) -> dict[str, Any]:
    """Differing integers of all executors against the integer model."""
    graph = trace(convert(model), name="pwcnet")
    program = IntegerModel(graph)
    executors = Executors(program, *batches[0]["img"].shape[-2:])
    differing = {"qat evaluation": 0, "reference": 0, "ONNX Runtime": 0}
    values = 0
    for batch in batches:
        wanted = program.integers(batch).numpy()
        found = executors.run(program.stub(batch["img"]).values.numpy())
        found["qat evaluation"] = output_integers(model, batch)[0].numpy()
        for name, integers in found.items():
            differing[name] += int(np.count_nonzero(integers.astype(np.int64) != wanted))
        values += wanted.size
    return {"values": values, **differing, "largest accumulator / 2^28": largest_bound(graph)}


def largest_bound(graph: Graph) -> float:
    """The largest accumulator that inputs could cause, proven from the weights."""
    bounds = [
        prove_no_overflow(
            node.attributes["weight"],
            node.attributes["bias"],
            LARGEST[graph.tensors[node.inputs[0]].dtype],
            node.name,
        ).max()
        for node in graph.nodes
        if "weight" in node.attributes
    ]
    return float(max(bounds)) / ACCUMULATOR_LIMIT


if __name__ == "__main__":
    main()
