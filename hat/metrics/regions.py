"""The parts of an image that benchmarks report by themselves."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

__all__ = ["REGIONS", "regions", "result_names"]

DISTANCES = {"d0-10": (0.0, 10.0), "d10-60": (10.0, 60.0), "d60-140": (60.0, 140.0)}
REGIONS = ("matched", "unmatched", *DISTANCES, "noc", "bg", "fg", "bg noc", "fg noc")
UNKNOWN = 255
# What is reported of a region: (name of the result, which sum).
_OF_OCCLUSION = {name: [(f"EPE {name}", "EPE")] for name in REGIONS[:5]}
_OF_NOC = {"noc": [("EPE noc", "EPE"), ("3px noc", "3px"), ("Fl-noc", "Fl")]}
_OF_OBJECTS = {name: [(f"Fl-{name}", "Fl")] for name in REGIONS[6:]}
_RESULTS = {**_OF_OCCLUSION, **_OF_NOC, **_OF_OBJECTS}


def result_names(region: str) -> list[tuple[str, str]]:
    """What is reported of a region: names, each with ``"EPE"``, ``"3px"`` or ``"Fl"``."""
    return _RESULTS[region]


def regions(
    occlusion: Tensor | None, noc: Tensor | None, objects: Tensor | None
) -> dict[str, tuple[Tensor, Tensor]]:
    """The regions that these masks tell apart.

    Args:
        occlusion: (B, 1, H, W) or (B, H, W): 1 where a pixel is not visible in the other image, 0
            where it is, 255 where that is not known; so for the others, all optional.
        noc: 1 where a pixel with known flow is visible in the other image (KITTI).
        objects: 1 on objects that move by themselves (KITTI).

    Returns:
        By name, of those in ``REGIONS`` that the masks give: bool (B, H, W), and bool (B,), whether
        the image has the mask at all.
    """
    found: dict[str, tuple[Tensor, Tensor]] = {}
    if occlusion is not None:
        mask = _plane(occlusion)
        given = _given(mask)
        found["matched"] = mask == 0, given
        found["unmatched"] = mask == 1, given
        distance = boundary_distance(mask)
        for name, (least, most) in DISTANCES.items():
            found[name] = (distance >= least) & (distance < most), given
    if noc is not None:
        mask = _plane(noc)
        found["noc"] = mask == 1, _given(mask)
    if objects is not None:
        mask = _plane(objects)
        given = _given(mask)
        found["bg"], found["fg"] = (mask == 0, given), (mask == 1, given)
        if noc is not None:
            visible, also = found["noc"]
            for name in ("bg", "fg"):
                found[f"{name} noc"] = found[name][0] & visible, given & also
    return found


def boundary_distance(occlusion: Tensor) -> Tensor:
    """Distance of each pixel to the nearest occlusion boundary, px: float32 (B, H, W).

    That is the Euclidean distance between pixel centres to the nearest pixel of the other kind,
    occluded or visible; infinite where the image has but one kind.
    """
    distances = [_distance(mask) for mask in occlusion.cpu().numpy()]
    return torch.from_numpy(np.stack(distances)).to(occlusion.device)


def _distance(mask: np.ndarray) -> np.ndarray:
    inside = (mask == 1).astype(np.uint8)
    if (mask == UNKNOWN).any() or inside.all() or not inside.any():
        return np.full(mask.shape, np.inf, np.float32)
    # of each pixel that is not 0 to the nearest that is
    to_other = [
        cv2.distanceTransform(kind, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for kind in (inside, 1 - inside)
    ]
    return np.maximum(*to_other)


def _plane(mask: Tensor) -> Tensor:
    return mask[:, 0] if mask.ndim == 4 else mask


def _given(mask: Tensor) -> Tensor:
    return (mask != UNKNOWN).all(dim=2).all(dim=1)
