"""The log of a training run that scripts read: a JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hat.data.files import read_file
from hat.errors import InputError


def not_written(path: str | Path, error: OSError) -> InputError:
    """What to say where a log of a run cannot be written, because of a full disk for example."""
    return InputError(
        f"{path}: the log could not be written ({error.strerror or error}); free some space or "
        "choose another ckpt_dir, then continue with --resume"
    )


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """Read a JSON-lines training log: one object per line.

    A last line without its end (the run was stopped while writing it) is left out.

    Raises:
        InputError: no such file, an empty one, or a line that is no JSON object.
    """
    lines = read_file(path, "training log").tobytes().decode("utf-8-sig", "replace").split("\n")
    records = []
    for number, line in enumerate(lines[:-1], start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise InputError(f"{path}:{number}: expected a JSON object, found {line[:60]!r}")
        records.append(record)
    return records
