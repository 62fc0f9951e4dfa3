"""Where the program for an image size comes from: compiled when it is needed, or given."""

from __future__ import annotations

import os
import threading
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Protocol

from horizon.errors import InputError
from horizon_flow import cache
from horizon_flow.network_file import FOLDER, SUFFIX, NetworkFile, shipped_networks
from horizon_flow.program import FlowProgram, fitting_size

Size = tuple[int, int]
SIZES_IN_MEMORY = 8


class Source(Protocol):
    """Gives programs.

    Attributes:
        size: (H, W) of all its programs; None: they have any.
    """

    size: Size | None

    def program(self, size: Size) -> FlowProgram:
        """The program for images of ``size`` (H, W), which may be smaller or larger than its."""


class GivenProgram:
    """A compiled program for all sizes, with a warning where it does not fit well."""

    def __init__(self, path: Path, threads: int | None) -> None:
        self.given = FlowProgram(path, threads)
        self.size: Size | None = self.given.size
        self._told: set[str] = set()

    def program(self, size: Size) -> FlowProgram:
        for text in self.given.warnings(size, fitting_size(size, self.given.size)):
            if text not in self._told:
                self._told.add(text)
                warnings.warn(text, stacklevel=4)
        return self.given


class CompiledNetwork:
    """Programs of a network, one for each size; those of the last sizes stay in memory."""

    def __init__(self, network: NetworkFile, threads: int | None, folder: Path) -> None:
        self.size: Size | None = None
        self.network = network
        self.threads = threads
        self.folder = folder
        self._lock = threading.Lock()
        self._programs: OrderedDict[Size, FlowProgram] = OrderedDict()
        _ = network.multiple  # a damaged file is told now

    def program(self, size: Size) -> FlowProgram:
        multiple = self.network.multiple
        padded = (-(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple)
        with self._lock:
            program = self._programs.pop(padded, None) or self._load(padded)
            self._programs[padded] = program
            while len(self._programs) > SIZES_IN_MEMORY:
                self._programs.popitem(last=False)
            return program

    def _load(self, size: Size) -> FlowProgram:
        name = self.network.path.stem
        path = cache.program_file(self.folder, name, self.network.data, size)
        return cache.load_or_make(
            path,
            load=lambda source: FlowProgram(source, self.threads, name),
            make=lambda: self._compile(size),
        )

    def _compile(self, size: Size) -> bytes:
        from horizon_flow.compile import compile_network  # only who compiles loads the compiler

        return compile_network(self.network.graph(), size)


def find_source(model: str, threads: int | None, folder: Path) -> Source:
    """The programs of a shipped network's name or of a path.

    Raises:
        InputError: no such network or file, or one of another kind.
    """
    shipped = shipped_networks()
    if model in shipped:
        path = FOLDER / f"{model}{SUFFIX}"
        return CompiledNetwork(NetworkFile.read(path), threads, folder)
    path = Path(os.path.expanduser(model))
    if not path.is_file():
        raise InputError(
            f"model {model!r}: no network of this name comes with the package, and there is no "
            f"such file; expected {', '.join(shipped)}, or the path of a .hbm or .npz file"
        )
    if path.suffix == ".hbm":
        return GivenProgram(path, threads)
    if path.suffix == SUFFIX:
        return CompiledNetwork(NetworkFile.read(path), threads, folder)
    raise InputError(
        f"model {model!r}: expected a compiled program (.hbm, from 'hat compile-perf') or a "
        f"network ({SUFFIX}, from 'hat export-network')"
    )
