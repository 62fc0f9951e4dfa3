"""Compares every executor of the project with the integer model: all output integers.

``python -m benchmarks.executors [--pairs N] [--size H W] [--json FILE]``

The networks are the shipped lite network and the tutorial's full network with random weights,
calibrated on one smooth pair. Their input is the board's uint8 YUV444. On the same images run the
reference executor, the integer model, and the programs compiled for every machine: in
``horizon.runtime`` with each instruction set of this CPU, in ``hrt_model_exec``, and in its build
for AArch64 under qemu-aarch64-static. The slow executors run the full network at half the size in
both directions, on the first pair; ``hrt_model_exec`` always runs the first pair only. The table
lists executors that cannot run here as skipped. Also prints the seconds to compile the full
network. Exits with 1 if any integer differs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import horizon.march
from benchmarks.board_images import fitted, image_pairs
from benchmarks.calibration_choices import CONFIG
from benchmarks.runtimes import Network
from benchmarks.training_step import machine
from hat.cli.common import print_table
from hat.cli.sections import trained_model
from hat.config import Config
from hat.data.files import json_text, write_json
from horizon import hbm
from horizon.compiler import compile_program
from horizon.cpus import usable_cpus
from horizon.hbir import Graph, resized
from horizon.hbir import run as run_reference
from horizon.quantization import IntegerModel
from horizon.runtime import Model, available_kernels, kernels_name

ROOT = Path(__file__).resolve().parents[1]
LITE = ROOT / "models" / "pwcnet_lite" / "int_infer-checkpoint-best.pth.tar"
PROGRAMS = (("host", "O2"), ("edge256", "O2"), ("edge256", "O3"))
THREADS = (1, 2)
# The table says so if this CPU lacks one of these.
NATIVE = tuple(dict.fromkeys(("scalar", "avx2", "avx512", *available_kernels())))
COLUMNS = ("network", "size", "machine", "executor", "threads", "pairs", "integers", "differing")
CALIBRATION = (192, 256)


@dataclass
class Case:
    """One network at one size.

    Attributes:
        images: uint8 (1, 6, H, W), the board's input.
        slow: whether the slow executors run too.
        wanted: the integer model's output for each image, int32 (1, 2, H / 4, W / 4).
        files: the programs by machine and optimisation level.
    """

    network: str
    model: IntegerModel
    images: list[np.ndarray]
    slow: bool
    folder: Path
    wanted: list[np.ndarray] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.images[0].shape[2:]
        return height, width

    def graph(self) -> Graph:
        return resized(self.model.graph, 1, *self.size)

    def compile(self) -> dict[str, float]:
        """Compile and write the programs; returns the seconds of each compilation."""
        graph, seconds = self.graph(), {}
        for march, opt in PROGRAMS:
            started = time.perf_counter()
            program = compile_program(graph, horizon.march.load(march), opt=opt).program
            seconds[f"{march} {opt}"] = time.perf_counter() - started
            path = self.folder / f"{self.network}_{self.size[0]}_{march}_{opt}.hbm"
            hbm.write(program, path)
            self.files[f"{march} {opt}"] = path
        return seconds


class Table:
    """The rows of the table; each is printed as soon as it is known."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(
        self,
        case: Case,
        executor: str,
        found: list[np.ndarray] | str,
        program: str = "",
        threads: int | None = None,
    ) -> None:
        """Compare the outputs of the first pairs, or note why there are none."""
        size = "x".join(map(str, case.size))
        start = (case.network, size, program, executor, threads or "")
        if isinstance(found, str):
            counts: tuple[Any, ...] = (0, 0, f"skipped: {found}")
        else:
            pairs = list(zip(found, case.wanted, strict=False))
            assert pairs
            assert all(f.shape == w.shape for f, w in pairs)
            differing = sum(int(np.count_nonzero(f != w)) for f, w in pairs)
            counts = (len(pairs), sum(f.size for f in found), differing)
        self.rows.append(dict(zip(COLUMNS, (*start, *counts), strict=True)))
        print(*self.rows[-1].values(), file=sys.stderr, flush=True)

    def differing(self) -> int:
        return sum(r["differing"] for r in self.rows if isinstance(r["differing"], int))


@dataclass
class Tool:
    """A build of ``hrt_model_exec``: how to start it, or why it cannot be.

    ``kernels`` are the instruction sets to run, with the numbers of threads.
    """

    name: str
    command: list[str]
    kernels: dict[str, tuple[int, ...]]
    missing: str = ""

    def infer(self, program: Path, image: np.ndarray, kernels: str, threads: int) -> np.ndarray:
        """The output's integers. Raises RuntimeError if it fails or uses other kernels."""
        with tempfile.TemporaryDirectory() as folder:
            data, target = Path(folder) / "image.bin", Path(folder) / "out"
            data.write_bytes(image.tobytes())
            words = ["infer", "--model_file", str(program), "--input_file", str(data)]
            words += ["--dump_dir", str(target), "--dump_format", "npy", "--core_num", str(threads)]
            environment = os.environ | {"HORIZON_KERNELS": kernels}
            ended = subprocess.run(
                [*self.command, *words], env=environment, capture_output=True, text=True
            )
            if ended.returncode or f"kernels {kernels}, {threads} threads" not in ended.stdout:
                raise RuntimeError(f"{self.name}: {ended.stdout}{ended.stderr}")
            (path,) = target.iterdir()
            values: np.ndarray = np.load(path)
            return values


def native_tool() -> Tool:
    command = Path(sys.executable).with_name("hrt_model_exec")
    missing = "" if command.exists() else "not installed: make native"
    return Tool("hrt_model_exec", [str(command)], {available_kernels()[-1]: THREADS}, missing)


def emulated_tool() -> Tool:
    """The build for AArch64, built again if it is out of date."""
    command = ["qemu-aarch64-static", "-cpu", "max", str(ROOT / "build/aarch64/hrt_model_exec")]
    # Scalar takes most of a minute for the full network.
    kernels = {"neon": THREADS, "scalar": THREADS[-1:]}
    tool = Tool("AArch64 hrt_model_exec, qemu", command, kernels)
    for needed in ("make", "aarch64-linux-gnu-g++", "qemu-aarch64-static"):
        if shutil.which(needed) is None:
            tool.missing = f"{needed} is not installed"
            return tool
    print("make native-aarch64", file=sys.stderr)
    subprocess.run(["make", "native-aarch64"], cwd=ROOT, check=True, stdout=sys.stderr)
    return tool


@contextmanager
def forced_kernels(name: str) -> Iterator[None]:
    """Within the block, new models use this instruction set, by an environment variable."""
    before = os.environ.get("HORIZON_KERNELS")
    os.environ["HORIZON_KERNELS"] = name
    try:
        assert kernels_name() == name
        yield
    finally:
        del os.environ["HORIZON_KERNELS"]
        if before is not None:
            os.environ["HORIZON_KERNELS"] = before


def compare(case: Case, tools: list[Tool], table: Table) -> None:
    """Run one case in every executor."""
    steps = [(image ^ 128).view(np.int8) for image in case.images]
    case.wanted = [case.model.integers(torch.from_numpy(x)).numpy() for x in steps]
    if case.slow:
        name, output, graph = case.model.input_name, case.model.output_name, case.graph()
        nhwc = [x.transpose(0, 2, 3, 1).astype(np.int64) for x in steps]
        found = [run_reference(graph, {name: x})[output].transpose(0, 3, 1, 2) for x in nhwc]
        table.add(case, "reference", found)
    for program, file in case.files.items():
        for kernels in NATIVE:
            if kernels == "scalar" and not case.slow:
                continue
            for threads in THREADS:
                outputs: list[np.ndarray] | str = "this CPU does not have it"
                if kernels in available_kernels():
                    with forced_kernels(kernels):
                        model = Model(file, threads)
                        name, output = model.inputs[0].name, model.outputs[0].name
                        outputs = [model.run({name: image})[output] for image in case.images]
                table.add(case, f"runtime, {kernels}", outputs, program, threads)
    for tool in tools if case.slow else []:
        run_tool(case, tool, table)


def run_tool(case: Case, tool: Tool, table: Table) -> None:
    """Run every program and instruction set on the first pair, one process per core at a time."""
    jobs = [
        (program, kernels, threads)
        for program in case.files
        for kernels, counts in tool.kernels.items()
        for threads in counts
    ]

    def infer(job: tuple[str, str, int]) -> list[np.ndarray] | str:
        program, kernels, threads = job
        if tool.missing:
            return tool.missing
        return [tool.infer(case.files[program], case.images[0], kernels, threads)]

    with ThreadPoolExecutor(usable_cpus()) as pool:
        for job, found in zip(jobs, pool.map(infer, jobs), strict=True):
            table.add(case, f"{tool.name}, {job[1]}", found, job[0], job[2])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--size", type=int, nargs=2, default=(384, 512), metavar=("H", "W"))
    parser.add_argument("--json", type=Path, help="write the table to this file too")
    args = parser.parse_args()
    if args.pairs < 1 or any(side < 64 or side % 64 for side in args.size):
        parser.error("expected --pairs of 1 or more and --size of multiples of 64")
    started, load = time.perf_counter(), os.getloadavg()[0]
    size = (args.size[0], args.size[1])
    half = (-(-size[0] // 128) * 64, -(-size[1] // 128) * 64)
    pairs, source = image_pairs(args.pairs, size)
    large, small = ([fitted(pair, to) for pair in pairs] for to in (size, half))
    lite, _ = trained_model(Config.fromfile(CONFIG), "infer_cfg", "int_infer", LITE)
    assert isinstance(lite, IntegerModel)
    full = Network("full", *CALIBRATION).integer
    table, tools = Table(), [native_tool(), emulated_tool()]
    with tempfile.TemporaryDirectory() as name:
        quick = Case("full", full, large, False, Path(name))
        seconds = quick.compile()  # before anything else runs beside it
        compare(quick, tools, table)
        for case in (
            Case("lite", lite, large, True, Path(name)),
            Case("full", full, small[:1], True, Path(name)),
        ):
            case.compile()
            compare(case, tools, table)
    print_table([tuple(row.values()) for row in table.rows], COLUMNS)
    result = {
        "images": source,
        "machine": machine(torch.device("cpu")),
        "load before": load,
        "seconds": time.perf_counter() - started,
        "seconds to compile the full network": {"size": list(size), **seconds},
        "differing output integers": table.differing(),
        "skipped": sum(isinstance(row["differing"], str) for row in table.rows),
    }
    print(json_text(result, indent=2))
    if args.json:
        write_json(args.json, {**result, "rows": table.rows})
    return bool(table.differing())


if __name__ == "__main__":
    sys.exit(main())
