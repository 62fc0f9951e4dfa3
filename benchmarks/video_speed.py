"""Compares ``hat infer`` from video to video with its parts alone: decoder, program, encoder.

``python -m benchmarks.video_speed [--frames N] [--rounds N] [--json FILE]``

These run in turns: the decoder reads all frames of a generated video of 640x480; the program
computes the flows between them; the encoder writes the frames of the video with flow beside the
image; and the command does all of that and draws, as a process of its own, from its start to its
end. The program is compiled before. The shortest time of each counts, because other work may run on
the machine. CPU time is printed too, because it depends less on other work.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.training_step import machine
from hat.data.files import json_text, write_json
from hat.sequences.frames import Video
from hat.sequences.video_file import VideoFile
from horizon.cpus import usable_cpus
from horizon_flow import FlowModel

SIZE = (480, 640)
COMMAND = "hat infer"


def write_scene(path: Path, frames: int) -> None:
    """Write a video of a camera that moves over a texture, and a square that moves by itself."""
    height, width = SIZE
    noise = np.random.default_rng(0).normal(0, 1, (height + 200, width + 200, 3))
    layers = [cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1, 3, 9, 27)]
    scene = cv2.normalize(sum(layers), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    video = VideoFile(path, 25.0)
    for number in range(frames):
        x, y = (round(100 + 90 * f(number / 30)) for f in (np.sin, np.cos))
        image = scene[y : y + height, x : x + width].copy()
        x, y = (round(side / 2 - 60 + 150 * np.sin(number / 20)) for side in (width, height))
        image[y : y + 120, x : x + 120] = scene[40:160, 40:160][::-1]
        video.write(image)
    video.publish()


def seconds(function: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the clock and of CPU time, including processes that have ended."""
    started, used = time.perf_counter(), os.times()
    function()
    now = os.times()
    return time.perf_counter() - started, sum(now[:4]) - sum(used[:4])


def encode(images: list[np.ndarray], path: Path) -> None:
    video = VideoFile(path, 25.0)
    for image in images:
        video.write(image)
    video.publish()


def measure(folder: Path, frames: int, rounds: int) -> dict[str, Any]:
    """The least seconds of each part and of the command in ``rounds`` rounds."""
    source, result = folder / "scene.mp4", folder / "flow.mp4"
    write_scene(source, frames)
    command = [sys.executable, "-m", "hat.cli.main", "infer", str(source), "-o", str(result)]
    subprocess.run(command, check=True, capture_output=True)  # compiles
    images = [frame.image for frame in Video(source)]
    drawn = [frame.image for frame in Video(result)]
    model = FlowModel()
    parts: dict[str, Callable[[], Any]] = {
        "decoder": lambda: list(Video(source)),
        "program": lambda: [None for _ in model.video(images)],
        "encoder": lambda: encode(drawn, folder / "again.mp4"),
        COMMAND: lambda: subprocess.run(command, check=True, capture_output=True),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, function in parts.items():
            times[name].append(seconds(function))
    return {
        "machine": machine(torch.device("cpu")),
        "cores": usable_cpus(),
        "frames": frames,
        "size": list(SIZE),
        "rounds": rounds,
        "seconds": compared({name: min(t for t, _ in values) for name, values in times.items()}),
        "processor seconds": compared(
            {name: min(t for _, t in values) for name, values in times.items()}
        ),
    }


def compared(smallest: dict[str, float]) -> dict[str, float]:
    """The times of the parts and of the command, and the command's over the sum of the parts."""
    alone = sum(value for name, value in smallest.items() if name != COMMAND)
    figures = {**smallest, "parts together": alone, f"{COMMAND} / parts": smallest[COMMAND] / alone}
    return {name: round(value, 3) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    if arguments.frames < 2 or arguments.rounds < 1:
        parser.error("expected --frames of 2 or more and --rounds of 1 or more")
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), arguments.frames, arguments.rounds)
    print(json_text(result, indent=2))
    if arguments.json:
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
