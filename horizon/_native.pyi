"""Types of the extension module that is built from csrc/python."""

from collections.abc import Sequence

import numpy as np

from horizon.errors import InputError

class InvalidProgram(InputError): ...

class Model:
    @staticmethod
    def open(path: str, threads: int) -> Model: ...
    @staticmethod
    def from_bytes(data: bytes, threads: int) -> Model: ...
    def run(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], profile: bool
    ) -> tuple[int, int, int, list[int]]:
        """(bytes loaded, bytes stored, nanoseconds, nanoseconds of each instruction)"""

    @property
    def name(self) -> str: ...
    @property
    def march(self) -> str: ...
    @property
    def opt(self) -> int: ...
    @property
    def size_multiple(self) -> int: ...
    @property
    def arena_bytes(self) -> int: ...
    @property
    def constant_bytes(self) -> int: ...
    @property
    def threads(self) -> int: ...
    @property
    def layers(self) -> list[str]: ...
    @property
    def inputs(self) -> list[tuple[str, str, str, tuple[int, ...], tuple[float, ...], int]]:
        """(name, type, layout, shape, scales, zero point) of each"""

    @property
    def outputs(self) -> list[tuple[str, str, str, tuple[int, ...], tuple[float, ...], int]]: ...

def check_program(data: bytes) -> None:
    """Refuse a file's contents as a Model does, with InputError, without making one."""

def run_instruction(
    record: bytes,
    out: np.ndarray,
    a: np.ndarray,
    b: np.ndarray | None,
    weight: np.ndarray | None,
    table: bytes,
    threads: int,
) -> None:
    """One instruction (the bytes of its record) on NHWC arrays with any strides.

    The record's places, shapes, strides and types are not read: they come from the arrays.
    ``weight``: flat int8 in the record's weight layout. ``table``: its channel entries.
    ``threads``: 0 for all CPUs; never more than those. Raises InputError where a program with this
    instruction would be refused, ValueError for arrays of another kind, MemoryError.
    """

def kernels_name() -> str: ...
def available_kernels() -> list[str]: ...
def usable_cpus() -> int: ...
def cpu_quota(root: str) -> float | None: ...
def fill_planes(picture: np.ndarray, planes: np.ndarray, bgr: bool) -> None:
    """A dense uint8 picture (h, w, 3) as planes Y, U, V (3, H, W), its border repeated."""

def average_areas(picture: np.ndarray, out: np.ndarray) -> None:
    """A dense uint8 picture (h, w, C) at a smaller size, averaged over areas: (H, W, C)."""

def enlarge_flow(flow: np.ndarray, factor: int, out: np.ndarray) -> None:
    """A dense float32 map (2, h, w), bilinear by exactly ``factor``, as (H, W, 2), cropped."""

def correlation_forward(
    first: np.ndarray,
    second: np.ndarray,
    reach: int,
    factor: float,
    volume: np.ndarray,
    threads: int,
) -> None:
    """The cost volume of two dense float32 maps (N, C, H, W), into (N, (2 reach + 1)**2, H, W)."""

def correlation_backward(
    first: np.ndarray,
    second: np.ndarray,
    gradient: np.ndarray,
    reach: int,
    factor: float,
    to_first: np.ndarray,
    to_second: np.ndarray,
    threads: int,
) -> None:
    """Its gradients with respect to both maps, from that of the volume."""

def warp_forward(feature: np.ndarray, offset: np.ndarray, out: np.ndarray, threads: int) -> None:
    """A dense float32 map (N, H, W, C) at places shifted by (N, 2, H, W), as (N, C, H, W)."""

def warp_backward(
    feature: np.ndarray,
    offset: np.ndarray,
    gradient: np.ndarray,
    to_feature: np.ndarray,
    to_offset: np.ndarray,
    threads: int,
) -> None:
    """Its gradients with respect to map and offset, from that of the result (N, C, H, W)."""
