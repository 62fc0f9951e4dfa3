"""The one type of a batch: its keys, and the point from which each is there.

A batch is a plain dict, so that a config's transforms and functions may add keys of their own. A
key has one type at every point::

    data set -> collate_2d -> (device) -> batch transforms ... Scale -> network, metrics
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from torch import Tensor

__all__ = ["Batch", "with_levels_under_old_keys"]


class Batch(TypedDict, total=False):
    """B pairs of images of one size, H x W, as ``collate_2d`` makes it of the samples."""

    img: Tensor
    """(B, 6, H, W): image 1, then image 2. uint8 in ``color_space``; from BgrToYuv444 on float32 in
    0 to 255, from Normalize on about -1 to 1, which the network takes."""
    gt_flow: Tensor
    """(B, 2, H, W), float32: true flow (u, v) in pixels. Not without ground truth."""
    gt_valid: Tensor
    """(B, 1, H, W), uint8: 1 where ``gt_flow`` is known. All is known without this key."""
    gt_occlusion: Tensor
    """(B, 1, H, W), uint8: 1 where a pixel of image 1 is not visible in image 2, 0 where it is, 255
    where that is not known. Only of data sets that say so, as the next two."""
    gt_noc: Tensor
    """(B, 1, H, W), uint8: 1 where the flow is known and the pixel visible in image 2 (KITTI)."""
    gt_object: Tensor
    """(B, 1, H, W), uint8: 1 on objects that move by themselves, 0 on the background (KITTI)."""
    img_id: list[int]
    """Index of each pair in the data set."""
    img_name: list[str]
    """Name of each pair, for messages."""
    img_shape: list[tuple[int, ...]]
    """(H, W, 6) of each pair."""
    layout: list[str]
    """"chw", in which ToTensor leaves each sample."""
    color_space: list[str]
    """"rgb", "bgr" or "yuv444" of each pair."""
    gt_flow_levels: list[Tensor]
    """From Scale on: (B, 2, ceil(H s), ceil(W s)) for each scale s, finest first, float32, in
    pixels of the full-resolution image."""
    gt_valid_levels: list[Tensor]
    """From Scale on, if there is ``gt_valid``: (B, 1, ...) of the same sizes, float32, 0 or 1."""
    gt_ori_flow: Tensor
    """From Scale on: ``gt_flow`` under the name that configs of this network read."""
    gt_ori_valid: Tensor
    """From Scale on, if there is ``gt_valid``: the same tensor."""


def with_levels_under_old_keys(batch: Mapping[str, Any]) -> dict[str, Any]:
    """What a config's ``metric_update_func`` gets in training: levels as ``gt_flow``, ``gt_valid``.

    Configs read the finest level there, ``batch["gt_flow"][0]``. The keys of :class:`Batch` that
    name the levels and the original stay as they are; without levels nothing changes.
    """
    old = {
        key: batch[f"{key}_levels"] for key in ("gt_flow", "gt_valid") if f"{key}_levels" in batch
    }
    return {**batch, **old}
