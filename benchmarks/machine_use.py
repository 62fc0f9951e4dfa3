"""The hardware of this computer, and how busy it is during a measurement."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch

from horizon.cpus import cpuinfo, usable_cpus

QUERY = ["--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "-l", "1"]


def describe_machine() -> dict[str, Any]:
    """GPU, CPU, cores and the version of torch."""
    found: dict[str, Any] = {
        "cpu": cpu_name(),
        "cores": usable_cpus(),
        "torch": torch.__version__,
        "gpu": None,
    }
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        found |= {"gpu": properties.name, "gpu GiB": round(properties.total_memory / 2**30, 1)}
    return found


def cpu_name() -> str:
    return cpuinfo().get("model name") or platform.processor()


class MachineUse:
    """How busy GPU and CPU are during the block; the CPU's load includes other processes."""

    def __enter__(self) -> MachineUse:
        self._cpu = cpu_ticks()
        self._lines = tempfile.TemporaryFile("w+")
        command = shutil.which("nvidia-smi")
        self._process = (
            subprocess.Popen([command, *QUERY], stdout=self._lines, stderr=subprocess.DEVNULL)
            if command
            else None
        )
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        before, now = self._cpu, cpu_ticks()
        total = now[1] - before[1]
        self._busy = (now[0] - before[0]) / total if total > 0 else None
        self._lines.seek(0)
        self._rows = self._lines.read().splitlines()
        self._lines.close()

    def summary(self) -> dict[str, Any]:
        """Shares of the time, 0 to 1, and the GPU's peak memory; None for what was not measured."""
        rows = [row.split(",") for row in self._rows]
        numbers = [
            (float(row[0]), float(row[1]))
            for row in rows
            if len(row) == 2 and all(word.strip().replace(".", "").isdigit() for word in row)
        ]
        return {
            "cpu": self._busy,
            "gpu": sum(n[0] for n in numbers) / len(numbers) / 100 if numbers else None,
            "gpu GiB": max(n[1] for n in numbers) / 1024 if numbers else None,
        }


def cpu_ticks() -> tuple[int, int]:
    """Busy and all ticks of all cores since the start of the machine."""
    try:
        words = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    except OSError:
        times = os.times()
        return int(100 * (times.user + times.system)), int(100 * times.elapsed)
    ticks = [int(word) for word in words[:8]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
