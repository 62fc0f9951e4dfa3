"""The ground truth at the levels of the pyramid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY

_MODES = {"nearest": "nearest-exact", "bilinear": "bilinear", "area": "area"}
# weights of bilinear interpolation below this are rounding, not pixels
_LEAST_SHARE = 1e-3


@OBJECT_REGISTRY.register
class Scale:
    """Batch transform: resize the flow to several sizes without changing its values.

    ``gt_flow_levels`` is a list of (B, 2, ceil(H s), ceil(W s)), one per scale s in the order given
    (finest first), still in full-resolution pixels, made of ``gt_flow`` (B, 2, H, W), which stays
    and is ``gt_ori_flow`` too. With ``gt_valid`` (B, 1, H, W), each value is the average of the
    valid pixels alone (0 where there are none), ``gt_valid_levels`` is a list of float 0/1 maps of
    the same sizes, and ``gt_valid`` is ``gt_ori_valid`` too (:class:`hat.data.batch.Batch`).

    For s = 1/k the map is first extended to multiples of k by repeating its last row and column,
    as the network does with its images, so that cell (i, j) always covers the k x k pixels from
    (k i, k j).

    Args:
        scales: factors in (0, 1], finest first.
        mode: "bilinear" interpolates at the centre of the cell between its 2x2 pixels
            (``align_corners=False``, no smoothing, the common practice for PWC-Net), "nearest"
            takes the pixel at the centre, "area" averages the whole cell, which suits sparse
            ground truth.

    Raises:
        InputError: the batch has no flow, or has levels already.
    """

    def __init__(self, scales: Sequence[float], mode: str = "bilinear") -> None:
        self.scales = tuple(float(scale) for scale in scales)
        if not self.scales or not all(0.0 < scale <= 1.0 for scale in self.scales):
            raise ValueError(f"scales are factors in (0, 1], found {tuple(scales)!r}")
        if list(self.scales) != sorted(self.scales, reverse=True):
            raise ValueError(f"scales go from the finest to the coarsest, found {self.scales!r}")
        if mode not in _MODES:
            raise ValueError(f"mode is one of {', '.join(_MODES)}, found {mode!r}")
        self.mode = mode

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        flow = batch.get("gt_flow")
        if not isinstance(flow, torch.Tensor) or "gt_flow_levels" in batch:
            raise InputError(
                "Scale: the batch has no tensor 'gt_flow', or has 'gt_flow_levels' already; use "
                "Scale once, and only where the data set gives ground truth"
            )
        valid = batch.get("gt_valid")
        if valid is None:
            levels = [self._resize(flow.float(), scale) for scale in self.scales]
            return {**batch, "gt_flow_levels": levels, "gt_ori_flow": flow}
        mask = (valid > 0).float()
        known = torch.where(valid > 0, flow.float(), 0.0)
        flows, valids = [], []
        for scale in self.scales:
            share = self._resize(mask, scale)
            keep = share > _LEAST_SHARE if self.mode == "bilinear" else share > 0
            flows.append(self._resize(known, scale) / torch.where(keep, share, 1.0) * keep)
            valids.append(keep.float())
        return {
            **batch,
            "gt_flow_levels": flows,
            "gt_ori_flow": flow,
            "gt_valid_levels": valids,
            "gt_ori_valid": valid,
        }

    def _resize(self, image: torch.Tensor, scale: float) -> torch.Tensor:
        height, width = image.shape[-2:]
        # 1e-6: 1 / 3 * 9 must give 3, not ceil(3.0000000000000004)
        size = (math.ceil(height * scale - 1e-6), math.ceil(width * scale - 1e-6))
        factor = round(1 / scale)
        if abs(factor * scale - 1) < 1e-6:
            missing = (size[1] * factor - width, size[0] * factor - height)
            if any(missing):
                image = functional.pad(image, (0, missing[0], 0, missing[1]), mode="replicate")
        how = _MODES[self.mode]
        align = {"align_corners": False} if how == "bilinear" else {}
        return functional.interpolate(image, size=size, mode=how, **align)
