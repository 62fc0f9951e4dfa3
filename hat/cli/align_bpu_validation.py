"""Validate a compiled program: the integers that the board will give, and their metrics.

The program runs over the validation set on the board's input: images as uint8 YUV444, converted in
integers. It is --model, or compiled here from the int_infer checkpoint for the data set's images.
int_infer runs on the same input, and the integers of both are compared. The table has the metrics
of both, and those of int_infer with the input of predict.py, which converts in float.

Of a network of your own (NetworkBoardPredictor), the program gets the inputs of predict.py as
integers and is compared with int_infer on them, in whole batches.

Exit code 1: an output integer differs.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from hat.cli import align_network, common
from hat.cli.checkpoints import resolve_checkpoints
from hat.cli.compile_network import program_of_size
from hat.cli.logs import setup_logging
from hat.cli.reads import reads
from hat.config import Config
from hat.data.files import write_json
from hat.deploy.board_predictor import BOARD, FLOAT_INPUT, SAME_INPUT, Alignment, BoardPredictor
from hat.deploy.board_program import BoardProgram, program_file
from hat.deploy.build import padded_size
from hat.deploy.network_board_predictor import NetworkBoardPredictor
from hat.errors import InputError
from hat.file_kinds import ALIGNMENT
from hat.outputs import check_outputs
from hat.registry import Component, resolve
from horizon.cpus import usable_cpus

SECTION = "align_bpu_predictor"
COLUMNS = ("EPE", "1px", "3px", "5px", "Fl-all", "EPE s0-10", "EPE s10-40", "EPE s40+")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_config_arguments(parser, stages=None)
    parser.add_argument("--ckpt", help="int_infer checkpoint (default: the one of the config)")
    program = parser.add_mutually_exclusive_group()
    program.add_argument(
        "--model", metavar="FILE.hbm", help="compiled program (default: compile one)"
    )
    program.add_argument(
        "--march",
        metavar="NAME|FILE.toml",
        help="machine to compile for (default: compile_cfg.march)",
    )
    parser.add_argument(
        "--num-workers", type=int, metavar="N", help="threads (default: one per core)"
    )
    parser.add_argument("--num-pairs", type=int, metavar="N", help="the first N pairs only")
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="write the results to this file (default: {ckpt_dir}/align_bpu-metrics.json)",
    )


def run(args: argparse.Namespace) -> int:
    for name in ("num_workers", "num_pairs"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} {getattr(args, name)}: expected a number above 0")
    config = common.load_config(args)
    file = program_file(args.model) if args.model else None
    path = Path(args.json or Path(config.section("ckpt_dir")) / "align_bpu-metrics.json")
    read = reads(config, model=file, ckpt=args.ckpt, machine=args.march)
    check_outputs([(path, ALIGNMENT)], read, "--json")
    recipe: Component = resolve(config.section(SECTION), SECTION)
    resolve_checkpoints(recipe, config, "int_infer", args.ckpt)
    setup_logging(quiet=True)
    predictor = recipe.build()
    if isinstance(predictor, NetworkBoardPredictor):
        return align_network.align(config, predictor, file, path, args)
    if not isinstance(predictor, BoardPredictor):
        raise InputError(
            f"{config.path}: {SECTION}.type gives a {type(predictor).__name__}; expected a "
            "BoardPredictor or NetworkBoardPredictor, which run a compiled program beside the "
            "integer model"
        )
    workers = args.num_workers or usable_cpus()
    results = []
    for index, loader in enumerate(predictor.loaders):
        source, origin = (file, str(file)) if file else compiled(config, predictor, index, args)
        program = BoardProgram(source, threads=1)
        for warning in program.warnings(program.size, program.size):
            print(f"warning: {warning}", file=sys.stderr)
        total = min(len(loader.dataset), args.num_pairs or len(loader.dataset))  # type: ignore[arg-type]
        with tqdm(total=total, unit="pair", disable=None) as bar:
            result = predictor.fit(program, workers, index, args.num_pairs, bar.update)
        data = str(getattr(loader.dataset, "data_path", index))
        show(result, program, workers, origin, f"{config.get('task_name')}, board: {data}")
        results.append({"data": data, "program": origin, "workers": workers, **asdict(result)})
    write_json(path, {"task": config.get("task_name"), "data_sets": results})
    print(f"\nMetrics: {path}")
    return 1 if any(result["differing"] for result in results) else 0


def compiled(
    config: Config, predictor: BoardPredictor, index: int, args: argparse.Namespace
) -> tuple[bytes, str]:
    """A program for the images of a data set, and what it is called in messages."""
    size = padded_size(predictor.model, predictor.image_size(index))
    return program_of_size(config, predictor.model, size, args.march)


def show(result: Alignment, program: BoardProgram, workers: int, origin: str, title: str) -> None:
    height, width = program.size
    print(f"\n{title}, {result.pairs} pairs\nProgram: {width}x{height} pixels, {origin}\n")
    if result.padded:
        print(
            f"{result.padded} pairs are smaller than the program's images: their borders were "
            "repeated, the flow was cropped\n"
        )
    names = [BOARD, SAME_INPUT, *([FLOAT_INPUT] if result.other_inputs else [])]
    columns = [c for c in COLUMNS if c in result.metrics[BOARD]] or list(result.metrics[BOARD])
    rows = [(name, *(result.metrics[name][column] for column in columns)) for name in names]
    common.print_table(rows, ("", *columns))
    if result.other_inputs:
        print(
            f"\npredict.py converts in float and rounds then: {result.other_inputs:,} of "
            f"{result.inputs:,} input integers are others "
            f"({100 * result.other_inputs / result.inputs:.2f} %)"
        )
    print(f"\nDiffering output integers: {result.differing:,} of {result.values:,}")
    if result.differing:
        print(
            f"First in {result.first_differing}. The program's integers are not those of "
            "int_infer: was it compiled from this checkpoint? Otherwise this is a defect of the "
            "compiler or the executor"
        )
    speed = result.pairs / result.program_seconds
    print(
        f"Program: {speed:.1f} pairs/s ({result.program_seconds:.2f} s; {workers} workers, "
        f"decoding and conversion included)\n"
        f"Comparison: {result.comparison_seconds:.2f} s (int_infer and metrics)"
    )
