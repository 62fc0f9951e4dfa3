"""One image pair through a network: the functions that a config's ``infer_cfg`` names.

``process_inputs(infer_inputs) -> batch``, the config's ``transforms`` and the network,
``process_outputs(outputs, batch) -> flow``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from hat.data.collates import collate_2d
from hat.data.image_io import read_image
from hat.data.transforms import ToTensor
from hat.errors import InputError
from hat.metrics import full_resolution


def read_pair(inputs: Mapping[str, str | Path]) -> dict[str, Any]:
    """Read ``inputs["img1"]`` and ``inputs["img2"]``, images of any format and one size.

    Returns:
        A batch of one: ``img`` uint8 RGB (1, 6, H, W) and the other keys of a data set's sample.

    Raises:
        InputError: a missing entry, an unreadable image, or images of different sizes.
    """
    for key in ("img1", "img2"):
        if key not in inputs:
            raise InputError(
                f"no {key}: two images are needed (--model-inputs img1:PATH,img2:PATH); "
                f"found {', '.join(sorted(inputs)) or 'none'}"
            )
    first, second = (read_image(inputs[key]) for key in ("img1", "img2"))
    if first.shape != second.shape:
        sizes = [f"{image.shape[1]}x{image.shape[0]}" for image in (first, second)]
        raise InputError(
            f"{inputs['img1']} has {sizes[0]} pixels and {inputs['img2']} {sizes[1]}; flow needs "
            "two images of one size: resize or crop one of them"
        )
    return pair_batch(first, second, Path(inputs["img1"]).stem)


def pair_batch(first: np.ndarray, second: np.ndarray, name: str) -> dict[str, Any]:
    """Two images, uint8 RGB (H, W, 3) of one size, as a batch of one, see :func:`read_pair`."""
    image = np.concatenate([first, second], axis=2)
    sample = {
        "img": image,
        "img_id": 0,
        "img_name": name,
        "img_shape": image.shape,
        "layout": "hwc",
        "color_space": "rgb",
    }
    # This transform draws nothing from its generator.
    return collate_2d([ToTensor(to_yuv=False)(sample, np.random.default_rng(0))])


def full_resolution_flow(outputs: Tensor, batch: Mapping[str, Any]) -> np.ndarray:
    """The first flow of a batch at the size of its image.

    Args:
        outputs: (B, 2, ceil(H/4), ceil(W/4)), px of the full-resolution image.
        batch: as the network got it, for H and W.

    Returns:
        float32 (H, W, 2), px.

    Raises:
        InputError: values that are not finite.
    """
    height, width = batch["img"].shape[-2:]
    flow = full_resolution(outputs[:1], (height, width))[0].permute(1, 2, 0).cpu().numpy()
    bad = int(np.count_nonzero(~np.isfinite(flow).all(axis=2)))
    if bad:
        raise InputError(
            f"the network's flow is NaN or infinite in {bad} of {height * width} pixels; its "
            "weights are damaged or its training failed: use another checkpoint"
        )
    return np.ascontiguousarray(flow)
