"""Which checkpoint a stage begins with: the user's own or, without an own run, a shipped one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hat.config import Config
from hat.engine import distributed
from hat.engine.checkpoint import checkpoint_path, stage_in_name
from hat.engine.convert import LoadCheckpoint, LoadIntegerModel
from hat.engine.run_folder import read_manifest, saved_checkpoints
from hat.errors import InputError
from hat.paths import find_input, tried_paths
from hat.registry import Component, components


def stage_checkpoint(config: Config, stage: str, ckpt: str | Path | None = None) -> Path:
    """The checkpoint to use: ``ckpt``, or the best one of ``stage`` in the config's ``ckpt_dir``.

    Where no run of the stage has begun there, the one in ``shipped_ckpt_dir``, if the config names
    such a folder; it is said that this one is taken.

    Raises:
        InputError: a run of the user's own has begun and has no best checkpoint yet, and there is
            a shipped one: which of them is meant has to be said.
    """
    if ckpt is not None:
        return Path(ckpt)
    folder = Path(config.section("ckpt_dir"))
    own = checkpoint_path(folder, stage)
    if own.exists():
        _say_if_unfinished(folder, stage, own)
        return own
    shipped_dir = config.get("shipped_ckpt_dir")
    if shipped_dir is None:
        return own
    shipped = checkpoint_path(find_input(shipped_dir), stage)
    if not shipped.exists():
        if not shipped.parent.exists() and distributed.is_main():
            places = ", ".join(map(str, tried_paths(shipped_dir)))
            print(f"{own} does not exist yet; nor does shipped_ckpt_dir: looked for {places}")
        return own
    begun = read_manifest(folder, stage) is not None or saved_checkpoints(folder, f"{stage}-")
    if begun:
        raise InputError(
            f"{own}: no such checkpoint, although a run of the stage {stage} has begun in "
            f"{folder}; it has not validated yet. Finish it (train.py --resume), take another "
            f"of its checkpoints (--ckpt FILE), or take the shipped network (--ckpt {shipped})"
        )
    if distributed.is_main():
        print(f"{own} does not exist yet; using the shipped {shipped}")
    return shipped


def _say_if_unfinished(folder: Path, stage: str, path: Path) -> None:
    manifest = read_manifest(folder, stage)
    if manifest and not manifest.get("finished") and distributed.is_main():
        print(f"{path}: the run that saves it is not finished; this is its best checkpoint so far")


def resolve_checkpoints(
    section: Component, config: Config, stage: str, ckpt: str | Path | None = None
) -> None:
    """Decide which files the converters of a trainer or predictor load; changes ``section``.

    ``ckpt`` replaces the last converter's file. Files outside ``ckpt_dir`` are inputs, which are
    also looked up near the config. A file that does not exist is replaced by its stage's file in
    ``shipped_ckpt_dir``, if there is one.

    Raises:
        InputError: ``ckpt`` without a converter that loads.
    """
    loads = list(loading_converters(section))
    if ckpt is not None:
        if not loads:
            raise InputError(
                f"{stage}: model_convert_pipeline has no LoadCheckpoint or LoadIntegerModel whose "
                "path --ckpt could replace"
            )
        loads.pop().arguments["checkpoint_path"] = ckpt
    for load in loads:
        path = Path(load.arguments["checkpoint_path"])
        loaded = stage_in_name(path) or stage
        own = checkpoint_path(config.section("ckpt_dir"), loaded)
        if path.parent.resolve() != own.parent.resolve() and not path.exists():
            load.arguments["checkpoint_path"] = path = find_input(path)
        if not path.exists() or path.resolve() == own.resolve():
            stand_in = stage_checkpoint(config, loaded)
            if stand_in.exists():
                load.arguments["checkpoint_path"] = stand_in


def loading_converters(section: Component) -> Iterator[Component]:
    """The converters in a trainer's or predictor's pipeline that read a checkpoint."""
    for component in components(section.arguments.get("model_convert_pipeline")):
        if component.is_a(LoadCheckpoint, LoadIntegerModel):
            if "checkpoint_path" not in component.arguments:
                raise InputError(f"{component.path}: needs the argument 'checkpoint_path'")
            yield component
