"""Share of its time that a training waits for data.

``python -m benchmarks.data_wait [--config FILE] [--steps N] [--json FILE]``

Trains the config's network for some steps in a temporary folder. The figure comes from the
trainer's own clock: the seconds in which no batch was ready, divided by all seconds. The first
tenth of the steps does not count, because workers start and first pages are read. The data set must
exist (``make demo`` makes one).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from hat.config import Config
from hat.data.files import write_json
from hat.engine.callbacks import Callback
from hat.registry import build_from_registry
from hat.seeding import seed_everything

CONFIG = "configs/opticalflow_pred/pwcnet/pwcnet_lite_flyingchairs.py"


class WarmUp(Callback):
    """Notes the trainer's clock after some steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.waiting = self.total = 0.0

    def on_step_end(self, trainer) -> None:
        if trainer.step == self.steps:
            self.waiting, self.total = trainer.seconds_waiting, trainer.seconds_total


def measure(config_file: str, steps: int) -> dict[str, float]:
    """Share of waiting and samples per second over the last nine tenths of ``steps``."""
    with tempfile.TemporaryDirectory() as folder:
        opts = {"float_trainer.num_steps": steps, "ckpt_dir": folder, "log_freq": steps}
        config = Config.fromfile(config_file, opts)
        seed_everything(config.seed)
        trainer = build_from_registry({**config.float_trainer, "callbacks": []}, "float_trainer")
        warm_up = WarmUp(max(1, steps // 10))
        trainer.callbacks.append(warm_up)
        trainer.fit()
    seconds = trainer.seconds_total - warm_up.total
    samples = (trainer.step - warm_up.steps) * trainer.loader.batch_size
    return {
        "data_wait": (trainer.seconds_waiting - warm_up.waiting) / seconds,
        "samples_per_second": samples / seconds,
        "steps": steps,
        "workers": trainer.loader.num_workers,
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    args = parser.parse_args()
    result = measure(args.config, args.steps)
    print(
        f"waiting for data: {100 * result['data_wait']:.1f} % of the time (target: below 10 %), "
        f"{result['samples_per_second']:.1f} samples/s, {result['workers']} workers"
    )
    if args.json:
        write_json(args.json, result)


if __name__ == "__main__":
    main()
