"""From arrays to tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from hat.data.transforms.sample import MASKS, image_pair, put, sample_name
from hat.data.transforms.yuv import rgb_to_yuv444_uint8
from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY


@OBJECT_REGISTRY.register
class ToTensor:
    """Turn the arrays of a sample into ``(C, H, W)`` tensors that share their memory.

    img: uint8 (6, H, W); gt_flow: float32 (2, H, W); gt_valid and other masks: uint8 (1, H, W).

    Args:
        to_yuv: convert the images to YUV444 here, in the exact integer form of the board
            (``rgb_to_yuv444_uint8``), instead of on the whole batch with ``BgrToYuv444``.

    Raises:
        InputError: the sample holds tensors already, or ``to_yuv`` meets YUV images.
    """

    def __init__(self, to_yuv: bool = False) -> None:
        self.to_yuv = bool(to_yuv)

    def __call__(self, data: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        if data.get("layout") == "chw":
            raise InputError(f"{sample_name(data)}: ToTensor on tensors; use it once")
        image = image_pair(data)
        if self.to_yuv:
            order = data.get("color_space", "rgb")
            if order not in ("rgb", "bgr"):
                raise InputError(
                    f"{sample_name(data)}: ToTensor(to_yuv=True) needs rgb or bgr images, "
                    f"found {order!r}; set to_yuv=False"
                )
            pair = image.reshape(*image.shape[:2], 2, 3)
            image = rgb_to_yuv444_uint8(pair, bgr=order == "bgr").reshape(image.shape)
            data["color_space"] = "yuv444"
        data["layout"] = "chw"
        put(data, "img", image)
        if data.get("gt_flow") is not None:
            put(data, "gt_flow", np.asarray(data["gt_flow"], np.float32))
        for key in MASKS:
            if data.get(key) is not None:
                put(data, key, np.asarray(data[key], np.uint8))
        return data
