"""A network as a file: its integer graph, which is brought to any image size, without torch.

A .npz file (``numpy.load``): ``program`` has the bytes of the graph's text (``horizon.hbir.text``),
every other array is the constant of that name. ``hat export-network`` makes it from a checkpoint.
"""

from __future__ import annotations

import io
import os
import re
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from horizon.errors import InputError

if TYPE_CHECKING:  # who finds a compiled program needs no graph
    from horizon.hbir import Graph

FOLDER = Path(__file__).parent / "networks"
SUFFIX = ".npz"
TEXT = "program"


def shipped_networks() -> list[str]:
    """The names of the networks that come with the package."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def network_bytes(graph: Graph) -> bytes:
    """The file's content: the same graph gives the same bytes."""
    from horizon.hbir import constants, to_text

    text = np.frombuffer(to_text(graph).encode(), np.uint8)
    arrays: dict[str, Any] = {TEXT: text, **constants(graph)}
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@dataclass(frozen=True)
class NetworkFile:
    """A network file's content.

    Attributes:
        path: where it was read, for messages.
        data: its bytes.
    """

    path: Path
    data: bytes

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> NetworkFile:
        """Raises InputError if the file cannot be read."""
        try:
            return cls(Path(path), Path(path).read_bytes())
        except OSError as error:
            raise InputError(f"{os.fspath(path)}: cannot be read: {error.strerror}") from error

    @cached_property
    def multiple(self) -> int:
        """Height and width of its images are multiples of this; without reading the whole graph.

        Raises:
            InputError: the content is damaged or is no network.
        """
        found = re.search(r"^attribute size_multiple (\d+)$", self._text, re.MULTILINE)
        return int(found[1]) if found else 1

    def graph(self) -> Graph:
        """The integer graph, at the size at which it was recorded.

        Raises:
            InputError: the content is damaged or is no network.
        """
        from horizon.hbir import parse_text

        arrays = self._arrays()
        try:
            return parse_text(self._text, {k: v for k, v in arrays.items() if k != TEXT})
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from error

    @cached_property
    def _text(self) -> str:
        return self._arrays(TEXT)[TEXT].tobytes().decode(errors="replace")

    def _arrays(self, *names: str) -> dict[str, np.ndarray]:
        """The arrays of these names, or all."""
        try:
            with np.load(io.BytesIO(self.data), allow_pickle=False) as arrays:
                return {name: arrays[name] for name in names or arrays.files}
        except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
            reason = "it is no .npz" if isinstance(error, ValueError) else error
            raise InputError(
                f"{self.path}: no network file ({reason}); make one with 'hat export-network', or "
                "install the package again if it came with it"
            ) from error
