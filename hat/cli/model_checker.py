"""Check a network against machines: op by op supported or why not, and what would make it faster.

Needs no training and no data: the network of the config gets random weights, unless --ckpt names an
int_infer checkpoint. Exit code 0 if everything fits every machine, 1 if something does not, 2 for
bad input. docs/checker.md explains what is compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import horizon.march
from hat.cli import common
from hat.cli.compile_perf import load_machines
from hat.cli.compile_settings import OPTIONAL, REQUIRED, deploy_size, machine_names, opt_level
from hat.cli.reads import reads
from hat.cli.sections import read_section
from hat.config import Config
from hat.data.files import write_json
from hat.deploy.build import OPT_LEVELS
from hat.deploy.program_size import check_size
from hat.deploy.random_program import build_network, random_program, unquantised_layers
from hat.engine.convert import LoadIntegerModel
from hat.errors import InputError
from hat.file_kinds import FINDINGS
from hat.outputs import check_outputs
from hat.visualize.check_text import ops_table, overview, report, unquantised_text
from horizon.compiler.check import Check, as_json, check_graph
from horizon.hbir import Graph
from horizon.quantization.unquantised import Unquantised


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_config_arguments(parser, stages=None)
    parser.add_argument(
        "--march",
        nargs="+",
        metavar="NAME|FILE.toml",
        help="machines (default: compile_cfg.march)",
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="image size (default: that of deploy_inputs)",
    )
    parser.add_argument("--ckpt", help="int_infer checkpoint (default: random weights)")
    parser.add_argument("--opt", choices=OPT_LEVELS, help="default: compile_cfg.opt, or O2")
    parser.add_argument("--json", metavar="FILE", help="write the findings to this file as well")


def run(args: argparse.Namespace) -> int:
    config = common.load_config(args)
    settings: Mapping[str, Any] = {}
    if "compile_cfg" in config:
        settings = read_section(config, "compile_cfg", (), (*REQUIRED, *OPTIONAL))
    machines = load_machines(args.march or config_machines(config, settings))
    opt = args.opt or opt_level(config, settings)
    if args.json:
        descriptions = {f"machine {machine}": machine for machine in args.march or ()}
        inputs = {**reads(config, ckpt=args.ckpt), **descriptions}
        check_outputs([(args.json, FINDINGS)], inputs, "--json")
    graph, refused = program(config, args.ckpt)
    if graph is None:
        print(unquantised_text(refused))
        write(args.json, config, args.ckpt, refused, [])
        return 1
    size = tuple(args.size) if args.size else config_size(config, graph)
    check_size(graph, size)
    checks = [check_graph(graph, machine, size, opt) for machine in machines]
    if not args.ckpt:
        print("Weights are random: no finding depends on them.\n")
    show(checks)
    write(args.json, config, args.ckpt, [], checks)
    return 0 if all(check.fits for check in checks) else 1


def show(checks: Sequence[Check]) -> None:
    print(ops_table(checks))
    for check in checks:
        print(f"\n{report(check)}")
    if len(checks) > 1:
        print(f"\n{overview(checks)}")


def config_machines(config: Config, settings: Mapping[str, Any]) -> list[str]:
    if "march" not in settings:
        raise InputError(
            f"{config.path}: no compile_cfg.march; expected a machine, "
            f"{', '.join(horizon.march.available())} or a .toml file; add it or use --march"
        )
    return machine_names(config, settings)


def config_size(config: Config, graph: Graph) -> tuple[int, int]:
    """(H, W) of ``deploy_inputs``; without them that of the traced program."""
    _, height, width, _ = graph.tensors[graph.inputs[0]].shape
    return deploy_size(config, graph) if "deploy_inputs" in config else (height, width)


def program(config: Config, ckpt: str | None) -> tuple[Graph | None, list[Unquantised]]:
    """The program graph; or none, and the layers that keep the network from having one."""
    if ckpt:
        return LoadIntegerModel(ckpt)().graph, []
    refused = unquantised_layers(build_network(config))
    if refused:
        return None, refused
    return random_program(config).graph, []


def write(
    path: str | None,
    config: Config,
    ckpt: str | None,
    refused: Sequence[Unquantised],
    checks: Sequence[Check],
) -> None:
    """The findings as JSON, if a file is asked for."""
    if not path:
        return
    content = {
        "config": str(config.path),
        "weights": ckpt or "random",
        "not_quantised": [
            {"layer": one.layer, "class": one.kind, "reason": one.reason, "instead": one.instead}
            for one in refused
        ],
        "machines": [as_json(check) for check in checks],
    }
    write_json(path, content)
    print(f"\nFindings: {path}")
