"""Speed of torchvision's classifiers in this project's executor, OpenVINO and ONNX Runtime.

``python -m benchmarks.classifier_speed [--networks NAME ...] [--rounds N] [--threads N]``

Each network has random weights (times do not depend on their values), takes one image of 224x224
and is quantised without changes (``prepare_calibration``). In every round run, one after the other:
its program for this CPU, OpenVINO and ONNX Runtime on its QDQ export, and the float network in
PyTorch. The figures are medians. Run nothing else at the same time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from benchmarks.machine_use import cpu_name
from benchmarks.runtimes import OpenVino, Run, onnx_runtime, with_openvino
from hat.cli.common import print_table
from hat.data.files import write_json
from horizon import hbm, march
from horizon.compiler import compile_program
from horizon.cpus import usable_cpus
from horizon.hbir import Graph
from horizon.hbir.onnx_qdq import export_qdq
from horizon.quantization import convert, finish_calibration, prepare_calibration, trace
from horizon.runtime import Model, kernels_name

NETWORKS = ("resnet18", "mobilenet_v2", "shufflenet_v2_x1_0", "efficientnet_b0")
SIDE = 224
PROGRAM = "program"


def quantised(name: str) -> tuple[torch.nn.Module, Graph, np.ndarray]:
    """The float network, its program graph, and an image (1, 3, H, W) float32."""
    torch.manual_seed(0)
    network = getattr(torchvision.models, name)(weights=None)
    images = torch.rand(4, 3, SIDE, SIDE) * 2 - 1
    with torch.no_grad():
        for _ in range(2):
            network.train()(images)  # statistics with which activations do not vanish
    prepared = prepare_calibration(network.eval(), images[:1], quiet=True)
    prepared(images)
    graph = trace(convert(finish_calibration(prepared)))
    return network, graph, images[:1].numpy()


def sides_of(name: str, threads: int, folder: Path) -> dict[str, Run]:
    """Functions that run one image, by name; the program first."""
    network, graph, image = quantised(name)
    export_qdq(graph, folder / "qdq.onnx")
    program = compile_program(graph, march.load("host"), "O2").program
    model = Model(hbm.to_bytes(program), threads)
    steps = np.floor(image / np.float32(graph.tensors[graph.inputs[0]].scales[0]) + 0.5)
    pixels = (steps.clip(-128, 127) + 128).astype(np.uint8)

    @torch.inference_mode()
    def pytorch() -> np.ndarray:
        result: np.ndarray = network(torch.from_numpy(image)).numpy()
        return result

    sides: dict[str, Run] = {
        PROGRAM: lambda: model.run({graph.inputs[0]: pixels})[graph.outputs[0]],
        "ONNX Runtime int8": onnx_runtime(folder / "qdq.onnx", image, threads),
        "PyTorch fp32": pytorch,
    }
    if with_openvino():
        sides["OpenVINO int8"] = OpenVino(folder / "qdq.onnx", image, threads, "f32")
    return sides


def measure(name: str, threads: int, rounds: int) -> dict[str, Any]:
    """Median ms of each side, and the ratio of the program's to each."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        sides = sides_of(name, threads, Path(folder))
        times: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(rounds + 1):
            for side, run in sides.items():
                seconds = []
                for _ in range(5):
                    started = time.perf_counter()
                    run()
                    seconds.append(time.perf_counter() - started)
                if number:  # the first round warms up
                    times[side].append(min(seconds))
    ms = {side: 1e3 * statistics.median(values) for side, values in times.items()}
    ratios = {
        side: statistics.median(
            mine / other for mine, other in zip(times[PROGRAM], values, strict=True)
        )
        for side, values in times.items()
        if side != PROGRAM
    }
    return {"network": name, "ms": ms, "ratio of the program": ratios}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=usable_cpus())
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    args = parser.parse_args()
    if min(args.rounds, args.threads) < 1:
        parser.error("expected --rounds and --threads of 1 or more")
    load = os.getloadavg()[0]
    found = [measure(name, args.threads, args.rounds) for name in args.networks]
    others = list(found[0]["ratio of the program"])
    rows = [
        (
            one["network"],
            f"{one['ms'][PROGRAM]:.2f}",
            *(f"{one['ratio of the program'][side]:.2f}" for side in others),
        )
        for one in found
    ]
    print_table(rows, ("network", "program, ms", *(f"to {side}" for side in others)))
    if args.json:
        about = {"cpu": cpu_name(), "kernels": kernels_name(), "threads": args.threads}
        write_json(args.json, {**about, "load before": load, "networks": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
