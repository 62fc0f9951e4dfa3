"""Compares the time of a compiled program with other runtimes and with the CPU's limits.

``python -m benchmarks.runtime_speed [--network full|lite] [--kernels NAME] [--size H W] [--sizes]``

The network is the tutorial's full network with random weights, or the shipped lite network,
calibrated on one smooth image pair; the batch is 1. In one process, in random order in every round,
run

- the program compiled for this machine, on all threads and on one;
- ONNX Runtime and, if the package ``openvino`` is installed, OpenVINO, both on this project's QDQ
  ONNX export of the same network;
- OpenVINO on the float network in bfloat16;
- the float network in PyTorch, with batch normalisation folded, in both memory formats;
- OpenCV's DIS;
- a loop of the multiplying instruction on registers only, which gives the peak of this CPU.

``--kernels`` forces an instruction set for the program (``HORIZON_KERNELS``) and for OpenVINO.
``--sizes`` adds the program's time at six image sizes. Prints the median time of each side, the
median of the program's ratios to it, the time of every instruction beside its bound, and the peak
memory of ``hrt_model_exec``. Stops if the program's integers are not those of the integer model.
``python -m benchmarks.cpu_speed`` runs all combinations for one CPU.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.bandwidth import Bandwidth
from benchmarks.command import network_parser, run
from benchmarks.peaks import Peak, peak_of
from benchmarks.program_tables import by_kind, image_sizes, layers, peak_memory, products_share
from benchmarks.runtimes import (
    NETWORKS,
    Network,
    OpenVino,
    Run,
    dense_inverse_search,
    float_convolutions,
    host_program,
    onnx_runtime,
    pytorch,
    with_openvino,
)
from benchmarks.training_step import machine
from hat.cli.common import print_table
from horizon import hbm
from horizon.perf.work import products
from horizon.runtime import Model, available_kernels, kernels_name

WARM_UP = 3
SETTLING_SECONDS = 0.1
COLUMNS = ("layer", "instruction", "output", "ms", "MMAC", "KB", "bound ms", "of bound")
PROGRAM, ONE_THREAD = "host program", "host program, one thread"
FLOAT = ("PyTorch fp32", "PyTorch fp32, channels last")
OPENVINO = {"OpenVINO int8": "bf16", "OpenVINO int8, the rest f32": "f32"}
OPENVINO_BF16 = "OpenVINO bf16"
SAME_SET = {"avx512": "AVX512_CORE_FP16", "avxvnni": "AVX2_VNNI", "avx2": "AVX2"}
"""The most that oneDNN, which OpenVINO computes with, may use beside our kernels of that name."""


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    threads = arguments.threads
    network = Network(arguments.network, *arguments.size)
    program = network.compiled()
    work = sum(products(i) for i in program.instructions)
    image, board = network.image.numpy(), network.board_image()
    model, alone = (Model(hbm.to_bytes(program), count) for count in (threads, 1))
    with tempfile.TemporaryDirectory() as folder:
        qdq, floating, file = (Path(folder) / name for name in ("qdq.onnx", "f.onnx", "model.hbm"))
        network.write_qdq(qdq)
        hbm.write(program, file)
        sides: dict[str, Run] = {
            PROGRAM: host_program(model, board),
            ONE_THREAD: host_program(alone, board),
            "ONNX Runtime int8": onnx_runtime(qdq, image, threads),
            FLOAT[0]: pytorch(network.floating, network.image, False),
            FLOAT[1]: pytorch(network.floating, network.image, True),
            "OpenCV DIS medium": dense_inverse_search(image, threads),
        }
        openvino: OpenVino | None = None
        if with_openvino():
            network.write_float(floating)
            wanted = {name: (qdq, precision) for name, precision in OPENVINO.items()}
            for name, (path, precision) in (wanted | {OPENVINO_BF16: (floating, "bf16")}).items():
                try:
                    side = OpenVino(path, image, threads, precision)
                except RuntimeError as error:  # not every instruction set has every primitive
                    reason = str(error).strip().splitlines()[-1]
                    print(f"{name}: left out, it cannot be compiled: {reason}", file=sys.stderr)
                    continue
                sides[name], openvino = side, openvino or side
        differences = check(network, model, sides)
        peak = peak_of(kernels_name())
        times, peaks = timed(sides, peak, threads, arguments.rounds)
        memory = peak_memory(file, board, Path(folder))
    result = {
        "network": arguments.network,
        "size": list(arguments.size),
        "rounds": arguments.rounds,
        "threads": threads,
        "machine": machine(torch.device("cpu")),
        "kernels": kernels_name(),
        "load before": os.getloadavg()[0],
        "GMAC": work / 1e9,
        "ms": {name: 1e3 * statistics.median(values) for name, values in times.items()},
        "ratio of the program": ratios(times),
        "one thread to all": statistics.median(
            one / all_ for one, all_ in zip(times[ONE_THREAD], times[PROGRAM], strict=True)
        ),
        "GMAC/s of the program": work / statistics.median(times[PROGRAM]) / 1e9,
        "mean difference from the program, px": differences,
    }
    if openvino is not None:
        kinds = openvino.kinds()
        result["OpenVINO"] = {"version": openvino.version, "executed": kinds}
        result["OpenVINO"]["convolutions not in int8"] = float_convolutions(kinds)
    limit = statistics.median(peaks) if peaks else None
    rows = layers(program, model, board, arguments.rounds, limit, Bandwidth(threads))
    print_table(
        [tuple("" if (v := row[c]) is None else v for c in COLUMNS) for row in rows], COLUMNS
    )
    if peak is not None and limit is not None:
        result[f"GMAC/s of {peak.loop.name} on registers"] = limit / 1e9
        result[f"GMAC/s of {peak.loop.name} on registers, one thread"] = (
            max(peak.macs_per_second(1) for _ in range(5)) / 1e9
        )
        result["share of that"] = work / statistics.median(times[PROGRAM]) / limit
        result["share of that, convolutions"] = products_share(rows, limit)
        result["share of that, the twenty largest"] = products_share(rows, limit, 20)
    result["by instruction"], result["layers"] = by_kind(rows), rows
    result["hrt_model_exec"] = memory
    if arguments.sizes:
        result["image sizes"] = image_sizes(network, threads, arguments.rounds)
    return result


def check(network: Network, model: Model, sides: dict[str, Run]) -> dict[str, float]:
    """Mean distance of every side from the program. Exits if the program's integers are wrong."""
    expected = network.integer.integers(network.image).numpy()
    found = model.run({model.inputs[0].name: network.board_image()})[model.outputs[0].name]
    different = int(np.count_nonzero(found != expected))
    print(f"program and integer model: {different} different integers", file=sys.stderr)
    if different:
        sys.exit(1)
    flow = sides[PROGRAM]()
    return {name: float(np.abs(side() - flow).mean()) for name, side in sides.items()}


def timed(
    sides: dict[str, Run], peak: Peak | None, threads: int, rounds: int
) -> tuple[dict[str, list[float]], list[float]]:
    """The seconds of every side and the peak in MAC/s, for every round."""
    order = random.Random(0)
    times: dict[str, list[float]] = {name: [] for name in sides}
    peaks: list[float] = []
    names = [*sides, *(["peak"] if peak is not None else [])]
    for round_ in range(rounds + WARM_UP):
        for name in order.sample(names, len(names)):
            if name == "peak":
                assert peak is not None
                rate = peak.macs_per_second(threads)
                if round_ >= WARM_UP:
                    peaks.append(rate)
                continue
            settle(sides[name])
            started = time.perf_counter()
            sides[name]()
            if round_ >= WARM_UP:
                times[name].append(time.perf_counter() - started)
        print(f"round {round_ + 1} of {rounds + WARM_UP}", end="\r", file=sys.stderr)
    return times, peaks


def settle(side: Run) -> None:
    """Run a side until its weights are in the caches and the threads of the side before sleep.

    Threads of other runtimes wait actively for some milliseconds after their work; as long as they
    do, a network that takes two milliseconds needs twice its time.
    """
    end = time.perf_counter() + SETTLING_SECONDS
    side()
    while time.perf_counter() < end:
        side()


def ratios(times: dict[str, list[float]]) -> dict[str, float]:
    """The program's time over that of each side; for float, over that of the faster format."""

    def ratio(other: str) -> float:
        pairs = zip(times[PROGRAM], times[other], strict=True)
        return statistics.median(own / theirs for own, theirs in pairs)

    worse = max(FLOAT, key=ratio)
    ours = (PROGRAM, ONE_THREAD)
    best = {name: ratio(name) for name in times if name not in (*ours, *FLOAT, *OPENVINO)}
    quicker = [name for name in OPENVINO if name in times]
    if quicker:
        best["OpenVINO int8, the quicker precision of the rest"] = max(map(ratio, quicker))
    best["PyTorch fp32, the quicker format"] = ratio(worse)
    return {f"to {name}": value for name, value in best.items()}


def main() -> None:
    parser = network_parser(__doc__ or "", None, (384, 512), 15)
    parser.add_argument("--network", choices=NETWORKS, default="full")
    parser.add_argument("--kernels", choices=available_kernels(), default=kernels_name())
    parser.add_argument("--sizes", action="store_true", help="time six image sizes as well")
    kernels = parser.parse_args().kernels
    if kernels != kernels_name():
        os.environ["HORIZON_KERNELS"] = kernels
    if kernels in SAME_SET:  # read when the library is loaded
        os.environ["ONEDNN_MAX_CPU_ISA"] = SAME_SET[kernels]
    run(parser, measure)


if __name__ == "__main__":
    main()
