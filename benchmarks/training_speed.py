"""Samples per second in training: the first lite network, and the present one.

``python -m benchmarks.training_speed [--size H W] [--batch-size N] [--rounds N] [--json FILE]``

Each side takes steps (forward, loss, backward, AdamW) on random pairs, without data loading. A side
is one or two processes. The sides run in turns; ratios are those within one turn:

  one process, two threads      the first network, cost volume and warp by torch's operators
  two processes, one thread     the same
  two processes, one thread     the present network, with compiled cost volume and warp

The figures by CPU time are valid even if the machine does other work at the same time. They are the
pairs per second of CPU time of a process, times its number of processes or threads.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.command import network_parser, run
from hat.config import Config
from hat.registry import build_from_registry

FOLDER = "configs/opticalflow_pred/pwcnet"
FIRST, TODAY = (f"{FOLDER}/pwcnet_lite_{name}.py" for name in ("flyingchairs", "generated"))


@dataclass(frozen=True)
class Side:
    """One way to train.

    Attributes:
        compiled: use the compiled cost volume and warp, otherwise torch's operators.
    """

    name: str
    config: str
    processes: int
    threads: int
    compiled: bool


SIDES = (
    Side("first network, 1 process of 2 threads", FIRST, 1, 2, False),
    Side("first network, 2 processes of 1 thread", FIRST, 2, 1, False),
    Side("today's network, 2 processes of 1 thread", TODAY, 2, 1, True),
)


def train(side: Side, size: tuple[int, int], batch_size: int, steps: int) -> tuple[float, float]:
    """Seconds of the fastest of ``steps`` steps, by the clock and by CPU time."""
    torch.set_num_threads(side.threads)
    torch.manual_seed(0)
    model = build_from_registry(Config.fromfile(side.config).model, "model").train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    height, width = size
    levels = range(model.flow_pred_lvl, model.pyr_lvls + 1)
    batch = {
        "img": torch.randn(batch_size, 6, height, width),
        "gt_flow_levels": [torch.randn(batch_size, 2, height >> n, width >> n) for n in levels],
    }
    times = []
    suits = (lambda *maps: True) if side.compiled else (lambda *maps: False)
    with (
        patch("horizon.nn.correlation.suits", suits),
        patch("horizon.nn.grid_sample.suits", suits),
    ):
        for _ in range(steps + 1):
            started = time.perf_counter(), time.process_time()
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16):
                losses = model.compute_losses(model(batch, all_levels=True), batch)["losses"]
            torch.stack(losses).sum().backward()
            optimizer.step()
            times.append((time.perf_counter() - started[0], time.process_time() - started[1]))
    clock, cpu = zip(*times[1:], strict=True)
    return min(clock), min(cpu)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    size, batch = tuple(arguments.size), arguments.batch_size
    found: dict[str, dict[str, list[float]]] = {
        side.name: {"by the clock": [], "by CPU time": []} for side in SIDES
    }
    for _ in range(arguments.rounds):
        for side in SIDES:
            tasks = [(side, size, batch, arguments.steps)] * side.processes
            with multiprocessing.get_context("spawn").Pool(side.processes) as pool:
                times = pool.starmap(train, tasks)
            workers = side.processes * side.threads
            clock = batch * side.processes / max(clock for clock, _ in times)
            cpu = batch * workers / statistics.mean(cpu for _, cpu in times)
            found[side.name]["by the clock"].append(clock)
            found[side.name]["by CPU time"].append(cpu)
    today = found[SIDES[-1].name]
    return {
        "size": size,
        "batch size": batch,
        "samples per second": {
            name: {how: statistics.median(values) for how, values in sides.items()}
            for name, sides in found.items()
        },
        "today's network, times as many": {
            side.name: {
                how: statistics.median(
                    a / b for a, b in zip(today[how], found[side.name][how], strict=True)
                )
                for how in today
            }
            for side in SIDES[:-1]
        },
    }


def main() -> None:
    parser = network_parser(__doc__ or "", 8, (256, 256), 3)
    parser.add_argument("--steps", type=int, default=8, help="of a side in each round")
    run(parser, measure)


if __name__ == "__main__":
    main()
