"""RGB to the planes that a program reads: YUV444, BT.601 full range, in exact integers.

The matrix is rounded to 1/256; its rows sum to 256, 0 and 0, so that greys stay exactly grey::

    Y = ( 77 R + 150 G +  29 B + 128) >> 8
    U = ((-43 R -  85 G + 128 B + 128) >> 8) + 128
    V = ((128 R - 107 G -  21 B + 128) >> 8) + 128      each clamped to [0, 255]

``+ 128 >> 8`` rounds half up, on negative sums too (arithmetic shift).
"""

from __future__ import annotations

import numpy as np

GREY = 128  # U and V of a grey pixel
ROWS = ((77, 150, 29), (-43, -85, 128), (128, -107, -21))
_HALF_A_UNIT = 0.5 / 256
_MATRIX = np.array(
    [
        (*(value / 256 for value in row), centre + _HALF_A_UNIT)
        for row, centre in zip(ROWS, (0, GREY, GREY), strict=True)
    ],
    np.float32,
)
"""For an affine transform that rounds to the nearest: values are multiples of 1/256, and with half
of that added none lies within 1/512 of the middle between two integers. Any arithmetic that is more
precise than that gives the integers above, however it rounds; float32 has no error at all here."""


def yuv444(image: np.ndarray, bgr: bool = False) -> np.ndarray:
    """uint8 (H, W, 3) in Y, U, V.

    Args:
        image: uint8 (H, W, 3).
        bgr: its channels are B, G, R instead of R, G, B.
    """
    import cv2  # who only looks at a model's attributes does without it

    matrix = _MATRIX[:, [2, 1, 0, 3]] if bgr else _MATRIX
    return cv2.transform(image, matrix)


def fill_planes(image: np.ndarray, planes: np.ndarray, bgr: bool = False) -> None:
    """Write an image's Y, U and V, its border repeated at the bottom and on the right.

    Args:
        image: uint8 (h, w, 3), or grey (h, w).
        planes: uint8 (3, H, W) to write to, H >= h and W >= w.
        bgr: the channels are B, G, R instead of R, G, B.
    """
    height, width = image.shape[:2]
    if image.ndim == 2:
        planes[0, :height, :width] = image
        planes[1:] = GREY
    else:
        import cv2

        for plane, values in zip(planes, cv2.split(yuv444(image, bgr)), strict=True):
            plane[:height, :width] = values
    if width < planes.shape[2]:
        planes[:, :height, width:] = planes[:, :height, width - 1 : width]
    if height < planes.shape[1]:
        planes[:, height:] = planes[:, height - 1 : height]
