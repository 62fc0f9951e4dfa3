"""Trains a network for some minutes, usually on a GPU, and leaves a checkpoint.

    python -m benchmarks.gpu_session --minutes 10 --network small --out DIR
    python -m benchmarks.gpu_session --minutes 10 --network small --out DIR --resume   # ten more
    python -m benchmarks.gpu_session --minutes 10 --network small --out DIR --tests

``--minutes`` is the time of the whole command. Within this time it

1. runs the tests that need a GPU (``--tests``; ``benchmarks.gpu_tests``), in at most a third of the
   time;
2. measures which type, memory format and batch size are fastest and, if the time is long enough,
   whether compilation pays. It also measures how long it takes to draw a pair, which decides how
   often each pair is used (``echo``);
3. runs ``tools/train.py --stage float`` for the rest of the time. All other cores draw pairs, the
   learning rate falls to zero at the end, and the averaged weights are validated and saved on the
   way, ``last`` every minute.

``DIR`` is the run's ``ckpt_dir``, with ``float-checkpoint-{best,last}.pth.tar``, logs, and
``session.json``, the results of each of the three parts. ``--resume`` continues a run that was
killed from its last minute. The next stage starts from the checkpoint: ``tools/train.py --stage
calibration --config CONFIG --opts ckpt_dir DIR``.

Without a GPU it does the same on the CPU and skips the tests.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from benchmarks.gpu_tests import run_all
from benchmarks.machine_use import MachineUse, describe_machine
from benchmarks.step_choices import (
    Choice,
    choose,
    made_up_sample,
    measure_apart,
    print_choices,
)
from hat import interruption
from hat.cli.main import run_command
from hat.cli.train import trainer_of
from hat.config import Config, parse_opts
from hat.data.files import write_json
from hat.engine.checkpoint import checkpoint_path, load_checkpoint
from hat.engine.run_folder import manifest_path, saved_checkpoints
from hat.errors import InputError
from hat.registry import build
from hat.run_log import read_log
from horizon.cpus import usable_cpus

CONFIGS = "configs/opticalflow_pred/pwcnet/pwcnet_{}_by_time.py"
RATE_AT_8, HIGHEST_RATE = 1e-3, 2e-3
"""Learning rate for batches of 8; it grows with the square root of the batch up to the highest."""
TEST_SHARE, CHOICE_SHARE, COMPILE_SHARE = 1 / 3, 0.1, 0.1
"""Of the session's time, at most."""
LEAST_SHARE = 0.25  # of the time, at least, for training
COMPILE_SECONDS = 60.0  # if COMPILE_SHARE of the time is less, compilation is not tried
MOST_ECHO = 16.0
EPOCHS = 40  # of a session: the curriculum moves on between epochs
VALIDATIONS = 10  # of a session
START_SECONDS = 5.0  # from here to the first batch, and from the last to the end


class Session:
    """One run of the command: its time, its folder and its report."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.started = monotonic()
        self.budget = 60.0 * arguments.minutes
        self.config = arguments.config or CONFIGS.format(arguments.network)
        self.out: Path = arguments.out
        self.opts = {**parse_opts(arguments.opts), "ckpt_dir": str(self.out)}
        # If there is no bank of textures yet, it is drawn during the other measurements.
        self.textures = get_context("spawn").Process(
            target=build_pairs, args=(self.config, self.opts), daemon=True
        )
        self.textures.start()
        self.report: dict[str, Any] = {
            "machine": describe_machine(),
            "arguments": {key: str(value) for key, value in vars(arguments).items()},
        }

    def left(self) -> float:
        """The seconds that are left."""
        return self.budget - (monotonic() - self.started)

    def save(self, **parts: Any) -> None:
        self.report |= parts
        write_json(self.out / "session.json", self.report)

    def train(self) -> int:
        """Choose, then train for the time that is left. Returns the exit code of the training."""
        earlier = earlier_minutes(self.out) if self.arguments.resume else 0.0
        sample = made_up_sample(self.config, self.opts)
        gpu = torch.cuda.is_available()
        sizes = [16, 32, 64, 128] if gpu else [8]
        if self.arguments.batch_size:
            sizes = [self.arguments.batch_size]
        limit = CHOICE_SHARE * self.budget
        choice, found = choose(
            self.config, self.opts, sample, sizes, steps=10 if gpu else 2, limit=limit
        )
        rate = next(one.pairs_per_second or 0.0 for one in found if one.choice == choice)
        timeout = COMPILE_SHARE * self.left()
        if timeout >= COMPILE_SECONDS:
            whole = replace(choice, compile=True)
            compiled = measure_apart(self.config, self.opts, whole, steps=3, timeout=timeout)
            found.append(compiled)
            # The curriculum has three sizes; none takes longer to compile than the first.
            seconds = self.left() - 3 * compiled.first_step
            if (compiled.pairs_per_second or 0.0) * seconds > rate * self.left():
                choice, rate = whole, compiled.pairs_per_second or 0.0
        print_choices(found)
        self.textures.join()
        data = self.data_choice(rate, gpu)
        self.save(
            choices=[one.row() for one in found],
            chosen={**asdict(choice), "pairs/s": rate},
            data=data,
        )
        last = validation_seconds(self.config, self.opts, rate)
        minutes = (self.left() - START_SECONDS - last) / 60
        least = LEAST_SHARE * self.arguments.minutes
        if minutes < least:
            print(f"The choices took long: {least - minutes:.1f} minutes more than asked for.")
            minutes = least
        opts = {**self.opts, **self.training_opts(choice, data, rate, minutes, earlier)}
        words = ["--stage", "float", "--config", self.config]
        words += ["--resume"] if self.arguments.resume else []
        words += ["--opts", *[word for key, value in opts.items() for word in (key, str(value))]]
        with MachineUse() as use:
            code = run_command("train", words)
        self.save(training=self.summary(code), use=use.summary())
        return code

    def data_choice(self, rate: float, gpu: bool) -> dict[str, Any]:
        """The number of workers, and how often to use a pair so that no step waits for data."""
        dataset = build_pairs(self.config, {**self.opts, "echo": 1.0})
        dataset.set_progress(1.0)
        draw = seconds_per_call(lambda index: dataset.dataset[index])
        both = seconds_per_call(lambda index: dataset[index])
        augment = max(both - draw, 0.0)
        workers = max(1, usable_cpus() - 1) if gpu else max(1, usable_cpus() // 4)
        room = workers - rate * augment  # of the workers' time, for drawing
        echo = MOST_ECHO if room <= 0 else min(MOST_ECHO, max(1.0, rate * draw / (0.9 * room)))
        return {
            "seconds to draw a pair": draw,
            "seconds to augment a pair": augment,
            "workers": workers,
            "echo": round(echo, 2),
        }

    def training_opts(
        self, choice: Choice, data: dict[str, Any], rate: float, minutes: float, earlier: float
    ) -> dict[str, Any]:
        lr = min(HIGHEST_RATE, RATE_AT_8 * math.sqrt(choice.batch_size / 8))
        pairs = int(rate * 60 * minutes / EPOCHS)
        chosen = {
            **choice.opts(),
            "lr": lr,
            "data_num_workers": data["workers"],
            "echo": data["echo"],
            "pairs_per_epoch": max(pairs, 8 * choice.batch_size),
            "float_trainer.num_minutes": earlier + minutes,
            "ckpt_callback.save_interval": min(1.0, minutes / 4),
            "val_callback.val_interval": max(1.0, minutes / VALIDATIONS),
        }
        return {key: value for key, value in chosen.items() if key not in self.opts}

    def summary(self, code: int) -> dict[str, Any]:
        """A summary of the run's log."""
        log = self.out / "float-log.jsonl"
        lines = read_log(log) if log.is_file() and log.stat().st_size else []
        speeds = [line for line in lines if "samples_per_second" in line]
        curve = [line for line in lines if "val/EPE" in line]
        found: dict[str, Any] = {
            "exit code": code,
            "EPE": [{"step": line["step"], "EPE": line["val/EPE"]} for line in curve],
        }
        if speeds:
            found["pairs/s"] = mean(line["samples_per_second"] for line in speeds)
            found["data wait"] = mean(line["data_wait"] for line in speeds)
        last = checkpoint_path(self.out, "float", "last")
        if last.is_file():
            content = load_checkpoint(last)
            found["steps"] = content["step"]
            found["minutes"] = content["resume"]["seconds"][0] / 60
        found["session minutes"] = (monotonic() - self.started) / 60
        found["checkpoints"] = [str(path) for path in saved_checkpoints(self.out, "float-")]
        return found


def build_pairs(config: str, opts: dict[str, Any]) -> Any:
    """The data set that the float stage is trained on."""
    recipe = trainer_of(Config.fromfile(config, opts), "float")
    return build(recipe.arguments["data_loader"].arguments["dataset"])


def earlier_minutes(out: Path) -> float:
    """The minutes that the resumed run has had."""
    content = load_checkpoint(
        checkpoint_path(out, "float", "last"), "leave out --resume to start a new run"
    )
    return float(content.get("resume", {}).get("seconds", [0.0])[0]) / 60


def seconds_per_call(function: Any, calls: int = 12) -> float:
    function(0)
    started = time.perf_counter()
    for index in range(1, calls + 1):
        function(index)
    return (time.perf_counter() - started) / calls


def validation_seconds(config: str, opts: dict[str, Any], rate: float) -> float:
    """Upper bound on the seconds of the last validation, from the pixel rate of training steps."""
    built = Config.fromfile(config, opts)
    dataset = built.val_data_loader["dataset"]
    height, width = dataset["stages"][-1]["size"]
    pairs = dataset["length"] * height * width / math.prod(built.train_size)
    return float(pairs / rate)


def mean(values: Any) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def check(arguments: argparse.Namespace) -> None:
    """Refuse impossible arguments before any time is spent.

    Raises:
        InputError: another run is in the folder, or none to resume.
    """
    out: Path = arguments.out
    if arguments.minutes <= 0:
        raise InputError(f"--minutes {arguments.minutes:g}: expected more than 0")
    run = manifest_path(out, "float").exists() or bool(saved_checkpoints(out, "float-"))
    if run and not arguments.resume:
        raise InputError(f"--out {out}: holds a run; continue it with --resume, or choose another")
    if arguments.resume:
        earlier_minutes(out)
    elif out.exists() and any(out.iterdir()):
        raise InputError(f"--out {out}: not empty; expected a new or an empty folder")
    if not Path(arguments.config or CONFIGS.format(arguments.network)).is_file():
        raise InputError("run this in the project's folder, or give --config")


def run(arguments: argparse.Namespace) -> int:
    check(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    session = Session(arguments)
    if not torch.cuda.is_available():
        print("NO GPU: trains on the CPU, and the tests that need a GPU are skipped.", flush=True)
    session.save()
    passed = True
    if arguments.tests:
        results = run_all(TEST_SHARE * session.budget)
        session.save(**results)
        passed = results["tests"]["passed"] and "error" not in results["training step"]
        print(f"GPU tests: {results['tests']}", flush=True)
    code = session.train()
    print(f"Seen on the way: {arguments.out / 'session.json'}")
    return code or int(not passed and torch.cuda.is_available())


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of the whole command")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--network", choices=("lite", "small"), default="small")
    which.add_argument("--config", help="a config like those of --network instead")
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--resume", action="store_true", help="so many minutes more of the run")
    parser.add_argument("--tests", action="store_true", help="run the tests that need a GPU first")
    parser.add_argument("--batch-size", type=int, help="instead of choosing one")
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY VALUE", help="of the config")
    arguments = parser.parse_args(words)
    try:
        with interruption.signals_handled():
            return run(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except interruption.Interrupted as error:
        print("interrupted", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
