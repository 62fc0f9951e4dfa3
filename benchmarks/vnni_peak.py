"""The most int8 multiply-accumulates per second that the cores can do, with AVX-512 VNNI.

Builds ``csrc/bench/vnni_peak.cpp`` with g++ into a temporary folder and makes sure that its loop is
what it is meant to be: 24 VPDPBUSD on different registers and no access to memory.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "csrc" / "bench" / "vnni_peak.cpp"
FLAGS = ("-std=c++20", "-O3", "-mavx512f", "-mavx512bw", "-mavx512vnni", "-shared", "-fPIC")
ACCUMULATORS = 24


class VnniPeak:
    """Calls the loop; None of this exists on a CPU without AVX-512 VNNI, see :func:`available`."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "vnni_peak.so"
            command = [shutil.which("g++") or "g++", *FLAGS, "-pthread", "-o", library, SOURCE]
            subprocess.run(command, check=True)
            self.check(library)
            self._library = ctypes.CDLL(str(library))
        self._library.vnni_seconds.restype = ctypes.c_double
        self._library.vnni_seconds.argtypes = [ctypes.c_int, ctypes.c_long]

    @staticmethod
    def check(library: Path) -> None:
        """RuntimeError unless the machine code is the loop that was meant."""
        text = subprocess.run(
            ["objdump", "-d", "--no-show-raw-insn", library],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        lines = [line.split("\t")[-1].strip() for line in text.splitlines() if "\t" in line]
        numbers = [i for i, line in enumerate(lines) if line.startswith("vpdpbusd")]
        loop = lines[numbers[0] : numbers[-1] + 1] if numbers else []
        targets = {re.split(r"[,\s]+", line)[-1] for line in loop}
        if len(loop) != ACCUMULATORS or len(targets) != ACCUMULATORS or "(" in "".join(loop):
            raise RuntimeError(f"{SOURCE}: the compiled loop is not 24 VPDPBUSD on registers")

    def macs_per_second(self, threads: int, steps: int = 1_000_000) -> float:
        """Of ``threads`` threads together, over some 50 ms."""
        macs = threads * steps * self._library.vnni_macs_per_step()
        return macs / self._library.vnni_seconds(threads, steps)


def available() -> bool:
    """Has this CPU AVX-512 VNNI?"""
    try:
        return " avx512_vnni" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
