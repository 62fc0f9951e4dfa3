"""What a command is going to write, checked before it computes anything."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from hat.errors import InputError
from horizon.files import AnyPath, discard, is_device, temporary_path


def check_outputs(
    outputs: Iterable[AnyPath], inputs: Mapping[str, AnyPath | None], option: str
) -> None:
    """Refuse to write over what is read, and to compute what cannot be written.

    Args:
        outputs: the files that the command will write. They, and their folders, may be missing.
        inputs: what it reads, files and folders, by what they are called in messages; None is
            left out. Links, hard ones too, are the file that they lead to.
        option: which gives the outputs another place, such as ``--out-dir``.

    Raises:
        InputError: an output is an input or a file in an input folder, two outputs are the same
            file, or one cannot be written.
    """
    seen: dict[str, Path] = {}
    for output in map(Path, outputs):
        if is_device(output):
            continue
        for name, path in inputs.items():
            if path is not None and _is_part_of(output, Path(path)):
                raise InputError(
                    f"{output}: the result would overwrite the input {name} ({path}); choose "
                    f"another {option}"
                )
        real = os.path.realpath(output)
        if real in seen:
            raise InputError(
                f"{output}: two results would have this file ({seen[real]} is the other); choose "
                f"another {option}"
            )
        seen[real] = output
        check_writable(output, option)


def check_writable(path: Path, option: str) -> None:
    """InputError if the file ``path`` cannot be written; tried out in the nearest folder."""
    if path.is_dir():
        raise InputError(f"{path}: cannot write this file: it is a folder; give {option} a file")
    there = path.absolute().parent
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    probe = temporary_path(there / path.name)
    try:
        if not there.is_dir():
            raise NotADirectoryError(0, f"{there} is no folder")
        with open(probe, "xb") as file:
            file.write(b"\0")
    except OSError as error:
        raise InputError(
            f"{path}: cannot write this file: {error.strerror}; choose another {option}, in a "
            "folder where files can be made"
        ) from error
    finally:
        discard(probe)


def _is_part_of(output: Path, source: Path) -> bool:
    """Whether writing ``output`` changes ``source``: the same file, or a file in that folder."""
    if os.path.realpath(output) == os.path.realpath(source):
        return True
    try:
        if output.samefile(source):
            return True
    except OSError:  # one of them does not exist
        return False
    return source.is_dir() and source.resolve() in output.resolve().parents
