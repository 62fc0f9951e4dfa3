"""Speed of a config's training step, by type, memory format, compilation and batch size.

``python -m benchmarks.step_choices --config FILE [--steps N] [--choice JSON] [--json FILE]``

Each choice runs the engine's own trainer on one pair of noise in memory, so that no step waits for
data. The pairs per second are those of the fastest step. ``benchmarks.gpu_session`` uses the result
to choose.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from hat.cli.common import print_table
from hat.cli.train import trainer_of
from hat.config import Config, parse_opts
from hat.data.collates import collate_2d
from hat.data.files import json_text, write_json
from hat.engine.autocast import forward_dtype
from hat.engine.callbacks.base import Callback
from hat.engine.distributed import default_device

WARM_UP = 2  # steps in which kernels are chosen and memory is taken
ENOUGH = 0.8
"""The smallest batch with this share of the best rate is taken: more steps in the same time."""


@dataclass(frozen=True)
class Choice:
    """Settings of a training step."""

    enable_amp: bool = False
    channels_last: bool = False
    compile: bool = False
    batch_size: int = 8

    def opts(self) -> dict[str, Any]:
        """The options for :meth:`hat.config.Config.fromfile`, and for ``--opts``."""
        return {
            "enable_amp": self.enable_amp,
            "float_trainer.channels_last": self.channels_last,
            "float_trainer.compile": self.compile,
            "batch_size_per_gpu": self.batch_size,
        }


@dataclass(frozen=True)
class Measured:
    """The result of a choice.

    Attributes:
        pairs_per_second: of the fastest step; None if the choice failed.
        first_step: seconds, including compilation and the choice of kernels.
        failed: why there is no rate.
    """

    choice: Choice
    pairs_per_second: float | None
    first_step: float = 0.0
    failed: str = ""

    def row(self) -> dict[str, Any]:
        own = {key: value for key, value in asdict(self).items() if key != "choice"}
        return {**asdict(self.choice), **own}


class OnePair(Dataset):
    """A data set that repeats one sample."""

    def __init__(self, sample: dict[str, Any], length: int) -> None:
        self.sample, self.length = sample, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.sample


class StepTimes(Callback):
    """Seconds of each step, from the batch in host memory to the new weights.

    After ``limit`` seconds the run ends, but not before its second step.
    """

    def __init__(self, limit: float) -> None:
        self.seconds: list[float] = []
        self.limit = limit

    def on_step_begin(self, trainer: Any) -> None:
        self._since = time.perf_counter()

    def on_step_end(self, trainer: Any) -> None:
        if trainer.device.type == "cuda":
            torch.cuda.synchronize(trainer.device)
        self.seconds.append(time.perf_counter() - self._since)
        if sum(self.seconds) > self.limit and len(self.seconds) > 1:
            trainer.run_length.end_after(trainer.step)


def measure(
    config: str,
    opts: dict[str, Any],
    choice: Choice,
    sample: dict[str, Any],
    steps: int,
    limit: float = math.inf,
) -> Measured:
    """Take ``steps`` steps after the warm-up, fewer if they take more than ``limit`` seconds.

    A choice that does not fit into memory has failed.
    """
    device = default_device()
    recipe = trainer_of(Config.fromfile(config, {**opts, **choice.opts()}), "float")
    loader = recipe.arguments["data_loader"]
    total = steps + WARM_UP
    dataset = OnePair(sample, total * choice.batch_size)
    recipe.arguments |= {
        "data_loader": loader.replaced(dataset=dataset, num_workers=0, collate_fn=collate_2d),
        "callbacks": [times := StepTimes(limit)],
        "device": device,
        "stop_by": "step",
        "num_steps": total,
    }
    try:
        recipe.build().fit()
    except torch.OutOfMemoryError as error:
        return Measured(choice, None, failed=str(error).splitlines()[0])
    seconds = min(times.seconds[WARM_UP:] or times.seconds[1:])
    return Measured(choice, choice.batch_size / seconds, times.seconds[0])


def measure_apart(
    config: str, opts: dict[str, Any], choice: Choice, steps: int, timeout: float
) -> Measured:
    """Measure in a process of its own that may take ``timeout`` seconds."""
    words = ["--config", config, "--steps", str(steps), "--choice", json.dumps(asdict(choice))]
    extra = [word for key, value in opts.items() for word in (key, repr(value))]
    command = [sys.executable, "-m", "benchmarks.step_choices", *words]
    command += ["--opts", *extra] if extra else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return Measured(choice, None, failed=f"not done after {timeout:.0f} s")
    if done.returncode:
        return Measured(choice, None, failed=(done.stderr.strip().splitlines() or ["?"])[-1])
    (found,) = json.loads(done.stdout[done.stdout.index("{") :])["choices"]
    return Measured(choice, found["pairs_per_second"], found["first_step"], found["failed"])


def choose(
    config: str,
    opts: dict[str, Any],
    sample: dict[str, Any],
    batch_sizes: Sequence[int],
    steps: int,
    limit: float,
) -> tuple[Choice, list[Measured]]:
    """Choose the fastest type and memory format, then the smallest batch that is nearly as fast.

    Args:
        batch_sizes: in ascending order; type and format are compared at the first size.
        limit: seconds after which no other measurement begins; the best choice so far is taken.
    """
    end = time.monotonic() + limit
    found: list[Measured] = []

    def try_all(choices: Iterable[Choice]) -> None:
        for choice in choices:
            if found and time.monotonic() > end:
                return
            found.append(measure(config, opts, choice, sample, steps, limit / 4))
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def best() -> Measured:
        measured = [one for one in found if one.pairs_per_second is not None]
        if not measured:
            raise MemoryError("; ".join(one.failed for one in found))
        return max(measured, key=lambda one: one.pairs_per_second or 0.0)

    types = [True, False] if forward_dtype(True, default_device()) == "bfloat16" else [False]
    start = Choice(batch_size=batch_sizes[0])
    try_all(
        replace(start, enable_amp=amp, channels_last=last)
        for amp in types
        for last in (False, True)
    )
    quickest = best().choice
    try_all(replace(quickest, batch_size=size) for size in batch_sizes[1:])
    same = [one for one in found if replace(one.choice, batch_size=batch_sizes[0]) == quickest]
    enough = ENOUGH * (best().pairs_per_second or 0.0)
    return next(one.choice for one in same if (one.pairs_per_second or 0.0) >= enough), found


def made_up_sample(config: str, opts: dict[str, Any]) -> dict[str, Any]:
    """A sample of noise of the size ``train_size``, without any data set."""
    height, width = Config.fromfile(config, opts).train_size
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (6, height, width), dtype=torch.uint8, generator=generator)
    return {"img": image, "gt_flow": torch.full((2, height, width), 3.0), "color_space": "rgb"}


def print_choices(found: Sequence[Measured]) -> None:
    rows = [one.row() for one in found]
    print_table([tuple(row.values()) for row in rows], tuple(rows[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--limit", type=float, default=120.0, help="seconds")
    parser.add_argument("--choice", type=json.loads, help="measure this one only")
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY VALUE")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    opts = parse_opts(arguments.opts)
    sample = made_up_sample(arguments.config, opts)
    if arguments.choice:
        choice = Choice(**arguments.choice)
        found = [measure(arguments.config, opts, choice, sample, arguments.steps)]
    else:
        rest = (arguments.batch_sizes, arguments.steps, arguments.limit)
        choice, found = choose(arguments.config, opts, sample, *rest)
    result = {"chosen": asdict(choice), "choices": [one.row() for one in found]}
    print(json_text(result, indent=2))
    if arguments.json:
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
