"""``train.py --pipeline-test``: a few steps of everything a config names.

The config's own model, loaders, callbacks and metrics run; only lengths and folders change. Where
its data set is missing, a few generated pairs stand in for it, so that a config can be tried before
the data has arrived. Where an earlier stage's checkpoint is missing, its pipeline test runs first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hat.cli.checkpoints import loading_converters
from hat.data.packers.flyingchairs import pack_flyingchairs
from hat.data.synthesis.data_set import generate_data_set
from hat.data.synthesis.settings import GeneratorSettings
from hat.engine import distributed
from hat.engine.checkpoint import stage_in_name
from hat.engine.pipeline_test import PipelineTest
from hat.registry import Component
from horizon.cpus import usable_cpus

FOLDER = "pipeline_test"
PAIRS = 32


def missing_stages(trainer: Component, ckpt_dir: Path) -> Iterator[str]:
    """Let a trainer load what no real run has made, in place.

    Earlier pipeline tests' checkpoints stand in. Yields the stages whose pipeline test has to run
    before there is one.
    """
    for load in loading_converters(trainer):
        path = Path(load.arguments["checkpoint_path"])
        stage = stage_in_name(path)
        if path.exists() or stage is None:
            continue
        load.arguments["checkpoint_path"] = stand_in = ckpt_dir / FOLDER / path.name
        if not stand_in.exists():
            yield stage


def pipeline_test(ckpt_dir: Path) -> PipelineTest:
    """The test whose files go to ``{ckpt_dir}/pipeline_test``."""
    folder = ckpt_dir / FOLDER
    return PipelineTest(folder, lambda missing: _stand_in(missing, folder))


def _stand_in(missing: str, folder: Path) -> Path:
    """A packed data set of generated pairs; the main process makes it, the others wait."""
    split = "val" if "val" in Path(missing).name else "train"
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
