"""Compares the time of a QAT step with that of a training step of the float network.

``python -m benchmarks.qat_step [--batch-size N] [--size H W] [--rounds N] [--no-brevitas] ...``

The sides are the tutorial's full network with everything quantised, once for each value of
``qat_scale``; the float network; and, if the package ``brevitas`` is installed, the same network
with Brevitas' convolutions and ReLUs (see ``brevitas_pwcnet.py``). All sides start from the same
weights and have the same batch, loss and optimizer. They run in this process, in random order in
every round, because the state of caches and allocator depends on the previous step.

A step is forward, loss, backward and optimizer. Prints the median time of each side in float32 and
with bfloat16 autocast, and the medians of the rounds' ratios to the float step of the same
precision. There are two ratios: to the float network as it is trained, and to the float network
with batch normalisation folded, because QAT trains with it folded.
"""

from __future__ import annotations

import argparse
import copy
import importlib.metadata
import os
import random
import statistics
import sys
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.command import network_parser, run
from benchmarks.training_step import Side, losses, machine, smooth_pair, tutorial_network
from horizon.quantization import finish_calibration, prepare_calibration, prepare_qat
from horizon.quantization.qconfig import QAT_SCALES

WARM_UP = 2


def settled_network(batch: tuple[Tensor, list[Tensor]]) -> nn.Module:
    """The tutorial's network with random weights and activations of normal size in every layer.

    Its BN layers get the batch's statistics, because with the initial statistics the activations
    would vanish. The layers that give flow are scaled down, because a random flow of tens of pixels
    would warp everything out of the image.
    """
    torch.manual_seed(0)
    network = tutorial_network().to(batch[0].device).train()
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in layers:
        layer.momentum = 1.0
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if any(part in key for part in (".flow.", ".up_flow.", ".context.6.")):
                parameter.mul_(0.01)
        network({"img": batch[0]}, all_levels=True)
    for layer in layers:
        layer.momentum = 0.1
    return network


def fixed_point_network(network: nn.Module, image: Tensor, qat_scale: str) -> nn.Module:
    """A copy of ``network``, calibrated on ``image`` and prepared for training."""
    result: Any = copy.deepcopy(network)
    result.fuse_model()
    result.set_qconfig(qat_scale=qat_scale)
    prepare_calibration(result, inplace=True).eval()
    with torch.no_grad():
        result({"img": image})
    finish_calibration(result)
    return prepare_qat(result, inplace=True).train()


def make_sides(batch: tuple[Tensor, list[Tensor]], with_brevitas: bool) -> dict[str, Side]:
    network = settled_network(batch)
    folded: Any = copy.deepcopy(network)
    folded.fuse_model()
    networks = {"float": network, "float, BN folded": folded.train()}
    for choice in QAT_SCALES:
        networks[f"scales {choice}"] = fixed_point_network(network, batch[0], choice)
    if with_brevitas:
        from benchmarks.brevitas_pwcnet import brevitas_network

        networks["brevitas"] = brevitas_network(copy.deepcopy(network)).to(batch[0].device).train()
    return {name: _side(network) for name, network in networks.items()}


def _side(network: nn.Module) -> Side:
    return Side(network, lambda image, truth: losses(network, image, truth))


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    device = torch.device(arguments.device)
    height, width = arguments.size
    image, truth = smooth_pair(arguments.batch_size, height, width)
    batch = (image.to(device), [level.to(device) for level in truth])
    with_brevitas = arguments.brevitas and find_spec("brevitas") is not None
    if arguments.brevitas and not with_brevitas:
        print("brevitas: not installed, this side is left out", file=sys.stderr)
    sides = make_sides(batch, with_brevitas)
    load = os.getloadavg()[0]
    order = random.Random(0)
    times: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for round_ in range(arguments.rounds + WARM_UP):
        for precision in ("fp32", "bf16"):
            for name in order.sample(list(sides), len(sides)):
                seconds = sides[name].step(batch, amp=precision == "bf16")
                if round_ >= WARM_UP:
                    times.setdefault(precision, {}).setdefault(name, []).append(seconds)
        print(f"round {round_ + 1} of {arguments.rounds + WARM_UP}", end="\r", file=sys.stderr)
    return {
        "batch_size": arguments.batch_size,
        "size": [height, width],
        "rounds": arguments.rounds,
        "threads": torch.get_num_threads(),
        "device": str(device),
        "machine": machine(device),
        "torch": torch.__version__,
        "brevitas": importlib.metadata.version("brevitas") if with_brevitas else None,
        "load before": load,
        **{precision: summary(by_side) for precision, by_side in times.items()},
    }


def summary(times: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """Medians by the clock, and medians of the ratios within a round, by clock and CPU time."""

    def ratios(base: str, kind: int) -> dict[str, float]:
        return {
            name: statistics.median(
                own[kind] / other[kind] for own, other in zip(pairs, times[base], strict=True)
            )
            for name, pairs in sorted(times.items())
            if name != base
        }

    return {
        "seconds per step": {
            name: statistics.median(clock for clock, _ in pairs)
            for name, pairs in sorted(times.items())
        },
        "ratio to float": ratios("float", 0),
        "ratio to float by CPU time": ratios("float", 1),
        "ratio to float, BN folded": ratios("float, BN folded", 0),
    }


def main() -> None:
    parser = network_parser(__doc__ or "", 2, (256, 448), 9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--brevitas",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compare with Brevitas if it is installed",
    )
    run(parser, measure)


if __name__ == "__main__":
    main()
