"""Speed of depthwise convolutions compared with copies of as many bytes, on this CPU.

``python -m benchmarks.depthwise_speed`` prints, for each layer, the time of its instruction, the
time of a copy that reads and writes as many bytes, and the bandwidth of the instruction as a share
of that of the copy. The two alternate, so that other work on the machine affects both; the shortest
time of each counts. Maps have two sizes: those of MobileNetV2, which stay in the caches, and
``--bytes``.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine_use import cpu_name
from hat.data.files import write_json
from horizon import march
from horizon.compiler import compile_program
from horizon.hbir import Graph, Node, TensorInfo, verify
from horizon.hbm import Opcode, Program, to_bytes
from horizon.kernel_set import kernels_name
from horizon.runtime import Model

# (side, channels, stride) of the depthwise layers of MobileNetV2 for images of 224 x 224.
LAYERS = (
    (112, 32, 1),
    (112, 96, 2),
    (56, 144, 1),
    (56, 144, 2),
    (28, 192, 1),
    (28, 192, 2),
    (14, 384, 1),
    (14, 576, 1),
    (14, 576, 2),
    (7, 960, 1),
)
CHANNELS = (32, 64, 96, 144, 192, 384, 576, 960)
LAYER = "depthwise"


def layer_program(
    shape: tuple[int, int, int, int], stride: int, kernel: int = 3, seed: int = 0
) -> Program:
    """A program for the host of one depthwise layer with ReLU, int8 to int8."""
    rng = np.random.default_rng(seed)
    batch, height, width, channels = shape
    size = [(side - 1) // stride + 1 for side in (height, width)]
    values: dict[str, Any] = {
        "weight": rng.integers(-127, 128, (channels, kernel, kernel, 1), np.int8),
        "bias": rng.integers(-999, 1000, channels, np.int32),
        "multiplier": rng.integers(1 << 23, 1 << 24, channels),
        "shift": np.full(channels, 32),
        "stride": (stride, stride),
        "padding": (kernel // 2, kernel // 2),
        "dilation": (1, 1),
        "groups": channels,
        "lo": 0,
        "hi": 127,
    }
    tensors = {
        "x": TensorInfo("x", shape, "int8", (1.0,)),
        "y": TensorInfo("y", (batch, *size, channels), "int8", (1.0,)),
    }
    graph = Graph(LAYER, tensors, (Node("conv2d", LAYER, ("x",), "y", values),), ("x",), ("y",), {})
    verify(graph)
    return compile_program(graph, march.load("host"), "O2", input_type="int8").program


def _copy_seconds(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], repeats: int, pool: Executor
) -> float:
    """The seconds of a copy from each second array to the first, all at the same time."""

    def copy(pair: tuple[np.ndarray, np.ndarray]) -> None:
        for _ in range(repeats + 1):
            np.copyto(*pair)

    if len(pairs) > 1:
        started = time.perf_counter()
        list(pool.map(copy, pairs))
        return (time.perf_counter() - started) / (repeats + 1)
    np.copyto(*pairs[0])
    started = time.perf_counter()
    for _ in range(repeats):
        np.copyto(*pairs[0])
    return (time.perf_counter() - started) / repeats


def measure(
    shape: tuple[int, int, int, int], stride: int, rounds: int, threads: int, pool: Executor
) -> dict[str, Any]:
    """Shortest times in ``rounds`` of a layer and of a copy of as many bytes, on ``threads``."""
    program = layer_program(shape, stride)
    opcodes = [instruction.opcode for instruction in program.instructions]
    place = opcodes.index(Opcode.conv)
    model = Model(to_bytes(program), threads)
    rng = np.random.default_rng(1)
    inputs = {t.name: rng.integers(-128, 128, t.shape, np.int8) for t in model.inputs}
    moved = math.prod(shape) + sum(math.prod(t.shape) for t in model.outputs)
    share = max(1, moved // 2 // threads)
    pairs = [(np.zeros(share, np.uint8), np.ones(share, np.uint8)) for _ in range(threads)]
    repeats = max(1, int(2e5 / moved))  # a single copy is too short for the clock
    layer = copy = float("inf")
    for _ in range(rounds):
        _, counters = model.run_counted(inputs)
        layer = min(layer, counters.instruction_nanoseconds[place] * 1e-9)
        copy = min(copy, _copy_seconds(pairs, repeats, pool))
    return {
        "input": list(shape),
        "stride": stride,
        "microseconds": layer * 1e6,
        "copy microseconds": copy * 1e6,
        "share of copy bandwidth": copy / layer,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.depthwise_speed", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--bytes", type=int, default=64 << 20, help="of a map that no cache holds (%(default)s)"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    for name in ("rounds", "threads", "bytes"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}: expected 1 or more, found {getattr(arguments, name)}")
    cases = [((1, side, side, channels), stride) for side, channels, stride in LAYERS]
    for channels in CHANNELS:
        side = max(1, math.isqrt(arguments.bytes // channels))
        cases.append(((1, side, side, channels), 1))
    result: dict[str, Any] = {"cpu": cpu_name(), "kernels": kernels_name(), "layers": []}
    print(f"{result['cpu']}, {result['kernels']}, threads: {arguments.threads}")
    print(f"{'input':>16} stride  layer us   copy us  share of copy bandwidth")
    pool = ThreadPoolExecutor(arguments.threads)
    for shape, stride in cases:
        found = measure(shape, stride, arguments.rounds, arguments.threads, pool)
        result["layers"].append(found)
        shown = "x".join(map(str, shape[1:]))
        print(
            f"{shown:>16} {stride:>6} {found['microseconds']:>9.1f} "
            f"{found['copy microseconds']:>9.1f} {found['share of copy bandwidth']:>8.0%}",
            flush=True,
        )
    if arguments.json:
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
