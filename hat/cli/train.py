"""Train a stage of a model.

Builds ``{stage}_trainer`` of the config and runs it. Each stage begins with the best checkpoint of
the one before: float, calibration (finds the scales), qat (trains on fixed-point arithmetic),
int_infer (converts to integers). Writes into the config's ``ckpt_dir``:
``{stage}-checkpoint-{last,best}.pth.tar``, ``{stage}-log.txt``, ``{stage}-log.jsonl``,
``tensorboard/`` and ``{stage}-run.json``, which says what the run was. A run does not begin where
another run of the stage has saved checkpoints: ``--resume`` continues that one, to the same
weights; ``--overwrite`` replaces it. Calibration and int_infer take minutes and run again from the
start.

Exit code 2: a mistake in the config, the data or the command line, such as samples that are not
finite. Exit code 1: the training diverged (the message says on what).
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from hat.cli import common
from hat.cli.checkpoints import loading_converters, resolve_checkpoints
from hat.cli.logs import log_to_file, setup_logging
from hat.cli.pipeline_test import missing_stages, pipeline_test
from hat.config import Config
from hat.engine import distributed
from hat.engine.autocast import forward_dtype
from hat.engine.callbacks import Checkpoint, ProgressBar, TrainingLog, ZeroFlowWatch
from hat.engine.checkpoint import checkpoint_path, load_checkpoint
from hat.engine.convert import LoadCheckpoint, ModelConvertPipeline
from hat.engine.pipeline_test import shorten
from hat.engine.run_folder import RunFolder, Start
from hat.engine.settings import settings_of
from hat.engine.single_pass import SinglePass
from hat.engine.updater import TrainingDiverged
from hat.errors import InputError
from hat.provenance import versions
from hat.registry import Component, resolve
from hat.run_page import RunPage
from hat.seeding import seed_everything
from hat.stages import STAGES

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_config_arguments(parser)
    common.add_device_arguments(parser)
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument(
        "--resume",
        nargs="?",
        const="last",
        metavar="CHECKPOINT",
        help="continue from this checkpoint (default: the stage's 'last' one)",
    )
    begin.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the stage's run that is in ckpt_dir, its checkpoints and its log",
    )
    parser.add_argument(
        "--ckpt",
        help="start from the weights of this checkpoint, at step 0, instead of the stage's before",
    )
    parser.add_argument(
        "--pipeline-test",
        action="store_true",
        help="a few steps of everything, in a folder of its own, to see that a config works",
    )


def run(args: argparse.Namespace) -> int:
    return distributed.run_distributed(train, args, args.device_ids, args.launcher, args.dist_url)


def train(device: torch.device, args: argparse.Namespace) -> int:
    """Train in this process (one of the process group's)."""
    config = common.load_config(args)
    recipe = trainer_of(config, args.stage)
    folder = Path(config.section("ckpt_dir"))
    if args.ckpt and not any(loading_converters(recipe)):
        load_last(recipe, args.ckpt)
    resolve_checkpoints(recipe, config, args.stage, args.ckpt)
    if args.pipeline_test:
        code = earlier_tests(recipe, folder, device, args)
        if code:
            return code
        test = pipeline_test(folder)
        shorten(recipe, test)
        folder = test.folder
    if recipe.arguments.get("device") is None:
        recipe.arguments["device"] = device
    setup_logging(quiet=not distributed.is_main(), file_follows=distributed.is_main())
    seed_everything(config.get("seed", 0))
    trainer = recipe.build()
    trainer.stage, trainer.settings = args.stage, settings_of(recipe)
    if hasattr(trainer, "batch_processor"):  # what enable_amp comes to depends on the processor
        chosen = forward_dtype(trainer.batch_processor.enable_amp, trainer.device)
        trainer.settings["batch_processor.forward_dtype"] = chosen
    add_callbacks(trainer, folder, str(config.get("task_name") or Path(args.config).stem))
    files = run_folder(config, trainer, folder, args)
    begin(files, how_to_start(recipe, trainer, folder, args), trainer, args)
    finished = False
    try:
        trainer.fit()
        finished = True
    except TrainingDiverged as error:
        logger.error("%s", error)
        return 2 if error.by_data else 1
    finally:
        if distributed.is_main():
            with suppress(InputError):  # a full disk has been reported by then
                files.end(finished)
    if distributed.is_main():
        report(trainer, folder, args.stage)
    distributed.barrier()  # whatever comes next finds the files, in all processes
    return 0


def trainer_of(config: Config, stage: str) -> Component:
    """What ``{stage}_trainer`` describes; the tutorial has two names for the last stage's."""
    section = f"{stage}_trainer"
    if section == "int_infer_trainer" and section not in config and "int_trainer" in config:
        section = "int_trainer"
    recipe = resolve(config.section(section), section)
    if not isinstance(recipe, Component):
        raise InputError(f"{config.path}: {section}: no 'type' key; expected a trainer's dict")
    return recipe


def load_last(recipe: Component, path: str) -> None:
    """Load the weights of ``path`` after the converters that the config names."""
    at = f"{recipe.path}.model_convert_pipeline"
    pipeline = recipe.arguments.get("model_convert_pipeline") or Component(
        ModelConvertPipeline, {}, at
    )
    load = Component(LoadCheckpoint, {"checkpoint_path": path}, "--ckpt")
    converters = [*pipeline.arguments.get("converters", []), load]
    recipe.arguments["model_convert_pipeline"] = pipeline.replaced(converters=converters)


def earlier_tests(
    recipe: Component, folder: Path, device: torch.device, args: argparse.Namespace
) -> int:
    """Test the stages that this one needs and that nothing has run yet; their exit code."""
    for stage in missing_stages(recipe, folder):
        if distributed.is_main():
            print(f"No {stage} checkpoint yet: its pipeline test comes first.")
        changes = {"stage": stage, "ckpt": None, "resume": None}
        code = train(device, argparse.Namespace(**{**vars(args), **changes}))
        distributed.barrier()
        if code:
            return code
    return 0


def add_callbacks(trainer: Any, folder: Path, title: str) -> None:
    """The callbacks of every run: its log and its page, and for training what watches it."""
    trainer.callbacks.append(TrainingLog(folder, f"{trainer.stage}-"))
    trainer.callbacks.append(RunPage(folder, trainer.stage, title))
    if isinstance(trainer, SinglePass):
        return
    trainer.callbacks.append(ZeroFlowWatch())
    if sys.stderr.isatty():
        trainer.callbacks.append(ProgressBar())


def run_folder(config: Config, trainer: Any, folder: Path, args: argparse.Namespace) -> RunFolder:
    """The files that this run will own."""
    files = RunFolder(trainer.stage, folder)
    for callback in trainer.callbacks:
        if isinstance(callback, Checkpoint):
            if args.pipeline_test and callback.save_dir != folder:
                raise InputError(
                    f"Checkpoint: save_dir={str(callback.save_dir)!r} is where a real run saves, "
                    f"and a pipeline test saves into {folder}; describe the callback as "
                    "dict(type=Checkpoint, ...), so that the test can change its folder"
                )
            files.prefixes.setdefault(callback.save_dir, set()).add(callback.name_prefix)
    files.description = {
        "task": config.get("task_name"),
        "config": config.path,
        "opts": args.opts,
        "versions": versions(),
        "settings": trainer.settings,
    }
    return files


def how_to_start(recipe: Component, trainer: Any, folder: Path, args: argparse.Namespace) -> Start:
    """What is to become of the run that may be in ``folder``."""
    if args.pipeline_test or args.overwrite:
        return Start.OVERWRITE
    if args.resume == "last":
        return Start.RESUME
    sources = [args.resume] if args.resume else []
    if any(recipe.arguments.get(k) for k in ("resume_optimizer", "resume_epoch_or_step")):
        sources += [load.arguments["checkpoint_path"] for load in loading_converters(recipe)]
    own = any(
        Path(path).parent.resolve() == folder.resolve()
        and Path(path).name.startswith(f"{trainer.stage}-")
        for path in sources
    )
    return Start.RESUME if own else Start.NEW


def begin(files: RunFolder, start: Start, trainer: Any, args: argparse.Namespace) -> None:
    """Load what is resumed, then take possession of the folder and open the log."""
    files.check(start)
    in_steps = not isinstance(trainer, SinglePass)
    resumed = ""
    if args.resume and in_steps:
        folder = files.ckpt_dir
        path = (
            args.resume if args.resume != "last" else checkpoint_path(folder, trainer.stage, "last")
        )
        trainer.load_state_dict(load_checkpoint(path, "leave out --resume to start a new run"))
        resumed = f"Resumed from {path} at epoch {trainer.epoch}, step {trainer.step}"
    distributed.barrier()
    if distributed.is_main():
        if args.pipeline_test and trainer.stage == STAGES[0]:
            for stage in STAGES:  # what an earlier test made of other weights
                RunFolder(stage, files.ckpt_dir, {files.ckpt_dir: {f"{stage}-"}}).remove()
        files.begin(start)
        log_to_file(files.ckpt_dir / f"{trainer.stage}-log.txt")
    distributed.barrier()
    if resumed:
        logger.info("%s", resumed)
    elif args.resume:
        logger.info("The stage %s has nothing to resume and runs from the start", trainer.stage)
    logger.info(
        "Training %s, stage %s: %s, on %d x %s",
        files.description["task"] or Path(args.config).stem,
        trainer.stage,
        trainer.length,
        distributed.world_size(),
        trainer.device,
    )


def report(trainer: Any, ckpt_dir: Path, stage: str) -> None:
    """Say what was made."""
    results = {k: v for k, v in trainer.val_results.items() if k != "step"}
    logger.info("Finished: %s", json.dumps(results) if results else "no validation")
    if trainer.skipped_steps:
        logger.warning("%d steps were skipped, not finite", trainer.skipped_steps)
    for which in ("last", "best"):
        path = checkpoint_path(ckpt_dir, stage, which)
        if path.is_file():
            logger.info("%s: %s", which, path)
