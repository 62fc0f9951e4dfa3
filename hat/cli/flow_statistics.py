"""Print what the motions of generated pairs are like, beside other pairs and published figures.

    hat flow-statistics --pairs 200
    hat flow-statistics --motions chairs sintel --data FlyingChairs_release/data training/flow

For each named distribution, flow fields are drawn (no images, so it is quick), and for each folder
of --data the flow files in it and below are read: speeds in px, shares of Sintel's classes of
speed, deciles, shares of the gradient's lengths in px per px, and of the pixels that leave the
picture or are not matched: occluded or outside.

Raises (exit code 2): :class:`hat.errors.InputError` for values out of range, and for a folder
without flow files or with a damaged one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hat import interruption
from hat.cli.flyingchairs_generator import named_weights
from hat.data.files import files_below, write_json
from hat.data.flow_io import read_flow
from hat.data.synthesis.drawing import Drawing, draw_scene
from hat.data.synthesis.field_statistics import GRADIENT_LIMITS, FieldStatistics, unmatched
from hat.data.synthesis.motions import MOTIONS
from hat.data.synthesis.published import PUBLISHED
from hat.data.synthesis.render import render_flow, render_labels
from hat.data.synthesis.scene import MAX_OBJECTS, MIN_OBJECTS
from hat.data.synthesis.shape_kinds import SHAPES
from hat.data.synthesis.statistics import SPEED_LIMITS
from hat.errors import InputError
from hat.file_kinds import FIGURES
from hat.outputs import check_outputs

__all__ = ["add_arguments", "run"]

SUFFIXES = {".flo", ".pfm"}  # a .png may be an image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument(
        "--motions", nargs="*", default=list(MOTIONS), help="names (default: all); none: no drawing"
    )
    parser.add_argument("--pairs", type=int, default=100, help="drawn of each (default: 100)")
    parser.add_argument(
        "--size", nargs=2, type=int, default=(384, 512), metavar=("H", "W"), help="default: 384 512"
    )
    parser.add_argument(
        "--shapes",
        nargs="+",
        default=["published"],
        metavar="NAME[=WEIGHT]",
        help=f"kinds of objects: {', '.join(SHAPES)} (default: published)",
    )
    parser.add_argument(
        "--objects",
        nargs=2,
        type=int,
        default=(MIN_OBJECTS, MAX_OBJECTS),
        metavar=("MIN", "MAX"),
        help=f"objects of a scene (default: {MIN_OBJECTS} {MAX_OBJECTS})",
    )
    parser.add_argument(
        "--spread",
        type=float,
        default=1.0,
        help="half of the area of their centres, in sides of the image (default: 1)",
    )
    parser.add_argument(
        "--background-layers", nargs=2, type=int, default=(1, 1), metavar=("MIN", "MAX"),
        help="layers of the background (default: 1 1)",
    )  # fmt: skip
    parser.add_argument(
        "--data",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIR",
        help="folders with flow files (.flo, .pfm) to compare with",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the drawn pairs (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(args: argparse.Namespace) -> int:
    """Draw, read, and print the tables."""
    if args.pairs < 1 or args.seed < 0:
        raise InputError(
            f"--pairs {args.pairs}, --seed {args.seed}; expected at least 1 pair, seed 0 or more"
        )
    if args.json:
        folders = {f"--data {folder}": folder for folder in args.data}
        check_outputs([(args.json, FIGURES)], folders, "--json")
    try:
        drawings = {
            name: Drawing(
                {name: 1.0},
                tuple(args.size),
                objects=tuple(args.objects),
                spread=args.spread,
                shapes=named_weights("--shapes", args.shapes),
                background_layers=tuple(args.background_layers),
            )
            for name in args.motions
        }
    except ValueError as error:
        raise InputError(str(error)) from error
    files = {str(folder): _flow_files(folder) for folder in args.data}
    rows: dict[str, dict[str, Any]] = {}
    for name, drawing in drawings.items():
        rows[name] = _drawn(name, drawing, args.pairs, args.seed)
    for name, found in files.items():
        rows[name] = _read(name, found)
    _print_tables({**rows, **{f"{name} (published)": row for name, row in PUBLISHED.items()}})
    if args.json:
        write_json(args.json, {"found": rows, "published": PUBLISHED})
    return 0


def _drawn(name: str, drawing: Drawing, pairs: int, seed: int) -> dict[str, Any]:
    statistics = FieldStatistics()
    for index in tqdm(range(pairs), desc=f"drawing {name}", unit="pair", leave=False):
        interruption.check()
        _, scene = draw_scene(np.random.default_rng((seed, index)), drawing)
        flow = render_flow(scene)
        labels = [render_labels(scene, moved) for moved in (False, True)]
        statistics.add(flow, None, unmatched(flow, *labels))
    return statistics.summary()


def _flow_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"--data: {folder}: no such folder")
    files = [path for path in files_below(folder) if path.suffix.lower() in SUFFIXES]
    if not files:
        raise InputError(
            f"--data: {folder}: no flow files; expected files ending in "
            f"{', '.join(sorted(SUFFIXES))}"
        )
    return files


def _read(name: str, files: list[Path]) -> dict[str, Any]:
    statistics = FieldStatistics()
    for file in tqdm(files, desc=f"reading {name}", unit="file", leave=False):
        interruption.check()
        statistics.add(*read_flow(file))
    if statistics.fields == 0:
        raise InputError(f"--data: {name}: the flow is unknown everywhere in all its files")
    return statistics.summary()


def _print_tables(rows: dict[str, dict[str, Any]]) -> None:
    slow, fast = (f"{limit:g}" for limit in SPEED_LIMITS)
    a, b, c = (f"{limit:g}" for limit in GRADIENT_LIMITS)
    lengths = ["mean", "sd", "median", "p90", "p99", "max"]
    _print_table(
        "speed, px; shares of speeds, %",
        [*lengths, f"s0-{slow}", f"s{slow}-{fast}", f"s{fast}+"],
        {
            name: [*(row.get(key) for key in lengths), *_percent(row.get("speeds"), 3)]
            for name, row in rows.items()
        },
    )
    _print_table(
        "deciles of the speed, px",
        [f"{k}0 %" for k in range(1, 10)],
        {name: row["deciles"] for name, row in rows.items() if "deciles" in row},
    )
    _print_table(
        "gradient of the flow, px per px, and pixels without a match, %",
        [f"<{a}", f"{a}-{b}", f"{b}-{c}", f">{c}", "leaving", "unmatched"],
        {
            name: [
                *_percent(row.get("gradients"), 4),
                *_percent([row.get("leaving"), row.get("unmatched")], 2),
            ]
            for name, row in rows.items()
            if "gradients" in row or "unmatched" in row
        },
    )
    for name, row in rows.items():
        if "source" in row:
            print(f"{name}: {row['source']}")


def _percent(shares: Iterable[float | None] | None, count: int) -> list[float | None]:
    if shares is None:
        return [None] * count
    return [None if share is None else 100 * share for share in shares]


def _print_table(title: str, head: list[str], rows: dict[str, list[float | None]]) -> None:
    width = max(map(len, rows)) + 2
    print(f"{title}\n{'':{width}}" + "".join(f"{name:>10}" for name in head))
    for name, values in rows.items():
        cells = ("-" if value is None else f"{value:.2f}" for value in values)
        print(f"{name:{width}}" + "".join(f"{cell:>10}" for cell in cells))
    print()
