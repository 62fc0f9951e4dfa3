"""Time of the compiled program beside other runtimes on the same network, and the CPU's limit.

``python -m benchmarks.runtime_speed [--size H W] [--rounds N] [--threads N] [--sizes] ...``

The tutorial's full network with random weights, calibrated on one smooth image pair, batch 1. In
one process and in an order that is drawn anew for every round: the program compiled for this
machine; ONNX Runtime and, where the package ``openvino`` is there, OpenVINO on the file with
QuantizeLinear and DequantizeLinear that this project exports of the same integers; the float
network in PyTorch, batch normalisation folded, in both memory formats; and a loop of VPDPBUSD on
registers, which nothing on this CPU can beat. Prints the median time of each, the median over the
rounds of the program's ratio to each, the time of every layer, and the peak memory of
``hrt_model_exec``. Stops if the program's integers are not those of the integer model.

``--sizes`` adds the program's time at five image sizes.
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

from benchmarks.command import network_parser, run
from benchmarks.program_tables import by_kind, image_sizes, layers, peak_memory
from benchmarks.runtimes import (
    Network,
    OpenVino,
    Run,
    float_convolutions,
    host_program,
    onnx_runtime,
    pytorch,
    with_openvino,
)
from benchmarks.training_step import machine
from benchmarks.vnni_peak import VnniPeak, available
from hat.cli.common import print_table
from horizon import hbm
from horizon.perf.work import products
from horizon.runtime import Model, kernels_name

WARM_UP = 3
COLUMNS = ("layer", "instruction", "output", "ms", "MMAC", "GMAC/s", "share of peak")
PROGRAM = "host program"
FLOAT = ("PyTorch fp32", "PyTorch fp32, channels last")


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    threads = arguments.threads
    network = Network(*arguments.size)
    program = network.compiled()
    work = sum(products(i) for i in program.instructions)
    model = Model(hbm.to_bytes(program), threads)
    image = network.image.numpy()
    with tempfile.TemporaryDirectory() as folder:
        qdq, file = Path(folder) / "qdq.onnx", Path(folder) / "model.hbm"
        network.write_qdq(qdq)
        hbm.write(program, file)
        sides: dict[str, Run] = {
            PROGRAM: host_program(model, network.board_image()),
            "ONNX Runtime int8": onnx_runtime(qdq, image, threads),
            FLOAT[0]: pytorch(network.floating, network.image, False),
            FLOAT[1]: pytorch(network.floating, network.image, True),
        }
        openvino = OpenVino(qdq, image, threads) if with_openvino() else None
        if openvino is not None:
            sides["OpenVINO int8"] = openvino
        differences = check(network, model, sides)
        peak = VnniPeak() if available() else None
        times, peaks = timed(sides, peak, threads, arguments.rounds)
        memory = peak_memory(file, network.board_image(), Path(folder))
    result = {
        "size": list(arguments.size),
        "rounds": arguments.rounds,
        "threads": threads,
        "machine": machine(torch.device("cpu")),
        "kernels": kernels_name(),
        "load before": os.getloadavg()[0],
        "GMAC": work / 1e9,
        "ms": {name: 1e3 * statistics.median(values) for name, values in times.items()},
        "ratio of the program": ratios(times),
        "GMAC/s of the program": work / statistics.median(times[PROGRAM]) / 1e9,
        "mean difference from the integer model, px": differences,
    }
    if openvino is not None:
        kinds = openvino.kinds()
        result["OpenVINO"] = {"version": openvino.version, "executed": kinds}
        result["OpenVINO"]["convolutions not in int8"] = float_convolutions(kinds)
    if peak is not None:
        result["GMAC/s of VPDPBUSD on registers"] = statistics.median(peaks) / 1e9
        result["share of that"] = statistics.median(
            work / own / limit for own, limit in zip(times[PROGRAM], peaks, strict=True)
        )
    limit = statistics.median(peaks) if peaks else None
    rows = layers(program, model, network.board_image(), arguments.rounds, limit)
    print_table([tuple(row.get(c, "") for c in COLUMNS) for row in rows], COLUMNS)
    result["by instruction"], result["layers"] = by_kind(rows), rows
    result["hrt_model_exec"] = memory
    if arguments.sizes:
        result["image sizes"] = image_sizes(network, threads, arguments.rounds)
    return result


def check(network: Network, model: Model, sides: dict[str, Run]) -> dict[str, float]:
    """Mean distance of every side from the integer model; exits unless the program's is none."""
    expected = network.integer.integers(network.image).numpy()
    found = model.run({model.inputs[0].name: network.board_image()})[model.outputs[0].name]
    different = int(np.count_nonzero(found != expected))
    print(f"program and integer model: {different} different integers", file=sys.stderr)
    if different:
        sys.exit(1)
    flow = sides[PROGRAM]()
    return {name: float(np.abs(side() - flow).mean()) for name, side in sides.items()}


def timed(
    sides: dict[str, Run], peak: VnniPeak | None, threads: int, rounds: int
) -> tuple[dict[str, list[float]], list[float]]:
    """Seconds of every side, and the peak in MAC/s, in every round."""
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
            sides[name]()  # its weights into the caches, and the side before's threads to rest
            started = time.perf_counter()
            sides[name]()
            if round_ >= WARM_UP:
                times[name].append(time.perf_counter() - started)
        print(f"round {round_ + 1} of {rounds + WARM_UP}", end="\r", file=sys.stderr)
    return times, peaks


def ratios(times: dict[str, list[float]]) -> dict[str, float]:
    """The program's time over each side's, of float over the better one's."""

    def ratio(other: str) -> float:
        pairs = zip(times[PROGRAM], times[other], strict=True)
        return statistics.median(own / theirs for own, theirs in pairs)

    worse = max(FLOAT, key=ratio)
    best = {name: ratio(name) for name in times if name not in (PROGRAM, *FLOAT)}
    best["PyTorch fp32, the quicker format"] = ratio(worse)
    return {f"to {name}": value for name, value in best.items()}


def main() -> None:
    parser = network_parser(__doc__ or "", None, (384, 512), 15)
    parser.add_argument("--sizes", action="store_true", help="time five image sizes as well")
    run(parser, measure)


if __name__ == "__main__":
    main()
