"""The data set FlyingChairs (Dosovitskiy et al., ICCV 2015), packed or raw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hat.data.datasets.flow_pairs import FlowPairs, Sample
from hat.data.flow_io import UNKNOWN_FLOW, known_flow
from hat.data.packers.flyingchairs_layout import (
    DATA_FOLDERS,
    SPLITS,
    find_raw_folder,
    packer_command,
    read_pair,
)
from hat.data.packers.lmdb_reader import LmdbReader
from hat.errors import InputError
from hat.paths import also_tried, find_input
from hat.registry import OBJECT_REGISTRY
from hat.seeding import check_seed

__all__ = ["FlyingChairs"]


@OBJECT_REGISTRY.register
class FlyingChairs(FlowPairs):
    """Image pairs with ground-truth flow.

    A sample holds ``img`` (uint8 (H, W, 6): image 1, image 2), ``gt_flow`` (float32 (H, W, 2) in
    px), ``gt_valid`` (uint8 (H, W), only if ground truth may be unknown), ``img_id``,
    ``img_name``, ``img_shape``, ``layout`` (``"hwc"``) and ``color_space`` (``"rgb"`` or
    ``"bgr"``); then it goes through ``transforms``, with random numbers that depend on (seed,
    epoch, index) alone.

    Args:
        data_path: a packed folder (``.../train_lmdb/``) or the raw one (with
            ``FlyingChairs_release/data`` and ``FlyingChairs_train_val.txt``).
        transforms: callables ``t(sample, rng) -> sample``, applied in order.
        to_rgb: images in the order RGB; BGR if false.
        split_name: ``"train"`` or ``"val"``; needed for a raw folder that holds both.
        seed: of the random numbers handed to the transforms.
        skip_missing: a raw folder may lack files; pairs without all three are left out.
        with_valid: whether samples have ``gt_valid``. By default a packed data set knows whether
            any of its ground truth is unknown, and a raw one is taken as dense.

    Raises:
        InputError: wrong path, unknown or ambiguous split, missing files; when reading a sample:
            a damaged file or record.
    """

    def __init__(
        self,
        data_path: str,
        transforms: Sequence[Callable[..., Sample]] | None = None,
        to_rgb: bool = True,
        split_name: str | None = None,
        seed: int = 0,
        skip_missing: bool = False,
        with_valid: bool | None = None,
    ) -> None:
        if split_name is not None and split_name not in SPLITS:
            raise ValueError(f"split_name is {split_name!r}; expected 'train' or 'val'")
        check_seed(seed)
        self.data_path = find_input(data_path)
        self._reader: LmdbReader | None = None
        if (self.data_path / "data.mdb").exists():
            self._reader = LmdbReader(self.data_path)
            names = self._reader.names
            self.split_name = str(self._reader.meta.get("split"))
            if split_name not in (None, self.split_name):
                raise InputError(
                    f"{self.data_path}: holds the split {self.split_name!r}, but split_name is "
                    f"{split_name!r}"
                )
            sparse = bool(self._reader.meta.get("sparse"))
        else:
            names = self._open_raw(split_name, skip_missing)
            sparse = False
        self.with_valid = sparse if with_valid is None else with_valid
        super().__init__(names, transforms, to_rgb, seed)

    @staticmethod
    def for_pipeline_test(arguments: dict[str, Any], test: Any) -> dict[str, Any]:
        """Generated pairs stand in for a data set that does not exist yet."""
        path = str(arguments["data_path"])
        return (
            arguments
            if find_input(path).exists()
            else {**arguments, "data_path": test.stand_in(path)}
        )

    def _open_raw(self, split_name: str | None, skip_missing: bool) -> list[str]:
        """The names of the pairs of a raw folder."""
        path = self.data_path
        if not any((path / folder).is_dir() for folder in DATA_FOLDERS):
            raise InputError(_nothing_found(path))
        raw = find_raw_folder(path)
        if split_name is None:
            found = raw.splits()
            if len(found) != 1:
                raise InputError(
                    f"{path}: a raw folder with the splits {found}; set split_name, or pack one "
                    f"and give the path {path / 'train_lmdb'}: {packer_command(path, 'train')}"
                )
            split_name = found[0]
        self.split_name = split_name
        self._raw_data = raw.data
        return raw.whole_names(split_name, skip_missing, "set skip_missing=True to go without")

    def _read(self, index: int) -> dict[str, np.ndarray]:
        name = self.names[index]
        if self._reader is not None:
            arrays, attributes = self._reader.read(name)
            images, flow = arrays.get("img"), arrays.get("gt_flow")
            if images is None or flow is None or images.shape != (*flow.shape[:2], 6):
                raise InputError(f"{self.data_path}, record {name!r}: not a pair with its flow")
            unknown = bool(attributes.get("unknown"))
        else:
            images, flow = read_pair(self._raw_data, name)
            # NaN makes both extremes NaN, and no comparison with it is true
            unknown = not max(flow.max(), -flow.min()) <= UNKNOWN_FLOW
        if not self.with_valid:
            if unknown:
                raise InputError(
                    f"{self.data_path}, pair {name!r}: a part of its flow is unknown (NaN "
                    "or beyond 1e9); set with_valid=True for samples with a mask"
                )
            return {"img": images, "gt_flow": flow}
        valid = np.ones(flow.shape[:2], np.uint8)
        if unknown:
            flow, valid = known_flow(flow)
        return {"img": images, "gt_flow": flow, "gt_valid": valid}


def _nothing_found(path: Path) -> str:
    """The message for a path that is no data set: what was looked for, and what makes it."""
    packed = sorted(p.parent.name for p in path.glob("*_lmdb/data.mdb")) if path.is_dir() else []
    split = next((name for name in SPLITS if path.name == f"{name}_lmdb"), "train")
    root = path.parent if path.name.endswith("_lmdb") else path
    found = f"the path does not exist{also_tried(path)}"
    if packed:
        found = f"found {', '.join(packed)} in it: give the path of one of them"
    elif path.with_name(path.name + ".partial").is_dir():
        found = f"found {path.name}.partial: packing has not finished, run the command again"
    elif path.is_dir():
        found = "the folder has neither"
    elif path.exists():
        found = "this is a file"
    return (
        f"{path}: no FlyingChairs data set here; looked for {path / 'data.mdb'} (packed) and "
        f"{path / DATA_FOLDERS[0]} (raw): {found}. To pack one: {packer_command(root, split)}"
    )
