"""Measures the peak int8 multiply-accumulates per second of the cores, by instruction.

``python -m benchmarks.peaks``

Builds a loop of ``csrc/bench`` with g++ in a temporary folder. Checks that its machine code is what
is intended: one instruction on different registers, and no access to memory.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from horizon.cpus import usable_cpus
from horizon.runtime import available_kernels

FOLDER = Path(__file__).resolve().parents[1] / "csrc" / "bench"
FLAGS = ("-std=c++20", "-O3", "-shared", "-fPIC", "-pthread")


@dataclass(frozen=True)
class Loop:
    """A source of ``csrc/bench``, and the instructions of its loop."""

    name: str
    source: str
    flags: tuple[str, ...]
    instruction: str
    count: int
    steps: int  # about 50 ms


VNNI = Loop(
    "VPDPBUSD",
    "vnni_peak.cpp",
    ("-mavx512f", "-mavx512bw", "-mavx512vnni"),
    "vpdpbusd",
    24,
    1_000_000,
)
AVX_VNNI = Loop(
    "VPDPBUSD of 256 bits", "vnni_peak.cpp", ("-mavx2", "-mavxvnni"), "vpdpbusd", 12, 2_000_000
)
AMX = Loop("TDPBSSD", "amx_peak.cpp", ("-mamx-tile", "-mamx-int8"), "tdpbssd", 4, 2_000_000)


class Peak:
    """Calls the loop of an instruction that this CPU has; see :func:`peak_of`.

    Raises:
        RuntimeError: the machine code is not the intended loop.
    """

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        with tempfile.TemporaryDirectory() as folder:
            library = build(loop, Path(folder))
            self._library = ctypes.CDLL(str(library))
        self._library.peak_seconds.restype = ctypes.c_double
        self._library.peak_seconds.argtypes = [ctypes.c_int, ctypes.c_long]
        self._library.peak_macs_per_step.restype = ctypes.c_long

    def macs_per_second(self, threads: int) -> float:
        """The rate of ``threads`` threads together, over some 50 ms."""
        macs = threads * self.loop.steps * self._library.peak_macs_per_step()
        return macs / float(self._library.peak_seconds(threads, self.loop.steps))


def build(loop: Loop, folder: Path) -> Path:
    """The library of a loop, whose machine code has been checked."""
    library = folder / f"{loop.instruction}.so"
    source = FOLDER / loop.source
    command = [shutil.which("g++") or "g++", *FLAGS, *loop.flags, "-o", library, source]
    subprocess.run(command, check=True)
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", library], check=True, capture_output=True, text=True
    ).stdout
    lines = [line.split("\t")[-1].strip() for line in text.splitlines() if "\t" in line]
    lines = [line.removeprefix("{vex}").strip() for line in lines]
    places = [i for i, line in enumerate(lines) if line.startswith(loop.instruction)]
    inside = lines[places[0] : places[-1] + 1] if places else []
    targets = {re.split(r"[,\s]+", line)[-1] for line in inside}
    if not len(inside) == len(targets) == loop.count or "(" in "".join(inside):
        raise RuntimeError(
            f"{source}: the compiled loop is not {loop.count} {loop.instruction} on registers"
        )
    return library


def peak_of(kernels: str) -> Peak | None:
    """The peak that bounds the kernels of this name; None if there is no loop for them."""
    loop = {"amx": AMX, "avx512": VNNI, "avxvnni": AVX_VNNI}.get(kernels)
    return None if loop is None or kernels not in available_kernels() else Peak(loop)


def main() -> None:
    for kernels in available_kernels():
        peak = peak_of(kernels)
        if peak is not None:
            for threads in sorted({1, usable_cpus()}):
                rate = max(peak.macs_per_second(threads) for _ in range(5))
                print(f"{peak.loop.name}, {threads} threads: {rate / 1e9:.0f} GMAC/s")


if __name__ == "__main__":
    main()
