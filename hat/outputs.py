"""What a command is going to write, checked before it computes anything."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from hat.errors import InputError
from hat.file_kinds import FileKind
from horizon.files import AnyPath, discard, is_device, temporary_path


def check_outputs(
    outputs: Iterable[AnyPath | tuple[AnyPath, FileKind]],
    inputs: Mapping[str, AnyPath | None],
    option: str,
) -> None:
    """Refuse to write over what is read or of another kind, and to compute what cannot be written.

    Args:
        outputs: the files that the command will write. They, and their folders, may be missing.
            With a kind: only a file of this kind is replaced.
        inputs: what it reads, files and folders, by what they are called in messages; None is
            left out. Links, hard ones too, are the file that they lead to.
        option: which gives the outputs another place, such as ``--out-dir``.

    Raises:
        InputError: an output is an input or a file in an input folder, two outputs are the same
            file, or one cannot be written, is a link, or is there and of another kind.
    """
    seen: dict[str, Path] = {}
    sources = _Sources(inputs)
    for given in outputs:
        path, kind = given if isinstance(given, tuple) else (given, None)
        output = Path(path)
        if is_device(output):
            continue
        name = sources.with_part(output)
        if name is not None:
            raise InputError(
                f"{output}: the result would overwrite the input {name} ({inputs[name]}); choose "
                f"another {option}"
            )
        real = os.path.realpath(output)
        if real in seen:
            raise InputError(
                f"{output}: two results would have this file ({seen[real]} is the other); choose "
                f"another {option}"
            )
        seen[real] = output
        if output.is_symlink():
            raise InputError(
                f"{output}: is a symbolic link ({os.readlink(output)}), which the result would "
                f"replace; give {option} the file itself, or remove the link"
            )
        check_writable(output, option)
        if kind is not None and output.exists() and not kind.matches(output):
            raise InputError(
                f"{output}: is there already and is not {kind.name}; choose another {option}, or "
                "remove this file"
            )


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


class _Sources:
    """Inputs by what identifies them, so that thousands are compared with thousands of outputs."""

    def __init__(self, inputs: Mapping[str, AnyPath | None]) -> None:
        self._names: dict[object, str] = {}
        self._folders: dict[Path, str] = {}
        for name, path in inputs.items():
            if path is None:
                continue
            for key in _identities(Path(path)):
                self._names.setdefault(key, name)
            if os.path.isdir(path):
                self._folders.setdefault(Path(path).resolve(), name)

    def with_part(self, output: Path) -> str | None:
        """The input that writing ``output`` changes: the same file, or the folder of this file."""
        for key in _identities(output):
            if key in self._names:
                return self._names[key]
        if not self._folders or not output.exists():
            return None
        return next(filter(None, map(self._folders.get, output.resolve().parents)), None)


def _identities(path: Path) -> list[object]:
    """The path without links and, of a file that exists, its place on its disk."""
    keys: list[object] = [os.path.realpath(path)]
    try:
        status = os.stat(path)
    except OSError:
        return keys
    return [*keys, (status.st_dev, status.st_ino)]
