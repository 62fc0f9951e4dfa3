"""The command line that the benchmarks of the full network's speed share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hat.data.files import json_text, write_json
from horizon.cpus import usable_cpus


def network_parser(
    description: str, batch_size: int | None, size: tuple[int, int], rounds: int
) -> argparse.ArgumentParser:
    """``--size``, ``--rounds``, ``--threads``, ``--json`` and, with a default, ``--batch-size``."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    if batch_size is not None:
        parser.add_argument("--batch-size", type=int, default=batch_size)
    parser.add_argument("--size", type=int, nargs=2, default=size, metavar=("H", "W"))
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=min(torch.get_num_threads(), usable_cpus()))
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    return parser


def run(
    parser: argparse.ArgumentParser, measure: Callable[[argparse.Namespace], dict[str, Any]]
) -> None:
    """Measure what the command line asks for, print the figures, and write them with ``--json``."""
    arguments = parser.parse_args()
    if any(size < 64 or size % 64 for size in arguments.size):
        parser.error(f"--size: expected multiples of 64, found {tuple(arguments.size)}")
    for name in ("rounds", "threads"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}: expected 1 or more, found {getattr(arguments, name)}")
    torch.set_num_threads(arguments.threads)
    result = measure(arguments)
    print(json_text(result, indent=2))
    if arguments.json:
        write_json(arguments.json, result)
