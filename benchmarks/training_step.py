"""Compares the time of a training step of the full network with that of a plain formulation.

``python -m benchmarks.training_step [--batch-size N] [--size H W] [--threads N] [--json FILE]``

Both sides have the same weights, batch, loss and optimizer (Adam). They run in turn in this
process, so that other work on the machine affects both equally. A step is forward, loss, backward
and optimizer. Prints the median time of each side in float32 and with bfloat16 autocast, by the
clock and in CPU time, and the ratios. Other processes affect CPU time less, and with one thread
hardly at all. Also prints the distance of both sides' gradients, in every precision, from the plain
side's gradients in float64.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import hat.models  # noqa: F401  (registers the types below)
from benchmarks.command import network_parser, run
from benchmarks.machine_use import cpu_name
from benchmarks.plain_pwcnet import CHANNELS, LOSS_WEIGHTS, PlainPwcnet
from hat.registry import build_from_registry

LEVELS = (4, 8, 16, 32, 64)


def tutorial_network() -> nn.Module:
    shared = {
        "use_bn": True,
        "bn_kwargs": {},
        "pyr_lvls": 6,
        "flow_pred_lvl": 2,
        "act_type": nn.ReLU(),
    }
    head = {"type": "PwcnetHead", "in_channels": CHANNELS, "md": 4, "use_res": True}
    network: nn.Module = build_from_registry(
        {
            "type": "PwcnetTask",
            "backbone": {"type": "PwcNet", "out_channels": CHANNELS, **shared},
            "head": {**head, "use_dense": True, **shared},
            "loss": {"type": "LnNormLoss", "norm_order": 2, "power": 1, "reduction": "mean"},
            "loss_weights": LOSS_WEIGHTS,
        }
    )
    return network


def smooth_pair(images: int, height: int, width: int) -> tuple[Tensor, list[Tensor]]:
    """Smooth image pairs, and flow for every level."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(images, 6, height // 8, width // 8, generator=generator)
    image = nn.functional.interpolate(coarse, (height, width), mode="bicubic") / 2
    flow = 10 * torch.randn(images, 2, height // 64, width // 64, generator=generator)
    truth = [
        nn.functional.interpolate(flow, (height // s, width // s), mode="bilinear") for s in LEVELS
    ]
    return image, truth


def losses(task: Any, image: Tensor, truth: list[Tensor]) -> list[Tensor]:
    """The losses of the levels of a ``PwcnetTask``, which a training step adds up."""
    batch = {"img": image, "gt_flow_levels": truth}
    found: list[Tensor] = task.compute_losses(task(batch, all_levels=True), batch)["losses"]
    return found


class Side:
    """One formulation with its optimizer."""

    def __init__(
        self, network: nn.Module, losses: Callable[[Tensor, list[Tensor]], list[Tensor]]
    ) -> None:
        self.network, self.losses = network, losses
        self.optimizer = torch.optim.Adam(network.parameters(), lr=1e-6)

    def backward(self, batch: tuple[Tensor, list[Tensor]], *, amp: bool) -> None:
        self.optimizer.zero_grad()
        device = batch[0].device.type
        with torch.autocast(device, torch.bfloat16, enabled=amp):
            losses = self.losses(*batch)
        torch.stack(losses).sum().backward()

    def step(self, batch: tuple[Tensor, list[Tensor]], *, amp: bool) -> tuple[float, float]:
        """One training step: seconds by the clock and of CPU time in all threads."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.backward(batch, amp=amp)
        self.optimizer.step()
        if batch[0].is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - wall, time.process_time() - cpu

    def gradient(self) -> Tensor:
        named = sorted(self.network.named_parameters())
        return torch.cat([p.grad.double().flatten() for _, p in named if p.grad is not None])


def make_sides(device: torch.device) -> tuple[Side, Side]:
    torch.manual_seed(0)
    ours = tutorial_network().to(device)
    plain = PlainPwcnet().to(device)
    plain.load_state_dict(ours.state_dict())
    return (
        Side(ours, lambda image, truth: losses(ours, image, truth)),
        Side(plain, plain),
    )


def gradient_distances(device: torch.device) -> dict[str, dict[str, float]]:
    """Relative distance of the gradients from those of the plain side in float64.

    The layers that give flow are scaled down. Without that, untrained layers would predict a random
    flow of tens of pixels, and warping by it would amplify roundings on both sides too much.
    """
    image, truth = smooth_pair(2, 192, 256)
    gradients: dict[str, tuple[Tensor, Tensor]] = {}
    for name, (kind, amp) in {
        "float64": (torch.float64, False),
        "fp32": (torch.float32, False),
        "bf16": (torch.float32, True),
    }.items():
        sides = make_sides(device)
        batch = (image.to(device, kind), [level.to(device, kind) for level in truth])
        for side in sides:
            with torch.no_grad():
                for key, parameter in side.network.named_parameters():
                    if any(part in key for part in (".flow.", ".up_flow.", ".context.6.")):
                        parameter.mul_(0.01)
            side.network.to(kind)
            side.backward(batch, amp=amp)
        gradients[name] = (sides[0].gradient(), sides[1].gradient())
    exact = gradients["float64"][1]
    return {
        name: {
            side: ((gradient - exact).norm() / exact.norm()).item()
            for side, gradient in zip(("ours", "plain"), pair, strict=True)
        }
        for name, pair in gradients.items()
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    device = torch.device(arguments.device)
    height, width = arguments.size
    image, truth = smooth_pair(arguments.batch_size, height, width)
    batch = (image.to(device), [level.to(device) for level in truth])
    ours, plain = make_sides(device)
    runs = {
        "plain fp32": (plain, False),
        "fp32": (ours, False),
        "plain bf16": (plain, True),
        "bf16": (ours, True),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for round_ in range(arguments.rounds + 1):
        for name, (side, amp) in runs.items():
            seconds = side.step(batch, amp=amp)
            if round_:  # the first round warms up
                times[name].append(seconds)
        print(f"round {round_} of {arguments.rounds}", end="\r", file=sys.stderr, flush=True)
    return {
        "batch_size": arguments.batch_size,
        "size": [height, width],
        "threads": torch.get_num_threads(),
        "device": str(device),
        "machine": machine(device),
        "torch": torch.__version__,
        "load": os.getloadavg()[0],
        "by the clock": summary({name: [t[0] for t in pairs] for name, pairs in times.items()}),
        "by CPU time": summary({name: [t[1] for t in pairs] for name, pairs in times.items()}),
        "gradients: relative distance from plain float64": gradient_distances(device),
    }


def summary(times: dict[str, list[float]]) -> dict[str, Any]:
    """Medians of the times, and medians of the rounds' ratios."""

    def ratio(slow: str, fast: str) -> float:
        return statistics.median(a / b for a, b in zip(times[slow], times[fast], strict=True))

    return {
        "seconds per step": {name: statistics.median(t) for name, t in times.items()},
        "fp32 faster than plain fp32": ratio("plain fp32", "fp32"),
        "bf16 faster than plain fp32": ratio("plain fp32", "bf16"),
        "bf16 faster than plain bf16": ratio("plain bf16", "bf16"),
    }


def machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu_name()


def main() -> None:
    parser = network_parser(__doc__ or "", 2, (256, 448), 7)
    parser.add_argument("--device", default="cpu")
    run(parser, measure)


if __name__ == "__main__":
    main()
