"""Validation of the compiled program against float prediction of the same pairs.

``python -m benchmarks.board_validation [--pairs N] [--rounds N] [--json FILE]``

One side is ``align_bpu_validation`` on the lite network, including the comparison with int_infer.
The other side is the work of ``predict --stage float`` on the same pairs in PyTorch. Both sides
decode the pairs and compute the metrics; they run in turn in this process. Prints the median
seconds of both sides and of the program alone, and the number of differing output integers.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.calibration_choices import CONFIG
from benchmarks.training_step import machine
from hat.cli.checkpoints import resolve_checkpoints
from hat.cli.sections import trained_model, validation_loader
from hat.config import Config
from hat.data.files import json_text, write_json
from hat.deploy.board_predictor import BoardPredictor
from hat.deploy.board_program import BoardProgram
from hat.deploy.build import compile_model, padded_size
from hat.engine.evaluate import evaluate
from hat.registry import resolve
from horizon import hbm
from horizon.cpus import usable_cpus

RESULT = Path(__file__).parent / "results" / "board_validation.json"
SECTION = "align_bpu_predictor"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=RESULT)
    args = parser.parse_args()
    if args.pairs < 1 or args.rounds < 1:
        parser.error("expected --pairs and --rounds of 1 or more")
    content = measure(args)
    print(json_text(content, indent=2))
    write_json(args.json, content)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    config = Config.fromfile(args.config)
    recipe = resolve(config.section(SECTION), SECTION)
    resolve_checkpoints(recipe, config, "int_infer")
    predictor: BoardPredictor = recipe.build()
    size = padded_size(predictor.model, predictor.image_size())
    program = BoardProgram(hbm.to_bytes(compile_model(predictor.model, size).program), threads=1)
    network, _ = trained_model(config, "infer_cfg", "float")
    workers = usable_cpus()
    loader = validation_loader(config, num_workers=workers)
    batches = math.ceil(args.pairs / loader.batch_size)
    pairs = min(batches * loader.batch_size, len(loader.dataset))
    seconds: dict[str, list[float]] = {"validation": [], "program": [], "float prediction": []}
    differing = 0
    load = os.getloadavg()[0]
    for _ in range(args.rounds):
        started = time.perf_counter()
        result = predictor.fit(program, workers, num_pairs=pairs)
        seconds["validation"].append(time.perf_counter() - started)
        seconds["program"].append(result.program_seconds)
        differing += result.differing
        started = time.perf_counter()
        evaluate(
            network,
            loader,
            predictor.batch_processor,
            predictor.metrics,
            torch.device("cpu"),
            max_batches=batches,
        )
        seconds["float prediction"].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "pairs": pairs,
        "size": list(size),
        "rounds": args.rounds,
        "workers": workers,
        "threads of float": torch.get_num_threads(),
        "machine": machine(torch.device("cpu")),
        "load before": load,
        "differing output integers": differing,
        "output integers": result.values,
        "seconds": medians,
        "pairs per second": {name: pairs / value for name, value in medians.items()},
        "validation / float prediction": statistics.median(
            own / other
            for own, other in zip(seconds["validation"], seconds["float prediction"], strict=True)
        ),
    }


if __name__ == "__main__":
    main()
