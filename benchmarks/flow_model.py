"""Time of ``horizon_flow.FlowModel``: to the first flow, for a pair, and for a frame of a video.

``python -m benchmarks.flow_model [--sizes HxW ...] [--rounds N] [--threads N] [--json FILE]``

First flow: the time of a new Python process that computes one flow, from its start to its end, with
an empty cache and with the program in the cache. Then these run in turn, in one process: a call
with two images; a frame of ``video``; and the programs alone, both that of pairs, which computes
the features of both images, and that of videos, which keeps the features of the previous frame.

Times are lower quartiles over the rounds; ratios are medians of the rounds' ratios. Each figure is
given by the clock and as CPU time of the process. Other work on the machine affects CPU time less:
with ``--threads 1``, where no thread waits for another, it is the time on an idle machine. Stops
unless a video's flow equals the flow of its pairs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.training_step import machine
from hat.cli.common import print_table
from hat.data.files import write_json
from horizon.cpus import usable_cpus
from horizon.runtime import kernels_name
from horizon_flow import FlowModel
from horizon_flow.colour import fill_planes
from horizon_flow.sources import find_source
from horizon_flow.stream import PlaneStream

SIZES = ("384x512", "480x640", "1080x1920")
FIRST_ROUNDS = 5
FIRST = """
import numpy
from horizon_flow import FlowModel
image = numpy.zeros(({height}, {width}, 3), numpy.uint8)
FlowModel(threads={threads})(image, image)
"""


class Times(NamedTuple):
    """Seconds, by the clock and of the CPU."""

    clock: float
    cpu: float


def first_flow(size: tuple[int, int], threads: int, folder: Path) -> Times:
    """Seconds of a process that computes one flow."""
    code = FIRST.format(height=size[0], width=size[1], threads=threads)
    environment = {**os.environ, "HORIZON_FLOW_CACHE": str(folder)}
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit("the process that computes one flow failed")
    return Times(time.perf_counter() - started, usage.ru_utime + usage.ru_stime)


def first_flows(size: tuple[int, int], threads: int) -> dict[str, float]:
    """Lower quartiles in seconds, for a new size and for one whose program is in the cache."""
    new, compiled = [], []
    for _ in range(FIRST_ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            new.append(first_flow(size, threads, Path(folder)))
            compiled.append(first_flow(size, threads, Path(folder)))
    return {
        **quartiles("first flow, new size", new, 1, "s"),
        **quartiles("first flow, compiled before", compiled, 1, "s"),
    }


def frames(size: tuple[int, int]) -> list[np.ndarray]:
    """Frames of a texture that moves."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (size[0] // 8 + 1, size[1] // 8 + 5, 3))
    texture = np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)
    return [texture[: size[0], 4 * i : 4 * i + size[1]].copy() for i in range(4)]


def quartiles(name: str, times: list[Times], factor: float, unit: str) -> dict[str, float]:
    """Lower quartiles of the times, by the clock and of the CPU."""
    clock, cpu = np.quantile(times, 0.25, axis=0) * factor
    return {f"{name}, {unit}": clock, f"{name}, CPU {unit}": cpu}


def in_turn(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[Times]]:
    """Times of each side in each round, after two rounds to warm up."""
    times: dict[str, list[Times]] = {name: [] for name in sides}
    for round_ in range(rounds + 2):
        for name, side in sides.items():
            started, used = time.perf_counter(), time.process_time()
            side()
            spent = Times(time.perf_counter() - started, time.process_time() - used)
            if round_ > 1:
                times[name].append(spent)
    return times


def speed(size: tuple[int, int], threads: int, rounds: int, folder: Path) -> dict[str, float]:
    """Milliseconds and ratios for images of one size."""
    model = FlowModel(threads=threads, cache_dir=folder)
    source = find_source("pwcnet_lite", threads, folder)
    program = source.program(size)
    images = frames(size)
    for flow, pair in zip(model.video(images), pairwise(images), strict=True):
        if not np.array_equal(flow, model(*pair)):
            sys.exit("the flow of a video is not that of its pairs")
    planes = np.empty((4, 3, *program.size), np.uint8)
    for image, part in zip(images, planes, strict=True):
        fill_planes(image, part)
    pair = np.concatenate(planes[:2])

    def endless() -> Iterator[Any]:
        while True:
            yield from images

    video, features, planes_only = model.video(endless()), source.stream(size), PlaneStream(program)
    features.next(planes[0])
    planes_only.next(planes[0])
    times = in_turn(
        {
            "program": lambda: program.run(pair),
            "call": lambda: model(images[0], images[1]),
            "video": lambda: next(video),
            "program, pairs of frames": lambda: planes_only.next(planes[1]),
            "program, features kept": lambda: features.next(planes[1]),
        },
        rounds,
    )

    result = {}
    for name, values in times.items():
        result |= quartiles(name, values, 1e3, "ms")
    for name, other, title in (
        ("call", "program", "call / program"),
        ("video", "program", "video / program"),
        ("program, features kept", "program, pairs of frames", "features kept / pairs"),
    ):
        ratios = np.array(times[name]) / np.array(times[other])
        result[title], result[f"{title}, CPU"] = np.median(ratios, axis=0)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="HxW")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=usable_cpus())
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    for name in ("rounds", "threads"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}: expected 1 or more, found {getattr(arguments, name)}")
    try:
        sizes = {text: tuple(map(int, text.split("x"))) for text in arguments.sizes}
    except ValueError as error:
        parser.error(f"--sizes: expected HEIGHTxWIDTH, such as 384x512: {error}")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for text, (height, width) in sizes.items():
            size = height, width
            found[text] = first_flows(size, arguments.threads)
            found[text] |= speed(size, arguments.threads, arguments.rounds, Path(folder))
    names = list(next(iter(found.values())))
    rows = [(name, *(round(figures[name], 3) for figures in found.values())) for name in names]
    print_table(rows, ("", *found))
    if arguments.json:
        result = {
            "sizes": found,
            "rounds": arguments.rounds,
            "threads": arguments.threads,
            "machine": machine(torch.device("cpu")),
            "kernels": kernels_name(),
            "load before": os.getloadavg()[0],
        }
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
