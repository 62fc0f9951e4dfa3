"""RGB to the planes that a program reads: YUV444, BT.601 full range, in exact integers.

The matrix is rounded to 1/256; its rows sum to 256, 0 and 0, so that greys stay exactly grey::

    Y = ( 77 R + 150 G +  29 B + 128) >> 8
    U = ((-43 R -  85 G + 128 B + 128) >> 8) + 128
    V = ((128 R - 107 G -  21 B + 128) >> 8) + 128      each clamped to [0, 255]

``+ 128 >> 8`` rounds half up, on negative sums too (arithmetic shift).
"""

from __future__ import annotations

import numpy as np

from horizon.extension import native

GREY = 128  # U and V of a grey pixel
ROWS = ((77, 150, 29), (-43, -85, 128), (128, -107, -21))


def fill_planes(image: np.ndarray, planes: np.ndarray, bgr: bool = False) -> None:
    """Write an image's Y, U and V, its border repeated at the bottom and on the right.

    Args:
        image: uint8 (h, w, 3), or grey (h, w), in any order of memory.
        planes: dense uint8 (3, H, W) to write to, H >= h and W >= w.
        bgr: the channels are B, G, R instead of R, G, B.
    """
    if image.ndim == 3:
        native.fill_planes(np.ascontiguousarray(image), planes, bgr)
        return
    height, width = image.shape
    planes[0, :height, :width] = image
    planes[0, :height, width:] = planes[0, :height, width - 1 : width]
    planes[0, height:] = planes[0, height - 1]
    planes[1:] = GREY
