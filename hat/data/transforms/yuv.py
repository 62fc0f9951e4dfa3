"""RGB to YUV444, BT.601 full range: exact in float for training, exact in integers for the board.

Float (ITU-R BT.601-7, section 2.5, with the full range of JFIF)::

    Y = 0.299 R + 0.587 G + 0.114 B
    U = (B - Y) / 1.772 + 128
    V = (R - Y) / 1.402 + 128          each clamped to [0, 255]

Integer: the same matrix rounded to 1/256 (rows sum to 256, 0, 0, so greys stay exactly grey)::

    Y = ( 77 R + 150 G +  29 B + 128) >> 8
    U = ((-43 R -  85 G + 128 B + 128) >> 8) + 128
    V = ((128 R - 107 G -  21 B + 128) >> 8) + 128      each clamped to [0, 255]

``+ 128 >> 8`` rounds half up, on negative sums too (arithmetic shift). The two forms differ by
at most 1 after rounding.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch

from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY
from horizon_flow.colour import GREY, ROWS, fill_planes

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


def _integer_rows(r: Any, g: Any, b: Any) -> list[Any]:
    """Y, U, V before clamping; r, g, b are int32 tensors."""
    rows = [(row[0] * r + row[1] * g + row[2] * b + 128) >> 8 for row in ROWS]
    return [rows[0], rows[1] + 128, rows[2] + 128]


def rgb_to_yuv444_uint8(image: np.ndarray, bgr: bool = False) -> np.ndarray:
    """The board's colour conversion (integer form above).

    Args:
        image: uint8 ``(..., 3)``.
        bgr: the channels are B, G, R instead of R, G, B.

    Returns:
        uint8 ``(..., 3)``: Y, U, V.

    Raises:
        InputError: not uint8, or the last axis is not 3.
    """
    if image.dtype != np.uint8 or image.shape[-1] != 3:
        raise InputError(
            f"rgb_to_yuv444_uint8: expected uint8 (..., 3), found {image.dtype} {image.shape}"
        )
    matrix = _MATRIX[:, [2, 1, 0, 3]] if bgr else _MATRIX
    return cv2.transform(image.reshape(1, -1, 3), matrix).reshape(image.shape)


def board_image(images: np.ndarray, bgr: bool = False) -> np.ndarray:
    """Images as they lie in a camera's memory to the planes that the board reads.

    Args:
        images: uint8 ``(H, W, 3 n)``, n images.
        bgr: the channels are B, G, R instead of R, G, B.

    Returns:
        uint8 ``(3 n, H, W)``: Y, U, V of each image, integer form.

    Raises:
        InputError: not uint8, or not ``(H, W, 3 n)``.
    """
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[2] % 3:
        raise InputError(
            f"board_image: expected uint8 (H, W, 3 or 6), found {images.dtype} {images.shape}"
        )
    out = np.empty((images.shape[2], *images.shape[:2]), np.uint8)
    for first in range(0, len(out), 3):
        fill_planes(images[..., first : first + 3], out[first : first + 3], bgr)
    return out


@OBJECT_REGISTRY.register
class BgrToYuv444:
    """Batch transform: images in RGB or BGR to YUV444 in 0..255, float32.

    ``img`` (B, 3 n, H, W), uint8 or floating, becomes float32 of the same shape; six channels are
    two images. Computed in float32 element by element: autocast and TF32, which would cost
    whole grey levels, have no say in it.

    Args:
        rgb_input: the channels are R, G, B; False: B, G, R.
        integer: use the board's integer form: whole numbers, the bits the board sees.

    Raises:
        InputError: the number of channels is no multiple of 3, or ``color_space`` in the batch
            contradicts ``rgb_input``.
    """

    def __init__(self, rgb_input: bool = False, integer: bool = False) -> None:
        self.rgb_input = bool(rgb_input)
        self.integer = bool(integer)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        image = batch["img"]
        spaces = batch.get("color_space")
        if spaces is not None:
            found = {spaces} if isinstance(spaces, str) else set(spaces)
            expected = "rgb" if self.rgb_input else "bgr"
            if found != {expected}:
                raise InputError(
                    f"BgrToYuv444(rgb_input={self.rgb_input}) expects {expected} images, the data "
                    f"set gives {', '.join(sorted(map(str, found)))}; make to_rgb of the data set, "
                    f"to_yuv of ToTensor and rgb_input agree"
                )
            batch = {
                **batch,
                "color_space": "yuv444" if isinstance(spaces, str) else ["yuv444"] * len(spaces),
            }
        return {**batch, "img": self.convert(image)}

    def convert(self, image: torch.Tensor) -> torch.Tensor:
        """(B, 3 n, H, W) RGB or BGR to float32 YUV444 of the same shape."""
        if image.ndim != 4 or image.shape[1] % 3:
            raise InputError(f"BgrToYuv444: expected (B, 3 or 6, H, W), found {tuple(image.shape)}")
        size, channels, height, width = image.shape
        # planar first, while it is still bytes: four times less to move than as floats
        planes = image.contiguous().unflatten(1, (channels // 3, 3)).unbind(2)
        first, g, last = planes
        r, b = (first, last) if self.rgb_input else (last, first)
        if self.integer:
            r, g, b = (_whole(plane) for plane in (r, g, b))
            y, u, v = (row.clamp(0, 255).float() for row in _integer_rows(r, g, b))
            return torch.stack((y, u, v), dim=2).flatten(1, 2)
        r, g, b = (plane.float() for plane in (r, g, b))
        out = torch.empty(
            (size, channels // 3, 3, height, width), dtype=torch.float32, device=image.device
        )
        y = torch.mul(r, 0.299).add_(g, alpha=0.587).add_(b, alpha=0.114)
        out[:, :, 0] = y
        # Y of 0..255 never leaves 0..255; only the upper end of the chroma does (255.5)
        out[:, :, 1] = torch.sub(b, y).mul_(1 / 1.772).add_(128.0).clamp_(0.0, 255.0)
        out[:, :, 2] = torch.sub(r, y).mul_(1 / 1.402).add_(128.0).clamp_(0.0, 255.0)
        return out.flatten(1, 2)


def _whole(plane: torch.Tensor) -> torch.Tensor:
    """uint8 or floating grey levels as int32, halves up."""
    if plane.is_floating_point():
        plane = (plane.float() + 0.5).floor().clamp(0, 255)
    return plane.to(torch.int32)
