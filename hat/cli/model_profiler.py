"""Find the layers where a quantised network leaves its float model.

Compares two stages of a network on image pairs, or on samples of what it takes. Writes for each
function NAME.json, NAME.csv and a section of profile.html, plots included, to --out-dir:

  similarity    outputs of every layer: cosine, MSE, SQNR, largest difference in output steps,
                differing integers; from end to end, and each layer alone on the same input
  statistics    values, scales, saturation and use of the range of every layer, histograms
  weights       real weights of the first stage against the int8 weights of the second
  unquantised   layers left in floating point or unfused
  sensitivity   each layer alone in integers: what it costs, ranked

Image pairs come from --model-inputs, several if wanted, or are the first of the config's
val_data_loader:

  --model-inputs img1:A.png,img2:B.png,gt:A.flo img1:C.png,img2:D.png
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from hat.analysis import profile
from hat.cli import common
from hat.cli.infer import parse_model_inputs
from hat.cli.logs import setup_logging
from hat.cli.profile_inputs import Stage, image_pairs, load_stage
from hat.cli.reads import reads
from hat.config import Config
from hat.data.files import staging_folder, write_file, write_json
from hat.engine import distributed
from hat.errors import InputError
from hat.file_kinds import PAGE, PROFILE, PROFILE_TABLE
from hat.metrics import EndPointError
from hat.models.tasks import NetworkTask
from hat.outputs import check_outputs
from hat.stages import STAGES
from hat.visualize.profile_page import profile_page
from hat.visualize.profile_tables import print_profile_table, write_csv
from horizon.files import AnyPath
from horizon.quantization import check_prepared
from horizon.quantization.profiler import (
    compare_alone,
    compare_end_to_end,
    compare_weights,
    layer_statistics,
    rank_sensitivity,
)

FUNCTIONS = ("similarity", "statistics", "weights", "unquantised", "sensitivity")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_config_arguments(parser, stages=None)
    parser.add_argument(
        "--stages",
        nargs=2,
        choices=STAGES,
        default=["float", "qat"],
        metavar=("A", "B"),
        help=f"what to compare, two of {', '.join(STAGES)} (default: float qat)",
    )
    parser.add_argument(
        "--ckpts",
        nargs=2,
        metavar=("A", "B"),
        help="their checkpoints, of int_infer the qat one (default: the best in ckpt_dir)",
    )
    parser.add_argument(
        "--functions", nargs="+", choices=FUNCTIONS, default=FUNCTIONS, help="(default: all)"
    )
    images = parser.add_mutually_exclusive_group()
    images.add_argument(
        "--model-inputs",
        nargs="+",
        metavar="img1:PATH,img2:PATH[,gt:PATH]",
        help="image pairs and, if known, their true flow",
    )
    images.add_argument(
        "--num-pairs",
        type=int,
        default=4,
        help="pairs, or other samples, of val_data_loader (default: %(default)s)",
    )
    parser.add_argument(
        "--out-dir", metavar="DIR", help="folder of the results (default: {ckpt_dir}/profile-A-B)"
    )


@dataclass(frozen=True)
class Subject:
    """Two stages, the later one in ``second``, and the prepared image pairs."""

    first: Stage
    second: Stage
    pairs: Sequence[dict]

    @property
    def names(self) -> tuple[str, str]:
        return self.first.name, self.second.name


def run(args: argparse.Namespace) -> int:
    if args.stages[0] == args.stages[1]:
        raise InputError(
            f"--stages {' '.join(args.stages)}: expected two different ones of {', '.join(STAGES)}"
        )
    if args.num_pairs < 1:
        raise InputError(f"--num-pairs {args.num_pairs}: expected at least 1")
    config = common.load_config(args)
    setup_logging(quiet=True)
    chosen = sorted(
        zip(args.stages, args.ckpts or (None, None), strict=True),
        key=lambda stage: STAGES.index(stage[0]),
    )
    default = Path(config.section("ckpt_dir")) / f"profile-{chosen[0][0]}-{chosen[1][0]}"
    folder = Path(args.out_dir or default)
    functions = [name for name in FUNCTIONS if name in args.functions]
    names = [f"{name}.{kind}" for name in functions for kind in ("json", "csv")]
    kinds = {"json": PROFILE, "csv": PROFILE_TABLE}
    files = [(folder / name, kinds[name.rpartition(".")[2]]) for name in names]
    files.append((folder / "profile.html", PAGE))
    check_outputs(files, inputs(config, args), "--out-dir")
    device = distributed.default_device()
    first, second = (load_stage(config, stage, ckpt, device) for stage, ckpt in chosen)
    pairs = image_pairs(config, args.model_inputs, args.num_pairs, device)
    subject = Subject(first, second, pairs)
    findings = {}
    for name in functions:
        findings[name] = MEASURES[name](subject)
        show(findings[name])
    sizes = sorted({size_of(pair) for pair in pairs})
    own = isinstance(first.model, NetworkTask)
    page = profile_page(
        f"{config.get('task_name', 'network')}: {first.name} and {second.name}",
        [
            f"{first.name}: {first.source}",
            f"{second.name}: {second.source}",
            f"{len(pairs)} {'samples' if own else 'image pairs'} of {', '.join(sizes)} pixels, on "
            f"{device.type}",
        ],
        [finding.section for finding in findings.values()],
    )
    with staging_folder(folder) as staging:
        write(staging, findings)
        write_file(staging / "profile.html", page.encode())
    print()
    for file in files:
        print(file)
    return 0


def inputs(config: Config, args: argparse.Namespace) -> dict[str, AnyPath | None]:
    """What is read, by name."""
    pairs: dict[str, AnyPath | None] = {
        f"{key} of pair {number}": path
        for number, text in enumerate(args.model_inputs or (), start=1)
        for key, path in parse_model_inputs(text).items()
    }
    ckpts = dict(zip(("first ckpt", "second ckpt"), args.ckpts or (), strict=False))
    return {**reads(config), **pairs, **ckpts}


def similarity(subject: Subject) -> profile.Finding:
    first, second = subject.first.model, subject.second.model
    return profile.similarity(
        subject.names,
        compare_end_to_end(first, second, progress("end to end", subject.pairs)),
        compare_alone(first, second, progress("layers alone", subject.pairs)),
    )


def statistics(subject: Subject) -> profile.Finding:
    return profile.statistics(
        {
            stage.name: layer_statistics(
                stage.model, progress(f"values of {stage.name}", subject.pairs)
            )
            for stage in (subject.first, subject.second)
        }
    )


def weights(subject: Subject) -> profile.Finding:
    first, second = subject.first, subject.second
    return profile.weights(
        subject.names, compare_weights(first.model, second.prepared, subject.pairs[0])
    )


def unquantised(subject: Subject) -> profile.Finding:
    return profile.unquantised(subject.second.name, check_prepared(subject.second.prepared))


def sensitivity(subject: Subject) -> profile.Finding:
    known = all("gt_flow" in pair for pair in subject.pairs)
    found = rank_sensitivity(
        subject.second.prepared,
        subject.pairs,
        end_point_error if known else None,
        partial(progress, "one layer at a time"),
    )
    own = isinstance(subject.second.model, NetworkTask)
    what, unit = ("output", "") if own else ("flow", "px")
    return profile.sensitivity(subject.second.name, found, what, unit)


def size_of(batch: dict) -> str:
    """Width x height of the images of a batch, those of its first input."""
    images = (x for x in batch.values() if isinstance(x, Tensor) and x.dim() == 4)
    return "x".join(map(str, next(images).shape[:1:-1]))


MEASURES: dict[str, Callable[[Subject], profile.Finding]] = {
    "similarity": similarity,
    "statistics": statistics,
    "weights": weights,
    "unquantised": unquantised,
    "sensitivity": sensitivity,
}


def end_point_error(flow: Tensor, pair: Any) -> float:
    """End-point error of one pair, px."""
    metric = EndPointError().to(flow.device)
    metric.update(pair["gt_flow"], flow, pair.get("gt_valid"))
    return sum(metric.results().values())


def progress(what: str, items: Sequence[Any]) -> Iterable[Any]:
    return tqdm(items, desc=what, leave=False, disable=None)


def show(finding: profile.Finding) -> None:
    for table in finding.section.tables:
        print_profile_table(table)
    print()
    for line in finding.section.findings:
        print(line)


def write(folder: Path, findings: dict[str, profile.Finding]) -> None:
    """The files of all functions."""
    for name, finding in findings.items():
        write_json(folder / f"{name}.json", finding.content)
        write_csv(folder / f"{name}.csv", finding.rows, finding.columns)
