"""Compute the metrics of a trained model.

Builds ``{stage}_predictor`` of the config, evaluates every data set of its ``data_loader`` and
prints a table, with a column for each part of it that is reported by itself, such as Sintel's
passes. ``--json`` writes the numbers to a file as well. For the stage int_infer the integer
model is read from its file; the config's model is not built.

``--submission DIR`` writes the flows in the files that the data set's benchmark takes, of Sintel:
DIR/clean/ambush_1/frame0001.flo; of KITTI 2015: DIR/flow/000000_10.png; of KITTI 2012:
DIR/000000_10.png. Test splits, which have no true flow, are evaluated in no other way.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hat.cli import common
from hat.cli.checkpoints import loading_converters, resolve_checkpoints
from hat.cli.logs import setup_logging
from hat.cli.reads import reads
from hat.data.files import staging_folder, write_json
from hat.engine import distributed
from hat.engine.convert import LoadCheckpoint
from hat.engine.predictor import Predictor
from hat.engine.submission import Submission
from hat.errors import InputError
from hat.file_kinds import METRICS
from hat.outputs import check_outputs
from hat.registry import Component, resolve
from hat.seeding import seed_everything
from horizon.files import AnyPath
from horizon.staging import is_staging

SUBMISSION = "--submission"
TITLES = {"float": "Float", "calibration": "Calibration", "qat": "QAT", "int_infer": "Quantized"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_config_arguments(parser)
    common.add_device_arguments(parser)
    parser.add_argument("--ckpt", help="checkpoint (default: the one that the config names)")
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="write the metrics to this file (default: {ckpt_dir}/{stage}-metrics.json)",
    )
    parser.add_argument(
        SUBMISSION,
        metavar="DIR",
        help="write the flows as the data set's benchmark takes them, to a new folder",
    )


def run(args: argparse.Namespace) -> int:
    return distributed.run_distributed(predict, args, args.device_ids, args.launcher, args.dist_url)


def predict(device: torch.device, args: argparse.Namespace) -> int:
    """Evaluate in this process (one of the process group's)."""
    config = common.load_config(args)
    section = f"{args.stage}_predictor"
    recipe: Component = resolve(config.section(section), section)
    resolve_checkpoints(recipe, config, args.stage, args.ckpt)
    require_stage(recipe, args)
    path = Path(args.json or Path(config.section("ckpt_dir")) / f"{args.stage}-metrics.json")
    if args.submission:
        check_new(Path(args.submission))
    if distributed.is_main():
        check_outputs([(path, METRICS)], reads(config, ckpt=args.ckpt), "--json")
    if recipe.arguments.get("device") is None:
        recipe.arguments["device"] = device
    setup_logging(quiet=True)
    seed_everything(config.get("seed", 0))
    predictor: Predictor = recipe.build()
    started = time.perf_counter()
    if args.submission:
        results = submit(predictor, Path(args.submission), reads(config, ckpt=args.ckpt))
    else:
        results = predictor.fit()
    if not distributed.is_main():
        return 0
    names = [str(getattr(x.dataset, "data_path", i)) for i, x in enumerate(predictor.loaders)]
    content = {
        "task": config.get("task_name"),
        "stage": args.stage,
        "seconds": round(time.perf_counter() - started, 2),
        "data_sets": [
            {
                "data": name,
                "samples": len(loader.dataset),  # type: ignore[arg-type]
                "metrics": metrics,
                **({"subsets": subsets} if subsets else {}),
            }
            for name, loader, metrics, subsets in zip(
                names, predictor.loaders, results, predictor.subsets, strict=True
            )
        ],
    }
    show(content)
    if args.submission:
        print(f"\nSubmission: {args.submission}")
    if any(results) or args.json:  # else earlier metrics would be lost for none
        write_json(path, content)
        print(f"\nMetrics: {path}")
    return 0


def require_stage(recipe: Component, args: argparse.Namespace) -> None:
    """Metrics are never shown under another stage's name than that of ``--ckpt``."""
    last = list(loading_converters(recipe))[-1:]
    if args.ckpt and last and last[0].is_a(LoadCheckpoint):
        last[0].arguments.setdefault("stage", args.stage)


def submit(
    predictor: Predictor, folder: Path, inputs: Mapping[str, AnyPath | None]
) -> list[dict[str, float]]:
    """Evaluate and write the flows of every data set to ``folder``: all of them or none.

    Raises:
        InputError: a data set without a benchmark, or two flows that would have the same file.
    """
    files = [Submission(loader.dataset) for loader in predictor.loaders]
    paths = (folder / path for one in files for path in one.paths)
    check_outputs(paths, inputs, SUBMISSION)
    with staging_folder(folder) as staging:
        results = predictor.fit(
            lambda number, batch, outputs: files[number].write(staging, batch, outputs)
        )
        distributed.barrier()  # nothing is published unless every process has its part
    distributed.barrier()
    return results


def check_new(folder: Path) -> None:
    """InputError unless the folder is missing or empty."""
    # what another process has begun to write does not count
    if folder.is_dir() and any(not is_staging(entry.name) for entry in folder.iterdir()):
        raise InputError(
            f"{folder}: this folder is not empty, and a submission is all that its folder holds; "
            f"give {SUBMISSION} a new one"
        )


def show(content: dict[str, Any]) -> None:
    for entry in content["data_sets"]:
        title = TITLES.get(content["stage"], content["stage"])
        print(f"\n{content['task']}, {title}: {entry['data']}, {entry['samples']} samples")
        columns = [entry["metrics"], *entry.get("subsets", {}).values()]
        rows = [(name, *(values.get(name) for values in columns)) for name in entry["metrics"]]
        if rows:
            parts = ("all", *entry["subsets"]) if "subsets" in entry else ("value",)
            common.print_table(rows, ("metric", *parts))
        error = entry["metrics"].get("EPE")
        if error is not None and math.isnan(error):
            print(
                f"warning: {entry['data']}: EPE is no number: the true flow is unknown at every "
                "pixel, or the network's is no number; is it the right data set?",
                file=sys.stderr,
            )
