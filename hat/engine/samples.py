"""Pairs of a validation as they are shown to people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hat.metrics import full_resolution

SHOWN = 2
"""Pairs of each validation, the first of its data set."""


@dataclass(frozen=True)
class Sample:
    """A pair with its flow: arrays of one height and width.

    Attributes:
        name: of the pair in its data set.
        image1, image2: uint8 RGB (H, W, 3).
        flow: predicted, (H, W, 2), px.
        gt_flow, gt_valid: true flow and where it is known.
    """

    name: str
    image1: np.ndarray
    image2: np.ndarray
    flow: np.ndarray
    gt_flow: np.ndarray
    gt_valid: np.ndarray | None


def samples_of(batch: Mapping[str, Any], outputs: Any, count: int) -> list[Sample]:
    """Up to ``count`` pairs of a batch; none where its images cannot be shown.

    Args:
        batch: as the data set gives it: ``img`` uint8 (B, 6, H, W) in RGB or BGR, ``gt_flow``.
        outputs: of the model, as metrics get them.
    """
    images, truth = batch.get("img"), batch.get("gt_flow")
    orders = batch.get("color_space") or ["rgb"]
    known = orders[0] in ("rgb", "bgr")
    if images is None or truth is None or images.dtype != torch.uint8 or not known:
        return []
    flows = outputs["pred_flows"] if isinstance(outputs, dict) else outputs
    if isinstance(flows, list | tuple):
        flows = flows[0]
    height, width = truth.shape[-2:]
    count = min(count, len(images))
    flows = full_resolution(flows[:count].float(), (height, width))
    valid, names = batch.get("gt_valid"), batch.get("img_name")
    found = []
    for index in range(count):
        pair = _channels_last(images[index])
        if orders[0] == "bgr":
            pair = pair[..., [2, 1, 0, 5, 4, 3]]
        found.append(
            Sample(
                str(names[index]) if names is not None else str(index),
                np.ascontiguousarray(pair[..., :3]),
                np.ascontiguousarray(pair[..., 3:]),
                _channels_last(flows[index]),
                _channels_last(truth[index]),
                None if valid is None else valid[index].cpu().numpy().reshape(height, width),
            )
        )
    return found


def _channels_last(tensor: torch.Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().cpu().permute(1, 2, 0).numpy()
    return array
