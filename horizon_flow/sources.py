"""Where the program for an image size comes from: compiled when it is needed, or given."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Protocol, TypeVar

from horizon.errors import CapacityError, CompilerError, InputError
from horizon.isa.bounds import MAX_SIDE
from horizon_flow.cache import load_or_make, program_file
from horizon_flow.caller import warn_caller
from horizon_flow.network_file import FOLDER, SUFFIX, NetworkFile, shipped_networks
from horizon_flow.program import FlowProgram, Program, VideoProgram
from horizon_flow.resize import fitting_size
from horizon_flow.stream import FeatureStream, PlaneStream, Stream

Size = tuple[int, int]
PROGRAMS_IN_MEMORY = 8
P = TypeVar("P", bound=Program)


class Source(Protocol):
    """Gives programs for images of ``size`` (H, W), which may be smaller or larger than theirs.

    Attributes:
        size: (H, W) of all its programs; None: they have any.
    """

    size: Size | None

    def program(self, size: Size) -> FlowProgram:
        """A program of image pairs."""

    def stream(self, size: Size) -> Stream:
        """A new stream of images."""


class OneProgram:
    """A compiled program for all sizes, with a warning where it does not fit well."""

    def __init__(self, path: Path, threads: int | None) -> None:
        from horizon_flow.given_program import GivenProgram

        self._program = GivenProgram(path, threads)
        self.size: Size | None = self._program.size
        self._told: set[str] = set()

    def program(self, size: Size) -> FlowProgram:
        program = self._program
        for text in program.warnings(size, fitting_size(size, program.size)):
            if text not in self._told:
                self._told.add(text)
                warn_caller(text)
        return program

    def stream(self, size: Size) -> Stream:
        return PlaneStream(self.program(size))


class CompiledNetwork:
    """Programs of a network, compiled for each size; those used last stay in memory."""

    def __init__(self, network: NetworkFile, threads: int | None, folder: Path | None) -> None:
        self.size: Size | None = None
        self._network = network
        self._threads = threads
        self._folder = folder
        self._lock = threading.Lock()
        self._programs: OrderedDict[tuple[type[Program], Size], Program] = OrderedDict()
        _ = network.multiple  # a damaged file is told now

    def program(self, size: Size) -> FlowProgram:
        program = self._get(FlowProgram, size)
        assert program is not None
        return program

    def stream(self, size: Size) -> Stream:
        program = self._get(VideoProgram, size)
        return PlaneStream(self.program(size)) if program is None else FeatureStream(program)

    def _get(self, kind: type[P], size: Size) -> P | None:
        """The program of a kind; None if the network has no such form."""
        multiple = self._network.multiple
        padded = (-(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple)
        with self._lock:
            program = self._programs.pop((kind, padded), None)
            if program is None:
                try:
                    program = self._load(kind, padded)
                except (CapacityError, CompilerError) as error:
                    raise self._too_large(kind, size, padded, error) from error
            if program is None:
                return None
            assert isinstance(program, kind)
            self._programs[kind, padded] = program
            while len(self._programs) > PROGRAMS_IN_MEMORY:
                self._programs.popitem(last=False)
            return program

    def _load(self, kind: type[P], size: Size) -> P | None:
        network = self._network
        name = network.path.stem
        title = f"{name}-{kind.form}-{size[1]}x{size[0]}"
        return load_or_make(
            self._folder and program_file(self._folder, title, network.data),
            load=lambda source: kind(source, self._threads, name),
            make=lambda: self._compile(kind, size),
        )

    def _compile(self, kind: type[Program], size: Size) -> bytes | None:
        from horizon_flow.compile import compile_network  # who finds a program needs no compiler

        return compile_network(self._network.graph(), size, video=kind is VideoProgram)

    def _too_large(
        self, kind: type[Program], size: Size, padded: Size, error: InputError
    ) -> InputError:
        """What to say of images that are too large; ``error`` itself if that is not the reason."""
        from horizon_flow.compile import largest_size

        if isinstance(error, CompilerError) and max(padded) <= MAX_SIDE:
            return error
        found = largest_size(lambda one: self._compile(kind, one), padded, self._network.multiple)
        if found is None:
            return error
        return CapacityError(
            f"images of {size[1]}x{size[0]} pixels are too large for {self._network.path.stem}; "
            f"the largest of about this shape have {found[1]}x{found[0]} (width x height): scale "
            "them down, or cut them into parts"
        )


def find_source(model: str, threads: int | None, folder: Path | None) -> Source:
    """The programs of a shipped network's name or of a path.

    Raises:
        InputError: no such network or file, or one of another kind.
    """
    shipped = shipped_networks()
    if model in shipped:
        path = FOLDER / f"{model}{SUFFIX}"
        return CompiledNetwork(NetworkFile.read(path), threads, folder)
    if not model:
        raise InputError(f"model: found '', expected {', '.join(shipped)}, or the path of a file")
    path = Path(os.path.expanduser(model))
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a folder that may not be entered, a name that is too long
        raise InputError(
            f"model {model!r}: cannot look for this file: {error.strerror}; expected "
            f"{', '.join(shipped)}, or the path of a .hbm or .npz file"
        ) from error
    if is_folder:
        raise InputError(
            f"model {model!r}: is a folder; expected {', '.join(shipped)}, or the path of a .hbm "
            "or .npz file"
        )
    if not is_file:
        raise InputError(
            f"model {model!r}: no network of this name comes with the package, and there is no "
            f"such file; expected {', '.join(shipped)}, or the path of a .hbm or .npz file"
        )
    if path.suffix == ".hbm":
        return OneProgram(path, threads)
    if path.suffix == SUFFIX:
        return CompiledNetwork(NetworkFile.read(path), threads, folder)
    raise InputError(
        f"model {model!r}: expected a compiled program (.hbm, from 'hat compile-perf') or a "
        f"network ({SUFFIX}, from 'hat export-network')"
    )
