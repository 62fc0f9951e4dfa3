"""RGB to the planes that a program reads: YUV444, BT.601 full range, in exact integers.

The matrix is rounded to 1/256; its rows sum to 256, 0 and 0, so that greys stay exactly grey::

    Y = ( 77 R + 150 G +  29 B + 128) >> 8
    U = ((-43 R -  85 G + 128 B + 128) >> 8) + 128
    V = ((128 R - 107 G -  21 B + 128) >> 8) + 128      each clamped to [0, 255]

``+ 128 >> 8`` rounds half up, on negative sums too (arithmetic shift).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Y_ROW, U_ROW, V_ROW = (77, 150, 29), (-43, -85, 128), (128, -107, -21)
GREY = 128  # U and V of a grey pixel
ROWS_AT_A_TIME = 64  # of 640 pixels: their intermediate values stay in a core's cache


def fill_planes(image: np.ndarray, planes: np.ndarray, bgr: bool = False) -> None:
    """Write an image's Y, U and V, its border repeated at the bottom and on the right.

    Args:
        image: uint8 (h, w, 3), or grey (h, w).
        planes: uint8 (3, H, W) to write to, H >= h and W >= w.
        bgr: the channels are B, G, R instead of R, G, B.
    """
    height, width = image.shape[:2]
    inner = planes[:, :height, :width]
    if image.ndim == 2:
        inner[0] = image
        planes[1:] = GREY
    else:
        for top in range(0, height, ROWS_AT_A_TIME):
            part = slice(top, top + ROWS_AT_A_TIME)
            channels = np.moveaxis(image[part], 2, 0).astype(np.uint16)
            fill_yuv(channels, inner[:, part], bgr)
    if width < planes.shape[2]:
        planes[:, :height, width:] = planes[:, :height, width - 1 : width]
    if height < planes.shape[1]:
        planes[:, height:] = planes[:, height - 1 : height]


def fill_yuv(channels: Sequence[np.ndarray] | np.ndarray, out: np.ndarray, bgr: bool) -> None:
    """Write Y, U and V of three planes of whole numbers 0..255 to ``out``, uint8 (3, ...).

    In uint16, where numpy's vector instructions take twice as many values as in int32: a row's sum
    plus 256 times its centre lies in 0..65408, whatever wraps around on the way to it. Adding 128
    to that would not fit; (sum + 128) >> 8 is ((sum >> 7) + 1) >> 1.
    """
    r, g, b = channels[::-1] if bgr else channels
    for row, centre, plane in zip((Y_ROW, U_ROW, V_ROW), (0, GREY, GREY), out, strict=True):
        total = r * np.uint16(row[0] & 0xFFFF)
        total += g * np.uint16(row[1] & 0xFFFF)
        total += b * np.uint16(row[2] & 0xFFFF)
        total += np.uint16(centre << 8)
        total >>= 7
        total += 1
        total >>= 1
        np.minimum(total, 255, out=plane, casting="unsafe")
