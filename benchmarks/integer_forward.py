"""Time of the integer network on the CPU against that of the float network.

``python -m benchmarks.integer_forward [--size H W] [--rounds N] [--threads N] [--json FILE]``

One side is the tutorial's full network with random weights, calibrated on one smooth image pair,
converted to a program graph and run by ``IntegerModel``. The other sides are the float network in
evaluation mode, as it is and with its batch normalisation folded. All sides run in this process on
the same pair, in random order in every round. Prints the median time of each side and the median of
the rounds' ratios, by the clock and in CPU time. Also checks that the integers of the program are
those of the converted model.
"""

from __future__ import annotations

import argparse
import copy
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.command import network_parser, run
from benchmarks.qat_step import settled_network
from benchmarks.training_step import machine, smooth_pair
from horizon.quantization import (
    IntegerModel,
    convert,
    finish_calibration,
    output_integers,
    prepare_calibration,
    trace,
)

WARM_UP = 2


def make_sides(image: Tensor, network: Any = None) -> dict[str, Callable[[Any], Tensor]]:
    """Of a float network in evaluation mode, None: the tutorial's with random weights."""
    if network is None:
        network = settled_network(smooth_pair(2, image.shape[2], image.shape[3])).eval()
    folded = copy.deepcopy(network)
    folded.fuse_model()
    prepared = copy.deepcopy(folded)
    prepared.set_qconfig()
    prepare_calibration(prepared, inplace=True).eval()
    prepared({"img": image})
    converted: nn.Module = convert(finish_calibration(prepared), inplace=True)
    program = IntegerModel(trace(converted))
    (expected,) = output_integers(converted, {"img": image})
    different = int((program.integers(image) != expected).sum())
    print(f"program and converted model: {different} different integers", file=sys.stderr)
    if different:
        sys.exit(1)
    return {"float": network, "float, BN folded": folded, "integer": program}


@torch.no_grad()
def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    height, width = arguments.size
    image, _ = smooth_pair(arguments.batch_size, height, width)
    sides = make_sides(image)
    load = os.getloadavg()[0]
    order = random.Random(0)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for round_ in range(arguments.rounds + WARM_UP):
        for name in order.sample(list(sides), len(sides)):
            side = sides[name]
            clock, cpu = time.perf_counter(), time.process_time()
            side({"img": image})
            if round_ >= WARM_UP:
                times[name].append((time.perf_counter() - clock, time.process_time() - cpu))

    def ratios(kind: int) -> dict[str, float]:
        return {
            f"to {base}": statistics.median(
                own[kind] / other[kind]
                for own, other in zip(times["integer"], times[base], strict=True)
            )
            for base in times
            if base != "integer"
        }

    return {
        "batch_size": arguments.batch_size,
        "size": [height, width],
        "rounds": arguments.rounds,
        "threads": torch.get_num_threads(),
        "machine": machine(torch.device("cpu")),
        "torch": torch.__version__,
        "load before": load,
        "seconds": {
            name: statistics.median(clock for clock, _ in pairs) for name, pairs in times.items()
        },
        "ratio of integer": ratios(0),
        "ratio of integer by CPU time": ratios(1),
    }


def main() -> None:
    parser = network_parser(__doc__ or "", 1, (384, 512), 15)
    run(parser, measure)


if __name__ == "__main__":
    main()
