"""Train a stage of a model.

Builds ``{stage}_trainer`` of the config and runs it. Each stage begins with the best checkpoint of
the one before: float, calibration (finds the scales), qat (trains on fixed-point arithmetic),
int_infer (converts to integers). Writes into the config's ``ckpt_dir``:
``{stage}-checkpoint-{last,best}.pth.tar``, ``{stage}-log.txt``, ``{stage}-log.jsonl`` and
``tensorboard/``. ``--resume`` continues a run that was stopped, to the same weights; calibration
and int_infer take minutes and run again from the start.

Exit code 2: a mistake in the config, the data or the command line. Exit code 1: the training
diverged (the message says on what).
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import sys
from pathlib import Path
from typing import Any

import torch

from hat.cli import common, pipeline_test
from hat.engine import distributed
from hat.engine.callbacks import ProgressBar, TrainingLog, ZeroFlowWatch
from hat.engine.checkpoint import checkpoint_path, load_checkpoint
from hat.engine.single_pass import SinglePass
from hat.engine.updater import TrainingDiverged
from hat.registry import build_from_registry
from hat.seeding import seed_everything

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_config_arguments(parser)
    common.add_device_arguments(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="last",
        metavar="CHECKPOINT",
        help="continue from this checkpoint (default: the stage's 'last' one)",
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
    section = f"{args.stage}_trainer"
    if section == "int_infer_trainer" and section not in config and "int_trainer" in config:
        section = "int_trainer"  # the tutorial has both names
    trainer_config = copy.deepcopy(config.section(section))
    ckpt_dir = Path(config.section("ckpt_dir"))
    if args.ckpt and not any(common.loading_converters(trainer_config)):
        load_last(trainer_config, args.ckpt)
    common.resolve_checkpoints(trainer_config, config, args.stage, args.ckpt)
    if args.pipeline_test:
        for stage in pipeline_test.missing_stages(trainer_config, ckpt_dir):
            if distributed.is_main():
                print(f"No {stage} checkpoint yet: its pipeline test comes first.")
            earlier = argparse.Namespace(
                **{**vars(args), "stage": stage, "ckpt": None, "resume": None}
            )
            code = train(device, earlier)
            distributed.barrier()
            if code:
                return code
        ckpt_dir = pipeline_test.shorten(trainer_config, ckpt_dir, args.stage)
    if trainer_config.get("device") is None:
        trainer_config["device"] = device
    prefix = f"{args.stage}-"
    log_file = ckpt_dir / f"{prefix}log.txt" if distributed.is_main() else None
    common.setup_logging(log_file, quiet=not distributed.is_main())
    seed_everything(config.get("seed", 0))
    trainer = build_from_registry(trainer_config, section)
    trainer.callbacks.append(TrainingLog(ckpt_dir, prefix))
    in_steps = not isinstance(trainer, SinglePass)
    if in_steps:
        trainer.callbacks.append(ZeroFlowWatch())
    if in_steps and sys.stderr.isatty():
        trainer.callbacks.append(ProgressBar())
    if args.resume and not in_steps:
        logger.info("The stage %s has nothing to resume and runs from the start", args.stage)
    elif args.resume:
        path = (
            args.resume if args.resume != "last" else checkpoint_path(ckpt_dir, args.stage, "last")
        )
        trainer.load_state_dict(load_checkpoint(path, "leave out --resume to start a new run"))
        logger.info("Resumed from %s at epoch %d, step %d", path, trainer.epoch, trainer.step)
    logger.info(
        "Training %s, stage %s: %s, on %d x %s",
        config.get("task_name", Path(args.config).stem),
        args.stage,
        trainer.length,
        distributed.world_size(),
        trainer.device,
    )
    try:
        trainer.fit()
    except TrainingDiverged as error:
        logger.error("%s", error)
        return 1
    if distributed.is_main():
        report(trainer, ckpt_dir, args.stage)
    return 0


def load_last(trainer_config: dict[str, Any], path: str) -> None:
    """Load the weights of ``path`` after the converters that the config names."""
    pipeline = trainer_config.get("model_convert_pipeline") or {"type": "ModelConvertPipeline"}
    load = {"type": "LoadCheckpoint", "checkpoint_path": path}
    trainer_config["model_convert_pipeline"] = {
        **pipeline,
        "converters": [*pipeline.get("converters", []), load],
    }


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
