"""What several commands share: config arguments, models of a stage, logging, errors."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hat.config import Config, parse_opts
from hat.engine import distributed
from hat.engine.checkpoint import STAGES, checkpoint_path, stage_in_name
from hat.errors import InputError

LOADING = ("LoadCheckpoint", "LoadIntegerModel")


def add_config_arguments(
    parser: argparse.ArgumentParser, stages: Sequence[str] | None = STAGES, stage: str | None = None
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
    parser.add_argument("-c", "--config", required=True, help="config file of the experiment")
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


def load_config(args: argparse.Namespace) -> Config:
    """The config that ``args.config`` names, with ``args.opts`` applied."""
    return Config.fromfile(args.config, parse_opts(args.opts))


def stage_checkpoint(config: Config, stage: str, ckpt: str | Path | None = None) -> Path:
    """The checkpoint to use: ``ckpt``, or the best one of ``stage`` in the config's ``ckpt_dir``.

    Where that does not exist yet, the one in ``shipped_ckpt_dir``, if the config names such a
    folder; it is said that this one is taken.
    """
    if ckpt is not None:
        return Path(ckpt)
    own = checkpoint_path(config.section("ckpt_dir"), stage)
    shipped_dir = config.get("shipped_ckpt_dir")
    if own.exists() or shipped_dir is None:
        return own
    shipped = checkpoint_path(shipped_dir, stage)
    if not shipped.exists():
        return own
    if distributed.is_main():
        print(f"{own} does not exist yet; using the shipped {shipped}")
    return shipped


def resolve_checkpoints(
    section: dict[str, Any], config: Config, stage: str, ckpt: str | Path | None = None
) -> None:
    """Decide in place which files the converters of ``{stage}_predictor`` or ``_trainer`` load.

    ``ckpt`` replaces the last one's file. A file that does not exist gives way to its stage's in
    ``shipped_ckpt_dir``, if there is one.

    Raises:
        InputError: ``ckpt`` without a converter that loads.
    """
    loads = list(loading_converters(section))
    if ckpt is not None:
        if not loads:
            raise InputError(
                f"{stage}: model_convert_pipeline has no LoadCheckpoint or LoadIntegerModel whose "
                "path --ckpt could replace"
            )
        loads.pop()["checkpoint_path"] = ckpt
    for load in loads:
        if not Path(load["checkpoint_path"]).exists():
            stand_in = stage_checkpoint(config, stage_in_name(load["checkpoint_path"]) or stage)
            if stand_in.exists():
                load["checkpoint_path"] = stand_in


def loading_converters(section: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The configs of the converters in a trainer's or predictor's section that read a file."""
    for converter in (section.get("model_convert_pipeline") or {}).get("converters", []):
        if isinstance(converter, dict) and converter.get("type") in LOADING:
            yield converter


def setup_logging(log_file: Path | None = None, quiet: bool = False) -> None:
    """Log to the terminal (warnings only if ``quiet``) and, if given, to ``log_file``."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    terminal: logging.Handler = _TqdmHandler()
    terminal.setLevel(logging.WARNING if quiet else logging.INFO)
    handlers = [terminal]
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log_file))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname).1s %(message)s"))
        root.addHandler(handler)
    root.setLevel(logging.INFO)


class _TqdmHandler(logging.Handler):
    """Writes lines above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def print_table(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> None:
    """Print rows under a header, columns aligned: text to the left, numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    numeric = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    align: list[Callable[[str, int], str]] = [str.rjust if n else str.ljust for n in numeric]
    for line in (list(header), ["-" * w for w in widths], *cells):
        print("  ".join(a(c, w) for a, c, w in zip(align, line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
