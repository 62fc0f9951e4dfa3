"""What several commands share: config arguments, device arguments, tables."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hat.config import Config, parse_opts
from hat.errors import InputError
from hat.migration import Kind
from hat.stages import STAGES

STAGE_VARIABLE = "HAT_TRAINING_STEP"


def add_config_arguments(
    parser: argparse.ArgumentParser,
    stages: Sequence[str] | None = STAGES,
    stage: str | None = None,
    required: bool = True,
) -> None:
    """``--config``, ``--opts`` and, with ``stages``, ``--stage`` (required without a default)."""
    if stages:
        parser.add_argument(
            "-s",
            "--stage",
            choices=stages,
            default=stage,
            required=stage is None,
            help="stage of the model" + (f" (default: {stage})" if stage else ""),
        )
    parser.add_argument("-c", "--config", required=required, help="config file of the experiment")
    parser.add_argument(
        "--opts",
        nargs="+",
        default=[],
        metavar="KEY VALUE",
        help="override config values by dotted key: --opts float_trainer.num_epochs 2 seed 1",
    )


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """``--device-ids``, ``--launcher`` and ``--dist-url``."""
    parser.add_argument(
        "-ids",
        "--device-ids",
        help="GPUs such as 0,1, one process each (without a GPU: as many CPU processes)",
    )
    parser.add_argument(
        "--launcher",
        choices=("pytorch", "mp"),
        help="'pytorch': under torchrun; 'mp': start processes here, even so (default: detect)",
    )
    parser.add_argument(
        "--dist-url", default="auto", help="rendezvous of the processes, such as tcp://host:port"
    )


def load_config(args: argparse.Namespace, stage: str = "int_infer") -> Config:
    """The config that ``args.config`` names, with ``args.opts`` applied.

    Configs of several stages in one file choose by the environment variable HAT_TRAINING_STEP,
    which holds the stage of the command: its --stage, else ``stage``. What a config of the
    original tool kit has in other words here is told on stderr.
    """
    os.environ[STAGE_VARIABLE] = getattr(args, "stage", None) or stage
    config = Config.fromfile(args.config, parse_opts(args.opts))
    if config.notes:
        tell_of_translation(config)
    return config


def tell_of_translation(config: Config) -> None:
    """Say on stderr, in one of several processes, what is read in another way."""
    from hat.engine import distributed  # loads torch, as such a config does

    if distributed.is_main():
        changed = [note for note in config.notes if note.kind is Kind.CHANGED]
        for note in changed:
            print(f"warning: {config.path}: {note}", file=sys.stderr)
        print(
            f"{config.path}: a config of the original tool kit; 'hat config-check {config.path}' "
            f"lists the {len(config.notes)} places that are read in another way here",
            file=sys.stderr,
        )


def name_for_file(config: Config, key: str, value: Any) -> str:
    """The config's ``value`` as the name of a file; InputError if it cannot be one."""
    name = str(value)
    if not name or name != Path(name).name or not name.isprintable():
        raise InputError(
            f"{config.path}: {key} is {name!r}; expected a name that a file can have, without a "
            "folder"
        )
    return name


def print_table(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> None:
    """Print rows under a header, columns aligned: text to the left, numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    numbers = int | float | None
    numeric = [all(isinstance(row[i], numbers) for row in rows) for i in range(len(header))]
    align: list[Callable[[str, int], str]] = [str.rjust if n else str.ljust for n in numeric]
    for line in (list(header), ["-" * w for w in widths], *cells):
        print("  ".join(a(c, w) for a, c, w in zip(align, line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None:  # in JSON it stands for a number that is not finite
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
