"""Write a synthetic data set in FlyingChairs' layout: in parallel, resumable, reproducible.

Layout, as in the published data set::

    {target}/FlyingChairs_release/data/00001_img1.ppm  00001_img2.ppm  00001_flow.flo ...
    {target}/FlyingChairs_train_val.txt    a line for each pair, 1 = training, 2 = validation
    {target}/generator.json                settings and flow statistics

Pair i (from 0) is drawn from ``numpy.random.default_rng((seed, i))`` and nothing else, so its bytes
do not depend on workers, order or interruptions. Every file appears under its name whole or not at
all; the split file and ``generator.json`` come last. Until then the settings stand in
``.generator_settings.json``: the same command again goes on where it stopped, others are refused.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import hat.data.synthesis.workers as workers
from hat.data.file_lock import lock_alone
from hat.data.files import write_file, write_json
from hat.data.synthesis.render import TextureSource
from hat.data.synthesis.settings import DataSetPaths, GeneratorSettings, read_settings
from hat.errors import InputError
from horizon.files import final_name

__all__ = ["generate_data_set"]


def generate_data_set(
    target: str | os.PathLike[str],
    settings: GeneratorSettings,
    textures: TextureSource | None = None,
    num_workers: int = 1,
) -> dict[str, Any]:
    """Write the data set, or what is missing of it; return the content of ``generator.json``.

    Raises:
        InputError: the folder holds other data or was made with other settings, another run writes
            to it, the disk is full or too small, a photograph is damaged, or a worker died.
    """
    paths = DataSetPaths(Path(target))
    with _folder(paths.data), _lock(paths.data):
        _check_earlier_run(paths, settings)
        _remove_leftovers(paths, settings)
        _check_space(paths, settings)
        write_json(paths.under_way, {"settings": settings.as_dict()})
        statistics = workers.generate_pairs(paths, settings, textures, num_workers)
        split = "".join(f"{label}\n" for label in settings.split())
        write_file(paths.split, split.encode())
        summary = {
            "settings": settings.as_dict(),
            "flow_length_px": statistics.summary(),
            "made_with": {"numpy": np.__version__, "opencv": cv2.__version__},
        }
        write_json(paths.summary, summary)
        paths.under_way.unlink(missing_ok=True)
    return summary


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Make ``folder``; after an error, remove those of its folders that were made and are empty."""
    missing = [path for path in (folder, *folder.parents) if not os.path.exists(path)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove_empty(missing)
        raise InputError(f"{folder}: cannot make this folder: {error.strerror}") from error
    try:
        yield
    except InputError:
        _remove_empty(missing)
        raise


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, the innermost first, up to one that holds something."""
    with contextlib.suppress(OSError):
        for folder in folders:
            if os.path.exists(folder):
                folder.rmdir()


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the folder alone; the system lets go of it when the process ends, however it ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        lock_alone(
            handle,
            folder,
            "another generator is writing to this folder; wait for it or choose another "
            "--target-data-dir",
        )
        yield
    finally:
        os.close(handle)


def _check_earlier_run(paths: DataSetPaths, settings: GeneratorSettings) -> None:
    for note in (paths.under_way, paths.summary):
        if not note.exists():
            continue
        earlier, wanted = read_settings(note), settings.as_dict()
        # the format last: it may differ because of another setting, which says more
        for key in sorted(wanted.keys() | earlier.keys(), key=lambda key: (key == "format", key)):
            if earlier.get(key) != wanted.get(key):
                raise InputError(
                    f"{paths.target}: was generated with {key} = {earlier.get(key)!r}, now "
                    f"{wanted.get(key)!r} is asked for; repeat the earlier settings to complete "
                    "it, or choose another --target-data-dir"
                )
        return
    found = next(paths.data.iterdir(), None)
    if found is not None or paths.split.exists():
        raise InputError(
            f"{paths.target}: holds data that this generator did not make ({found or paths.split});"
            " choose another --target-data-dir"
        )


def _remove_leftovers(paths: DataSetPaths, settings: GeneratorSettings) -> None:
    """Remove the temporary files of a run that was killed, and no others."""
    made = {
        paths.target: [paths.split, paths.summary, paths.under_way],
        paths.data: [path for index in range(settings.num_pairs) for path in paths.pair(index)],
    }
    for folder, files in made.items():
        names = {path.name for path in files}
        for leftover in folder.glob(".*.tmp"):
            ours = final_name(leftover.name) in names
            if ours and leftover.is_file() and not leftover.is_symlink():
                leftover.unlink(missing_ok=True)


def _check_space(paths: DataSetPaths, settings: GeneratorSettings) -> None:
    missing = sum(
        not workers.is_complete(paths, settings, index) for index in range(settings.num_pairs)
    )
    needed = missing * sum(workers.file_sizes(settings.size))
    free = shutil.disk_usage(paths.data).free
    if needed > free:
        raise InputError(
            f"{paths.data}: {missing} pairs need {needed / 1e9:.2f} GB, the disk has "
            f"{free / 1e9:.2f} GB free; make room, or ask for fewer or smaller pairs"
        )
