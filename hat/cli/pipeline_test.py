"""``train.py --pipeline-test``: a few steps of everything a config names.

The config's own model, loaders, callbacks and metrics run; only lengths and folders change. Where
its data set is missing, a few generated pairs stand in for it, so that a config can be tried before
the data has arrived. Where an earlier stage's checkpoint is missing, its pipeline test runs first.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hat.cli import common
from hat.data.packers.flyingchairs import pack_flyingchairs
from hat.data.synthesis.data_set import generate_data_set
from hat.data.synthesis.settings import GeneratorSettings
from hat.engine import distributed
from hat.engine.checkpoint import stage_in_name
from horizon.cpus import usable_cpus

FOLDER = "pipeline_test"
STEPS = 3
PAIRS = 32


def missing_stages(trainer: dict[str, Any], ckpt_dir: Path) -> Iterator[str]:
    """Let a trainer config (a copy of the section) load what no real run has made, in place.

    Earlier pipeline tests' checkpoints stand in. Yields the stages whose pipeline test has to run
    before there is one.
    """
    for load in common.loading_converters(trainer):
        path = Path(load["checkpoint_path"])
        stage = stage_in_name(path)
        if path.exists() or stage is None:
            continue
        load["checkpoint_path"] = stand_in = ckpt_dir / FOLDER / path.name
        if not stand_in.exists():
            yield stage


def shorten(trainer: dict[str, Any], ckpt_dir: Path, stage: str) -> Path:
    """Make a trainer config (a copy of the section) short, in place.

    Returns the folder that takes its results: ``{ckpt_dir}/pipeline_test``, without those of an
    earlier test of the stage; float, the first stage, begins with an empty folder.
    """
    folder = ckpt_dir / FOLDER
    if distributed.is_main():
        for path in [folder] if stage == "float" else folder.glob(f"{stage}-*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    distributed.barrier()
    if "num_epochs" in trainer or "stop_by" in trainer:
        trainer.update(stop_by="step", num_steps=STEPS)
    elif "num_steps" in trainer:
        trainer["num_steps"] = STEPS
    for config in _typed_dicts(trainer):
        kind = config["type"]
        if kind == "Checkpoint":
            config["save_dir"] = folder
        elif kind == "Validation":
            config["max_batches"] = 2
        elif kind in ("StatsMonitor", "MetricUpdater"):
            config["log_freq" if kind == "StatsMonitor" else "step_log_freq"] = 1
        elif "data_path" in config and not Path(config["data_path"]).exists():
            split = "val" if "val" in Path(config["data_path"]).name else "train"
            config["data_path"] = str(_stand_in(config["data_path"], folder, split))
    return folder


def _stand_in(missing: str, folder: Path, split: str) -> Path:
    """A packed data set of generated pairs; the main process makes it, the others wait."""
    raw = folder / "generated"
    packed = raw / f"{split}_lmdb"
    if distributed.is_main() and not packed.exists():
        print(f"{missing} does not exist; the pipeline test uses generated pairs instead.")
        settings = GeneratorSettings(PAIRS, num_val=PAIRS // 4, size=(384, 512), seed=0)
        if not (raw / "generator.json").exists():
            generate_data_set(raw, settings, num_workers=usable_cpus())
        pack_flyingchairs(raw, raw, split, workers=0)
    distributed.barrier()
    return packed


def _typed_dicts(value: Any, seen: set[int] | None = None) -> Iterator[dict[str, Any]]:
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, dict):
        if "type" in value:
            yield value
        for item in value.values():
            yield from _typed_dicts(item, seen)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _typed_dicts(item, seen)
