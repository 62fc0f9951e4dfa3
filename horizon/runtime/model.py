"""A compiled program, ready to run on this CPU.

The work is done by the native executor (``csrc/executor``), the same code as in
``hrt_model_exec`` and the C library: every way of running a program gives the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from horizon.errors import InputError
from horizon.extension import native as _native
from horizon.kernel_set import kernels_name


@dataclass(frozen=True)
class Tensor:
    """An input or output.

    Attributes:
        shape: in the order of ``layout``, ``"NCHW"`` or ``"NHWC"``.
        scales: one, or one per channel; real value = (integer - zero_point) * scale.
    """

    name: str
    dtype: np.dtype
    layout: str
    shape: tuple[int, int, int, int]
    scales: tuple[float, ...]
    zero_point: int


@dataclass(frozen=True)
class Memory:
    """Bytes that a program needs beside its inputs and outputs.

    Attributes:
        arena: working memory of each run that is under way.
        constants: weights and tables; mapped from the file, shared by all runs.
    """

    arena: int
    constants: int


@dataclass(frozen=True)
class Counters:
    """What one run did.

    Attributes:
        load_bytes, store_bytes: moved by the program's LOAD and STORE instructions.
        nanoseconds: of the whole run.
        instruction_nanoseconds: of each instruction, in the program's order; ``Model.layers`` has
            the layers that they belong to.
    """

    load_bytes: int
    store_bytes: int
    nanoseconds: int
    instruction_nanoseconds: tuple[int, ...]


class Model:
    """A program and its working memory. Many threads may call ``run`` at once.

    The interpreter's lock is released during a run. Each run that is under way at the same time has
    an arena of its own, made when it is first needed and kept.

    Args:
        source: path of a .hbm file, or its bytes. A file is mapped, so replace it by renaming,
            not by writing into it.
        threads: of each run, the caller's included; default: as many as the CPUs that the process
            may use (:func:`horizon.cpus.usable_cpus`), and never more than those. The results do
            not depend on it. With many runs at once, 1 is quickest.

    Attributes:
        name, march, opt: what was compiled, for which machine, at which level (0..3).
        size_multiple: height and width of images are multiples of it.
        inputs, outputs: ``Tensor`` descriptions.
        memory: ``Memory``.
        threads: of each run, as many as there are.

    Raises:
        InputError: the file cannot be read or is no valid program; ``threads`` is not positive;
            ``HORIZON_KERNELS`` names kernels that this CPU does not have.
        MemoryError: the arena does not fit.
        OSError: the system refuses a thread.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes, threads: int | None = None) -> None:
        check_threads(threads)
        kernels_name()
        count = threads or 0
        if isinstance(source, bytes):
            self._native = _native.Model.from_bytes(source, count)
        else:
            self._native = _native.Model.open(os.fspath(source), count)
        native = self._native
        self.name: str = native.name
        self.march: str = native.march
        self.opt: int = native.opt
        self.size_multiple: int = native.size_multiple
        self.threads: int = native.threads
        self.inputs = tuple(_tensor(fields) for fields in native.inputs)
        self.outputs = tuple(_tensor(fields) for fields in native.outputs)
        self.memory = Memory(native.arena_bytes, native.constant_bytes)

    @property
    def layers(self) -> list[str]:
        """The layer of each instruction, in the program's order."""
        return self._native.layers

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Carry out the program.

        Args:
            inputs: an array for each input's name, of exactly its type and shape.

        Returns:
            A new array for each output's name.

        Raises:
            InputError: an input is missing, unknown, or of another type or shape.
            MemoryError: no memory for the arena of one more run at the same time.
        """
        return self._run(inputs, profile=False)[0]

    def run_counted(
        self, inputs: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], Counters]:
        """``run``, with the run's counters; every instruction is timed."""
        return self._run(inputs, profile=True)

    def _run(
        self, inputs: Mapping[str, np.ndarray], profile: bool
    ) -> tuple[dict[str, np.ndarray], Counters]:
        arrays = self._checked(inputs)
        outputs = [np.empty(tensor.shape, tensor.dtype) for tensor in self.outputs]
        loaded, stored, total, times = self._native.run(arrays, outputs, profile)
        names = (tensor.name for tensor in self.outputs)
        return dict(zip(names, outputs, strict=True)), Counters(loaded, stored, total, tuple(times))

    def _checked(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        expected = [tensor.name for tensor in self.inputs]
        if not isinstance(inputs, Mapping) or set(inputs) != set(expected):
            found = (
                sorted(map(str, inputs)) if isinstance(inputs, Mapping) else type(inputs).__name__
            )
            raise InputError(
                f"{self.name}: inputs: found {found}, expected a mapping with the names "
                f"{expected}; name each array as Model.inputs does"
            )
        arrays = []
        for tensor in self.inputs:
            array = inputs[tensor.name]
            if not isinstance(array, np.ndarray):
                raise InputError(
                    f"{self.name}: input {tensor.name}: found {type(array).__name__}, expected a "
                    f"numpy array; convert it with numpy.asarray"
                )
            if array.dtype != tensor.dtype or array.shape != tensor.shape:
                raise InputError(
                    f"{self.name}: input {tensor.name}: found {array.dtype} {array.shape}, "
                    f"expected {tensor.dtype} {tensor.shape} ({tensor.layout}); bring the array to "
                    f"this type and size, or compile the network for another"
                )
            arrays.append(np.ascontiguousarray(array))
        return arrays


MAX_THREADS = 1024


def check_threads(threads: int | None) -> None:
    """InputError unless ``threads`` is a number of threads for :class:`Model`."""
    if threads is not None and not (isinstance(threads, int) and 1 <= threads <= MAX_THREADS):
        raise InputError(
            f"Model: threads: found {threads!r}, expected 1 to {MAX_THREADS}, or None for all "
            f"cores; give the number of cores that a run may use"
        )


def available_kernels() -> list[str]:
    """The instruction sets that this CPU has, the plainest first."""
    return _native.available_kernels()


def c_library() -> Path:
    """The shared library with the C API."""
    return Path(_native.__file__).parent / "lib" / "libhorizon_runtime.so"


def c_include_directory() -> Path:
    """The directory of ``horizon_runtime.h``, the C API's header."""
    return Path(_native.__file__).parent / "include"


def _tensor(fields: tuple[str, str, str, tuple[int, ...], tuple[float, ...], int]) -> Tensor:
    name, dtype, layout, (n, a, b, c), scales, zero_point = fields
    return Tensor(name, np.dtype(dtype), layout, (n, a, b, c), scales, zero_point)
