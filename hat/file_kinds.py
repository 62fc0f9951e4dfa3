"""How a file that a command has written is told from any other: a result replaces only its like.

:func:`hat.outputs.check_outputs` asks before anything is computed.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hat.stages import STAGES
from horizon.isa.bounds import MAGIC

PROFILE_KEYS = ("layer", "stage")  # in the rows of each function
START_BYTES = 4096
CHECKPOINT_FORMAT = b"hat-checkpoint"  # of hat.engine.checkpoint, which loads torch
MOST_JSON_BYTES = 64 << 20


@dataclass(frozen=True)
class FileKind:
    """``name`` is what a message calls it; ``matches`` looks at a file that exists."""

    name: str
    matches: Callable[[Path], bool]


def json_with(name: str, *keys: str) -> FileKind:
    """A JSON object with, among others, these keys."""

    def matches(path: Path) -> bool:
        content = _json(path)
        return isinstance(content, dict) and set(keys) <= content.keys()

    return FileKind(name, matches)


def with_start(name: str, start: bytes) -> FileKind:
    """A file that begins with these bytes."""
    return FileKind(name, lambda path: _start(path).startswith(start))


def _start(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(START_BYTES)


def _json(path: Path) -> Any:
    """The content of a JSON file; None of any other file."""
    if path.stat().st_size > MOST_JSON_BYTES:
        return None
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None


def _is_profile(path: Path) -> bool:
    content = _json(path)
    if isinstance(content, dict):
        return "layers" in content or "cumulative" in content or bool(content.keys() & set(STAGES))
    return isinstance(content, list) and all(
        isinstance(row, dict) and row.keys() & set(PROFILE_KEYS) for row in content
    )


def _is_profile_table(path: Path) -> bool:
    first = _start(path).partition(b"\n")[0].decode(errors="replace").strip()
    return first.split(",")[0] in PROFILE_KEYS


def _is_page(path: Path) -> bool:
    start = _start(path)
    return start.lower().startswith(b"<!doctype html>") and b"--ink:" in start  # our style's


def _is_checkpoint(path: Path) -> bool:
    return any(CHECKPOINT_FORMAT in text for text in _entries(path, "data.pkl"))


def _is_network(path: Path) -> bool:
    return any(b'program "' in text[:START_BYTES] for text in _entries(path, "program.npy"))


def _entries(path: Path, name: str) -> list[bytes]:
    """The content of the entries of a zip archive with this name; none of any other file."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = [entry for entry in archive.namelist() if Path(entry).name == name]
            return [archive.read(entry) for entry in found]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError):
        return []


def _is_onnx(path: Path) -> bool:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError):
        return False
    return {"stage", "weights"} <= {entry.key for entry in model.metadata_props}


PROGRAM = with_start("a .hbm program", MAGIC)
GRAPH_TEXT = with_start("the text of a program", b'program "')
PAGE = FileKind("a page of this project", _is_page)
CHECKPOINT = FileKind("a checkpoint of this project", _is_checkpoint)
NETWORK = FileKind("a network of 'hat export-network'", _is_network)
ONNX = FileKind("an ONNX file of 'hat export-onnx'", _is_onnx)
COUNTS = json_with("counts of 'hat calops'", "parameters", "macs", "layers")
FIGURES = json_with("figures of 'hat flow-statistics'", "found", "published")
FINDINGS = json_with("findings of 'hat model-checker'", "not_quantised", "machines")
METRICS = json_with("metrics of 'hat predict'", "stage", "data_sets")
ALIGNMENT = json_with("metrics of 'hat align-bpu-validation'", "task", "data_sets")
ESTIMATE = json_with("an estimate of 'hat compile-perf'", "summary")
COMPARISON = json_with("a comparison of 'hat compile-perf'", "opt", "machines")
PROFILE = FileKind("a result of 'hat model-profiler'", _is_profile)
PROFILE_TABLE = FileKind("a table of 'hat model-profiler'", _is_profile_table)
DESCRIPTION = with_start("a description of 'hat fit-host'", b"# Written by fit_host.py")
