"""The demo's data set: whether what is there is what is asked for."""

from __future__ import annotations

from pathlib import Path

from hat.data.packers.flyingchairs_layout import SPLITS
from hat.data.packers.lmdb_reader import LmdbReader
from hat.data.synthesis.settings import DataSetPaths, read_settings
from hat.errors import InputError


def check_data_set(data_dir: Path, num_pairs: int, num_val: int) -> None:
    """See that the data set, as far as it is there, is the one that is asked for.

    What an earlier run has left half made is completed later; nothing is changed here.

    Raises:
        InputError: it is of other pairs, was not made by the generator, or is incomplete in a way
            that is not completed.
    """
    paths = DataSetPaths(data_dir)
    packed = [split for split in SPLITS if (data_dir / f"{split}_lmdb").exists()]
    remedy = "choose another --data-dir"
    notes = [note for note in (paths.under_way, paths.summary) if note.exists()]
    if not notes:
        if packed or paths.split.exists():
            raise InputError(f"{data_dir}: holds a data set that the demo has not made; {remedy}")
        return
    settings = read_settings(notes[0])
    found = settings.get("num_pairs"), settings.get("num_val")
    if found != (num_pairs, num_val):
        raise InputError(
            f"{data_dir}: holds {found[0]} generated pairs, {found[1]} of them held out, and "
            f"{num_pairs} and {num_val} are asked for; use those with --num-pairs {found[0]} "
            f"--num-val {found[1]}, or {remedy}"
        )
    if notes[0] == paths.summary:
        for index in range(num_val):
            missing = [path for path in paths.pair(index) if not path.is_file()]
            if missing:
                raise InputError(
                    f"{missing[0]}: this file of the generated data set is gone; {remedy}"
                )
    for split, count in (("train", num_pairs - num_val), ("val", num_val)):
        if split in packed:
            names = len(LmdbReader(data_dir / f"{split}_lmdb").names)
            if names != count:
                raise InputError(
                    f"{data_dir / f'{split}_lmdb'}: {names} pairs, expected {count}; pack it again "
                    f"with --overwrite, or {remedy}"
                )
