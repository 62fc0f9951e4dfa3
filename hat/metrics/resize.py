"""The network's flow at the size of the image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

MAX_LEVEL = 6


def full_resolution(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize flow of a pyramid level to the image.

    The level follows from the sizes: level l has ceil(H / 2**l) x ceil(W / 2**l) pixels. Bilinear
    by exactly 2**l (``align_corners=False``), then cropped; values are full-resolution pixels
    already and stay as they are (architecture.md, Conventions).

    Args:
        flow: (B, 2, h, w) of any floating type, px of the full-resolution image.
        size: (H, W) of the image.

    Returns:
        float32 (B, 2, H, W).

    Raises:
        ValueError: no pyramid level of an H x W image is h x w.
    """
    flow = flow.float()
    height, width = size
    for level in range(MAX_LEVEL + 1):
        if (-(-height >> level), -(-width >> level)) == tuple(flow.shape[-2:]):
            break
    else:
        raise ValueError(
            f"flow of {flow.shape[-2]}x{flow.shape[-1]} belongs to no pyramid level of an image of "
            f"{height}x{width}; expected ceil(H/4) x ceil(W/4), which is "
            f"{-(-height // 4)}x{-(-width // 4)}"
        )
    if level == 0:
        return flow
    # The ratio is given by the output size: a scale_factor would let the library decide whether
    # the given or the actual ratio counts.
    target = (flow.shape[-2] << level, flow.shape[-1] << level)
    large = F.interpolate(flow, size=target, mode="bilinear", align_corners=False)
    return large[..., :height, :width]


def valid_mask(labels: Tensor, valid: Tensor | None) -> Tensor:
    """Pixels that have ground truth: bool (B, H, W).

    A pixel counts if ``valid`` ((B, 1, H, W) or (B, H, W), non-zero = valid) says so and its
    label is a flow: finite and at most 1e9 px, the .flo format's mark of an unknown flow.
    """
    known = (labels.abs() <= 1e9).all(dim=1)
    if valid is None:
        return known
    mask = valid[:, 0] if valid.ndim == 4 else valid
    if mask.shape != known.shape:
        raise ValueError(
            f"validity mask of shape {tuple(valid.shape)} for flow of shape {tuple(labels.shape)}; "
            f"expected {(labels.shape[0], 1, *labels.shape[2:])}"
        )
    return known & (mask != 0)


def check_pair(labels: Tensor, preds: Tensor) -> None:
    """ValueError unless both are flows (B, 2, ., .) of the same batch size."""
    for name, value in (("labels", labels), ("preds", preds)):
        if not torch.is_tensor(value) or value.ndim != 4 or value.shape[1] != 2:
            found = tuple(value.shape) if torch.is_tensor(value) else type(value).__name__
            raise ValueError(f"{name}: expected a flow tensor (B, 2, H, W), found {found}")
    if labels.shape[0] != preds.shape[0]:
        raise ValueError(f"{labels.shape[0]} labels for {preds.shape[0]} predictions")
