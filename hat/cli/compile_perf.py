"""Compile the network to a program, and estimate its performance on one or several machines.

Writes to the folder of each machine

  model.hbm    the program
  model.hbir   the network after the compiler's passes, as text
  NAME.html    the performance report, NAME being compile_cfg.name
  NAME.json    the same for scripts

and, for several machines, comparison.json. A verifier that knows nothing of the compiler's
allocator checks every program before. The weights are those of --ckpt, of the best int_infer
checkpoint in ckpt_dir, or, without one, random: performance does not depend on them.

Exit code 1: a machine among several cannot run the network.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

import horizon.march
from hat.cli import common
from hat.cli.compile_network import Network, load_network
from hat.cli.compile_settings import (
    OPTIONAL,
    REQUIRED,
    deploy_size,
    input_type,
    layer_details,
    machine_names,
    opt_level,
    path_text,
    program_name,
)
from hat.cli.reads import reads
from hat.cli.sections import read_section
from hat.data.files import make_folder, write_files, write_json
from hat.deploy.build import INPUT_TYPES, OPT_LEVELS, sized_graph
from hat.deploy.comparison import comparison_record, table
from hat.deploy.estimate import Options, Result, compile_and_estimate, results
from hat.deploy.estimate_rows import speed_line
from hat.errors import InputError
from hat.file_kinds import COMPARISON, ESTIMATE, GRAPH_TEXT, PAGE, PROGRAM, FileKind
from hat.outputs import check_outputs
from horizon.hbir import Graph
from horizon.march import Machine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_config_arguments(parser, stages=None)
    parser.add_argument(
        "--ckpt", help="int_infer checkpoint (default: the best in ckpt_dir, or random weights)"
    )
    parser.add_argument(
        "--out-dir",
        metavar="DIR",
        help="folder of the results, for several machines of a folder for each (default: "
        "compile_cfg.out_dir)",
    )
    parser.add_argument("--opt", choices=OPT_LEVELS, help="default: compile_cfg.opt, or O2")
    parser.add_argument(
        "--march",
        nargs="+",
        metavar="NAME|FILE.toml",
        help=f"machines: {', '.join(horizon.march.available())}, or descriptions (default: "
        "compile_cfg.march)",
    )
    parser.add_argument(
        "--cores",
        type=int,
        metavar="N",
        help="that work at the same time, each on a frame of its own (default: all)",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="machines at the same time (default: 1)"
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="image size (default: that of deploy_inputs)",
    )
    parser.add_argument(
        "--input-type",
        choices=INPUT_TYPES,
        help="images as uint8 YUV or the same minus 128 as int8 (default: by "
        "compile_cfg.input_source: pyramid uint8, ddr int8)",
    )


def run(args: argparse.Namespace) -> int:
    for option in ("jobs", "cores"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise InputError(f"--{option} {value}: expected a number above 0")
    config = common.load_config(args)
    settings = read_section(config, "compile_cfg", REQUIRED, OPTIONAL)
    name = program_name(config, settings)
    folder = Path(args.out_dir or path_text(config, settings, "out_dir"))
    hbm = folder / "model.hbm"
    if "hbm" in settings and not args.out_dir:
        hbm = Path(path_text(config, settings, "hbm"))
    opt = args.opt or opt_level(config, settings)
    images = args.input_type or input_type(config, settings)
    details = layer_details(config, settings)
    names = args.march or machine_names(config, settings)
    machines = load_machines(names)
    if len(machines) == 1:
        outputs = with_kinds(file_paths(folder, hbm, name))
    else:
        own = [folder / machine.name for machine in machines]
        each = [with_kinds(file_paths(one, one / "model.hbm", name)) for one in own]
        outputs = [(folder / "comparison.json", COMPARISON), *itertools.chain(*each)]
    descriptions = {f"machine {machine}": machine for machine in names}
    check_outputs(outputs, {**reads(config, ckpt=args.ckpt), **descriptions}, "--out-dir")
    network = load_network(config, args.ckpt)
    model = network.model
    size = tuple(args.size) if args.size else deploy_size(config, network.model.graph)
    graph = sized_graph(model, size, name)
    options = Options(opt, images, args.cores, details, network.weights)
    if network.warning:
        print(f"{network.warning}\n")
    if len(machines) == 1:
        with progress(1, opt):
            result = compile_and_estimate(graph, options, machines[0])
        files = write(result, folder, hbm, name)
        print_rows(result, files, network, options, name)
        code = 0
    else:
        code = compare(graph, machines, options, args.jobs, folder, name, size)
    if network.warning:
        print(f"\n{network.warning}")
    return code


def load_machines(names: Sequence[str]) -> list[Machine]:
    """InputError if one is unknown, or if two have the same name: their folders would be one."""
    machines = [horizon.march.load(name) for name in names]
    found = [machine.name for machine in machines]
    for name in found:
        if found.count(name) > 1:
            raise InputError(
                f"--march {' '.join(names)}: {found.count(name)} machines are called {name!r}; "
                "expected each once; descriptions say their 'name' themselves"
            )
    return machines


def file_paths(folder: Path, hbm: Path, name: str) -> dict[str, Path]:
    """The files of one machine, by kind."""
    return {
        "hbm": hbm,
        "hbir": folder / "model.hbir",
        "html": folder / f"{name}.html",
        "json": folder / f"{name}.json",
    }


def with_kinds(paths: dict[str, Path]) -> list[tuple[Path, FileKind]]:
    """Files by kind as :func:`hat.outputs.check_outputs` takes them."""
    kinds = {"hbm": PROGRAM, "hbir": GRAPH_TEXT, "html": PAGE, "json": ESTIMATE}
    return [(path, kinds[kind]) for kind, path in paths.items()]


def write(result: Result, folder: Path, hbm: Path, name: str) -> dict[str, Path]:
    """Write the files of one machine, all of them or none; they are returned by kind."""
    paths = file_paths(folder, hbm, name)
    for path in paths.values():
        make_folder(path.parent)
    write_files({path: result.files[kind] for kind, path in paths.items()})
    return paths


def print_rows(
    result: Result, files: dict[str, Path], network: Network, options: Options, name: str
) -> None:
    source = network.checkpoint or "RANDOM WEIGHTS"
    rows = [
        ("program", f"{name} of {source}"),
        ("machine", f"{result.machine.name}, {options.opt}: {result.machine.title}"),
        *result.rows,
        ("hbm", f"{files['hbm']}, {len(result.files['hbm']) / 1e6:.2f} MB"),
        *((kind, str(files[kind])) for kind in ("hbir", "html", "json")),
    ]
    if result.machine.name == "host":
        rows.append(("measure it", f"hrt_model_exec perf --model_file {files['hbm']}"))
    for title, text in rows:
        print(f"{title:14}{text}")
    print(f"\n{speed_line(result.figures)}")


def progress(machines: int, opt: str) -> tqdm[NoReturn]:
    """A bar on a terminal: O3 can take minutes where there is little SRAM."""
    return tqdm(
        total=machines, desc=f"compiling at {opt}", unit="machine", leave=False, disable=None
    )


def compare(
    graph: Graph,
    machines: Sequence[Machine],
    options: Options,
    jobs: int,
    folder: Path,
    name: str,
    size: tuple[int, int],
) -> int:
    """Compile for several machines; 1 if one of them cannot run the network."""
    found = []
    started = time.perf_counter()
    with (
        contextlib.closing(results(graph, machines, options, jobs)) as done,
        progress(len(machines), options.opt) as bar,
    ):
        for result in done:
            found.append(result)
            own = folder / result.machine.name
            text = f"{result.machine.name}: {result.error}\n"
            if not result.error:
                files = write(result, own, own / "model.hbm", name)
                text = (
                    f"{result.machine.name}, {options.opt}: {result.machine.title}\n"
                    f"{speed_line(result.figures)}\n{files['html']}\n"
                )
            bar.write(text)
            bar.update()
    record = {
        "name": name,
        "size": list(size),
        "opt": options.opt,
        "input type": options.input_type,
        "weights": options.weights,
        "machines": comparison_record(found),
    }
    write_json(folder / "comparison.json", record)
    print(f"{name}, images of {size[0]}x{size[1]} (height x width), {options.opt}\n")
    print(table(found))
    print(f"\n{folder / 'comparison.json'}, {time.perf_counter() - started:.0f} s")
    return 1 if any(result.error for result in found) else 0
