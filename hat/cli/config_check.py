"""Check a config before anything runs ('hat validate' is the same command).

Reads the config once for each stage, as the commands do, and lists

  errors      unknown types, arguments and keys, missing arguments, refused values
  warnings    metric functions that leave the unit of the flow
  changed     what is not taken literally, and why (configs of the original tool kit)
  renamed     the same thing under another name here
  added       sections that are derived from others
  ignored     settings without a counterpart, and why
  missing     data sets, checkpoints and images that do not exist, and where they were looked for
  not there   sections that a command needs

Models and batch processors are built, so that their values are checked as well; nothing is
written, no data set is opened.

Exit code 0: no errors. 2: errors; with --strict, paths that are missing too, but for checkpoints
that a stage makes.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from hat.cli.common import STAGE_VARIABLE
from hat.cli.config_findings import (
    ABSENT,
    CHECKPOINT,
    ERROR,
    PATH,
    WARNING,
    Finding,
    findings,
)
from hat.config import Config, parse_opts
from hat.config.source import config_files
from hat.engine.checkpoint import STAGES
from hat.errors import InputError
from hat.migration import Kind, Note
from hat.migration.modules import import_notes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("file", nargs="?", metavar="FILE", help="the config, a file or a name")
    given.add_argument("-c", "--config", help="the same, as the other commands have it")
    parser.add_argument(
        "--opts", nargs="+", default=[], metavar="KEY VALUE", help="as for the other commands"
    )
    parser.add_argument("--strict", action="store_true", help="missing paths are errors too")


def run(args: argparse.Namespace) -> int:
    notes: list[Note] = []
    found: list[Finding] = []
    path = ""
    for stage in STAGES:
        os.environ[STAGE_VARIABLE] = stage
        config = Config.fromfile(args.file or args.config, parse_opts(args.opts))
        path = config.path
        notes += [note for note in config.notes if note not in notes]
        found += [finding for finding in findings(config) if finding not in found]
    notes = import_notes(config_files(Path(path))) + notes
    original = "a config of the original tool kit" if notes else "a config of this tool kit"
    print(f"{path}: {original}")
    show("errors", [f.text for f in found if f.kind == ERROR])
    show("warnings", [f.text for f in found if f.kind == WARNING])
    for kind in (Kind.CHANGED, Kind.RENAMED, Kind.ADDED, Kind.IGNORED):
        show(kind, merged([note for note in notes if note.kind is kind]))
    show("missing", [f.text for f in found if f.kind in (PATH, CHECKPOINT)])
    show("not there", [f.text for f in found if f.kind == ABSENT])
    errors = sum(f.kind == ERROR for f in found)
    paths = sum(f.kind == PATH for f in found)
    changed = sum(note.kind is Kind.CHANGED for note in notes)
    print(f"\n{errors} errors, {changed} changed, {paths} paths missing")
    if errors or (args.strict and paths):
        raise InputError(f"{path}: {errors} errors, {paths} paths missing; see the list above")
    return 0


def show(title: str, lines: Sequence[str]) -> None:
    if lines:
        print(f"\n{title}")
        for line in lines:
            print(f"  {line}")


def merged(notes: Sequence[Note]) -> list[str]:
    """One line for each text, with all the places that it is said of."""
    places: dict[str, list[str]] = {}
    for note in notes:
        places.setdefault(note.text, []).append(note.where)
    return [f"{', '.join(where)}: {text}" for text, where in places.items()]
