"""The executor and the reference give the same integers: every kernel set, any number of threads.

Random programs have the channel counts, sizes, windows and types that leave tails in vectors, and
inputs at the limits of their types; multipliers of 2^23 make ties. The small network of ``models/``
runs on real image pairs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import horizon.march
from hat.data.image_io import read_image
from hat.data.transforms.yuv import board_image
from hat.engine.convert import LoadIntegerModel
from horizon import hbm
from horizon.compiler import compile_program
from horizon.compiler.verify import verify_program
from horizon.errors import CapacityError
from horizon.hbir import Graph, resized
from horizon.hbir.reference import run
from horizon.hbm.records import Program
from horizon.march import Machine
from horizon.runtime import available_kernels
from tests.conftest import ROOT
from tests.horizon.compiler.extreme_graphs import random_graph, random_inputs
from tests.horizon.compiler.interpreter import to_file
from tests.shared_data import shared_data

KINDS = ("any", "extreme", "lowest")
LEVELS = ("O0", "O1", "O2", "O3")
# Small graphs do not fill 256 KB; in 24 KB they are tiled too.
SMALL_SRAM = 24 * 1024
GRAPHS = range(1010, 1050)
CHECKPOINT = ROOT / "models" / "pwcnet_lite" / "int_infer-checkpoint-best.pth.tar"
FRAMES = {
    (64, 64): ("frames", "img001.jpg", "img002.jpg"),
    (64, 320): ("sintel/alley_1_clean", "frame_0002.png", "frame_0003.png"),
    (192, 256): ("FlyingChairs/FlyingChairs_release/data", "00001_img1.ppm", "00001_img2.ppm"),
}


def machines() -> list[Machine]:
    edge = horizon.march.load("edge256")
    return [horizon.march.load("host"), edge, replace(edge, name="small", sram_bytes=SMALL_SRAM)]


def write_case(
    file: Path,
    program: Program,
    runs: list[tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]],
) -> None:
    """A program, and inputs and expected outputs as its file has them, for the worker."""
    hbm.write(program, file.with_suffix(".hbm"))
    arrays = {}
    for index, (values, expected) in enumerate(runs):
        for name, array in to_file(program, values).items():
            arrays[f"in {index} {name}"] = array
        layout = {tensor.name: tensor.layout.name for tensor in program.outputs}
        for name, array in expected.items():
            whole = array.transpose(0, 3, 1, 2) if layout[name] == "nchw" else array
            arrays[f"out {index} {name}"] = whole
    np.savez(file.with_suffix(".npz"), **arrays)


@pytest.fixture(scope="session")
def random_cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each graph for each machine, the levels in turn; the verifier has passed all programs."""
    folder = tmp_path_factory.mktemp("random")
    for number, seed in enumerate(GRAPHS):
        graph = random_graph(seed, count=6 + seed % 9)
        rng = np.random.default_rng(seed)
        runs = []
        for kind in KINDS:
            values = random_inputs(graph, rng, kind)
            runs.append((values, run(graph, values)))
        for place, machine in enumerate(machines()):
            level = LEVELS[(number + place) % len(LEVELS)]
            try:
                compiled = compile_program(graph, machine, level, ("uint8", "int8")[number % 2])
            except CapacityError:
                continue  # too many channels for a machine with little memory
            verify_program(compiled)
            write_case(folder / f"{seed}-{machine.name}-{level}", compiled.program, runs)
    return folder


@pytest.fixture(scope="session")
def network_cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network in several sizes, for two machines, on real pairs."""
    folder = tmp_path_factory.mktemp("network")
    network: Graph = LoadIntegerModel(CHECKPOINT)().graph
    for size, (where, *names) in FRAMES.items():
        graph = resized(network, 1, *size)
        images = [read_image(shared_data(*where.split("/"), name)) for name in names]
        values = {graph.inputs[0]: pair(images, size)}
        runs = [(values, run(graph, values))]
        for machine in machines()[:2]:
            level = "O3" if machine.constants_in_place else "O2"
            compiled = compile_program(graph, machine, level)
            verify_program(compiled)
            file = folder / f"{size[0]}x{size[1]}-{machine.name}-{level}"
            write_case(file, compiled.program, runs)
    return folder


def pair(images: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """The middle of two images as the network's input, int64 (1, H, W, 6) in -128..127."""
    top, left = ((images[0].shape[axis] - size[axis]) // 2 for axis in (0, 1))
    parts = [image[top : top + size[0], left : left + size[1]] for image in images]
    board = board_image(np.concatenate(parts, axis=2))
    return board[None].transpose(0, 2, 3, 1).astype(np.int64) - 128


@pytest.mark.parametrize("kernels", available_kernels())
def test_no_integer_of_random_programs_differs(kernels: str, random_cases: Path) -> None:
    count = len(list(random_cases.glob("*.hbm")))
    assert count >= 0.95 * len(GRAPHS) * len(machines())
    check(kernels, random_cases, count)


@pytest.mark.parametrize("kernels", available_kernels())
def test_no_integer_of_the_network_on_real_pairs_differs(kernels: str, network_cases: Path) -> None:
    check(kernels, network_cases, len(FRAMES) * 2)


def test_one_wrong_integer_is_found(tmp_path: Path) -> None:
    graph = random_graph(0)
    values = random_inputs(graph, np.random.default_rng(0), "any")
    expected = run(graph, values)
    expected[graph.outputs[0]].flat[-1] += 1
    compiled = compile_program(graph, horizon.march.load("host"))
    write_case(tmp_path / "case", compiled.program, [(values, expected)])
    found = work("scalar", tmp_path)["differences"]
    assert len(found) == 3
    assert all(f"output {graph.outputs[0]}: 1 of " in line for line in found)


def check(kernels: str, folder: Path, cases: int) -> None:
    assert work(kernels, folder) == {"kernels": kernels, "cases": cases, "differences": []}


def work(kernels: str, folder: Path) -> dict[str, Any]:
    """What the worker prints; a process of its own, for kernels are chosen once in a process."""
    command = [sys.executable, "-m", "tests.csrc.exact_worker", str(folder)]
    environment = {**os.environ, "HORIZON_KERNELS": kernels}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
