"""Flow of a whole data set in the files that its benchmark takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hat.data.flow_io import KITTI_RANGE, write_flo, write_kitti_png
from hat.errors import InputError
from hat.metrics import full_resolution

__all__ = ["Submission"]


class Submission:
    """The files of one data set.

    Args:
        dataset: one with ``submission_path(index)``, the file of a pair, such as
            ``clean/ambush_1/frame0001.flo`` or ``flow/000000_10.png``.

    Attributes:
        paths: of all pairs, relative to the submission's folder.

    Raises:
        InputError: its format is not known.
    """

    def __init__(self, dataset: Any) -> None:
        path_of = getattr(dataset, "submission_path", None)
        if path_of is None:
            raise InputError(
                f"there is no submission format for {type(dataset).__name__}; those of Sintel, "
                "KITTI2012 and KITTI2015 are known. hat infer writes flow of any images"
            )
        self.paths = [Path(path_of(index)) for index in range(len(dataset))]

    def write(self, folder: Path, batch: Mapping[str, Any], outputs: Any) -> None:
        """Write the flows of a batch below ``folder``.

        Raises:
            InputError: a flow that is not finite, or a file that cannot be written.
        """
        flows = outputs["pred_flows"] if isinstance(outputs, Mapping) else outputs
        height, width = batch["img"].shape[-2:]
        flows = full_resolution(flows, (height, width)).permute(0, 2, 3, 1).cpu().numpy()
        for number, name, flow in zip(batch["img_id"], batch["img_name"], flows, strict=True):
            if not np.isfinite(flow).all():
                raise InputError(
                    f"the network's flow of {name} is NaN or infinite; its weights are damaged or "
                    "its training failed: use another checkpoint"
                )
            path = folder / self.paths[int(number)]
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".flo":
                write_flo(path, flow)
            else:
                write_kitti_png(path, np.clip(flow, *KITTI_RANGE))
