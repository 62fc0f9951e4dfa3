"""A compiled program of the network, as a function of an image pair, and its file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from hat.errors import InputError
from horizon_flow.given_program import GivenProgram as BoardProgram

__all__ = ["BoardProgram", "pad_planes", "program_file"]


def pad_planes(planes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(C, h, w) as (C, H, W), the border repeated at the bottom and on the right."""
    bottom, right = (to - side for to, side in zip(size, planes.shape[1:], strict=True))
    if not bottom and not right:
        return planes
    padded = [
        cv2.copyMakeBorder(plane, 0, bottom, 0, right, cv2.BORDER_REPLICATE) for plane in planes
    ]
    return np.stack(padded)


def program_file(path: str | Path) -> Path:
    """``path``; InputError unless it is a file."""
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path}: no such program; make one with 'python3 tools/compile_perf.py --config "
            "CONFIG' or check the path"
        )
    return path
