"""The tables of ``runtime_speed`` about the program alone: layers, memory, image sizes."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bandwidth import Bandwidth
from benchmarks.runtimes import Network
from horizon import hbm
from horizon.perf.work import products, touched
from horizon.runtime import Model

SIZES = ((128, 192), (256, 384), (384, 512), (448, 1024), (768, 1024), (1088, 1920))
LINEAR = 0.15
# Runs in a small process of its own, because a new process inherits its parent's peak memory.
RESIDENT = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def layers(
    program: hbm.Program,
    model: Model,
    image: np.ndarray,
    rounds: int,
    peak: float | None,
    bandwidth: Bandwidth,
) -> list[dict[str, Any]]:
    """Median time of every instruction over ``rounds`` runs, the longest first, and its bound.

    The bound is the longer of two times: its products at the peak, and its bytes at the bandwidth.

    Args:
        peak: MAC/s; None if unknown, so that only the bytes bound.
    """
    inputs = {model.inputs[0].name: image}
    runs = [model.run_counted(inputs)[1].instruction_nanoseconds for _ in range(rounds)]
    rows = []
    for instruction, times in zip(program.instructions, zip(*runs, strict=True), strict=True):
        seconds = statistics.median(times) / 1e9
        work, moved = products(instruction), touched(instruction)
        bound = max(bandwidth.seconds(moved), work / peak if peak else 0.0)
        row: dict[str, Any] = {
            "layer": instruction.layer,
            "instruction": instruction.opcode.name,
            "output": "x".join(map(str, instruction.out.shape)),
            "ms": round(seconds * 1e3, 4),
            "MMAC": round(work / 1e6, 2) if work else None,
            "KB": round(moved / 1e3, 1),
            "bound ms": round(bound * 1e3, 4),
            "of bound": round(bound / seconds, 3),
        }
        rows.append(row)
    return sorted(rows, key=lambda row: -row["ms"])


def by_kind(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By opcode: number of instructions, their ms, and the share of it that their bounds take."""
    kinds: dict[str, dict[str, float]] = {}
    for row in rows:
        entry = kinds.setdefault(row["instruction"], {"instructions": 0, "ms": 0.0, "bound": 0.0})
        entry["instructions"] += 1
        entry["ms"] += row["ms"]
        entry["bound"] += row["bound ms"]
    return {
        kind: {
            "instructions": entry["instructions"],
            "ms": round(entry["ms"], 4),
            "of bound": round(entry["bound"] / entry["ms"], 3),
        }
        for kind, entry in kinds.items()
    }


def peak_memory(file: Path, image: np.ndarray, folder: Path) -> dict[str, Any]:
    """Largest resident set of ``hrt_model_exec infer`` on a program, or why there is none."""
    beside = Path(sys.executable).with_name("hrt_model_exec")
    command = str(beside) if beside.exists() else shutil.which("hrt_model_exec")
    if command is None:
        return {"not measured": "hrt_model_exec is not installed"}
    data = folder / "image.bin"
    data.write_bytes(image.tobytes())
    words = [command, "infer", "--model_file", str(file), "--input_file", str(data)]
    code = [sys.executable, "-S", "-c", RESIDENT, *words]
    result = subprocess.run(code, check=True, capture_output=True, text=True)
    resident = int(result.stdout.split()[-1]) * 1024
    return {
        "peak resident MB": round(resident / 1e6, 1),
        "program file MB": round(file.stat().st_size / 1e6, 1),
    }


def image_sizes(network: Network, threads: int, rounds: int) -> dict[str, Any]:
    """The program's median time at every size, and how far it is from linear in the pixels.

    Sizes are those above, or the next larger ones that the network can have.

    Distances are relative. The first is from a time proportional to the pixels (by the median time
    per pixel), the second from a straight line with a constant part, fitted to relative errors.
    """
    rows = []
    multiple = int(network.integer.graph.attributes.get("size_multiple", 1))
    for height, width in (tuple(-(-x // multiple) * multiple for x in size) for size in SIZES):
        program = network.compiled((height, width))
        model = Model(hbm.to_bytes(program), threads)
        rng = np.random.default_rng(0)
        inputs = {model.inputs[0].name: rng.integers(0, 256, (1, 6, height, width), np.uint8)}
        seconds = []
        for round_ in range(rounds + 2):
            started = time.perf_counter()
            model.run(inputs)
            if round_ >= 2:
                seconds.append(time.perf_counter() - started)
        rows.append((height, width, height * width, statistics.median(seconds)))
    pixels, times = (np.array(column, float) for column in list(zip(*rows, strict=True))[2:])
    per_pixel = times / pixels
    (constant, slope), *_ = np.linalg.lstsq(
        np.stack([1 / times, pixels / times], axis=1), np.ones(len(times)), rcond=None
    )
    proportional = per_pixel / np.median(per_pixel) - 1
    line = times / (constant + slope * pixels) - 1
    table = [
        {
            "size": f"{height}x{width}",
            "ms": round(1e3 * seconds, 3),
            "ns per pixel": round(1e9 * own, 2),
            "from proportional": round(float(a), 4),
            "from the line": round(float(b), 4),
        }
        for (height, width, _, seconds), own, a, b in zip(
            rows, per_pixel, proportional, line, strict=True
        )
    ]
    return {
        "sizes": table,
        "line": {"constant ms": float(1e3 * constant), "ns per pixel": float(1e9 * slope)},
        "proportional within 15 %": bool(np.abs(proportional).max() <= LINEAR),
        "linear within 15 %": bool(np.abs(line).max() <= LINEAR),
    }


def products_share(rows: list[dict[str, Any]], peak: float, largest: int | None = None) -> float:
    """Products per second of the convolutions (of ``largest`` only, if given) over ``peak``."""
    convolutions = sorted(
        (row for row in rows if row["instruction"] == "conv"), key=lambda row: -row["MMAC"]
    )[:largest]
    seconds = sum(row["ms"] for row in convolutions) / 1e3
    return sum(row["MMAC"] for row in convolutions) * 1e6 / seconds / peak
