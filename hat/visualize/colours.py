"""Colours for flow and for its error.

Flow: the colour wheel of Baker et al., "A Database and Evaluation Methodology for Optical Flow"
(ICCV 2007), as torchvision draws it: hue is the direction, white is no motion. Error: the ten
logarithmic steps of the KITTI 2015 development kit, blue below 3 px, yellow to red above.
"""

from __future__ import annotations

import numpy as np
import torch
from torchvision.utils import flow_to_image

# Upper bounds of the error steps in px; the last step has none.
ERROR_STEPS = tuple(3.0 * 2.0**power for power in range(-4, 5))
ERROR_COLOURS = np.array(
    [
        (49, 54, 149),
        (69, 117, 180),
        (116, 173, 209),
        (171, 217, 233),
        (224, 243, 248),
        (254, 224, 144),
        (253, 174, 97),
        (244, 109, 67),
        (215, 48, 39),
        (165, 0, 38),
    ],
    np.uint8,
)
# Speed, px, with full colour at the least, unless the caller gives one: where nothing moves, a
# network finds noise of a fraction of a pixel, which is to look like it.
LEAST_SCALE = 1.0
UNKNOWN_COLOUR = np.zeros(3, np.uint8)


def largest_speed(flow: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Largest finite |flow|, px, of the valid pixels of (H, W, 2); 0 if there is none."""
    speed = np.hypot(flow[..., 0], flow[..., 1])
    known = np.isfinite(speed) if valid is None else np.isfinite(speed) & (valid > 0)
    return float(speed[known].max(initial=0.0))


def colour_scale(*flows: tuple[np.ndarray, np.ndarray | None]) -> float:
    """Speed, px, with full colour for the first of the (flow, valid) in which anything moves.

    It is the largest speed there, and ``LEAST_SCALE`` at the least.
    """
    largest = (largest_speed(flow, valid) for flow, valid in flows)
    return max(next(filter(None, largest), 0.0), LEAST_SCALE)


def flow_colours(
    flow: np.ndarray, max_flow: float | None = None, valid: np.ndarray | None = None
) -> np.ndarray:
    """Paint a flow field.

    Args:
        flow: (H, W, 2), px.
        max_flow: speed, px, with full colour; faster pixels look like it. If None, the largest
            speed of the field, and ``LEAST_SCALE`` at the least.
        valid: (H, W), zero where the flow is unknown. Such pixels, and those that are not
            finite, are black.

    Returns:
        uint8 RGB (H, W, 3).

    Raises:
        ValueError: ``max_flow`` is not positive.
    """
    if max_flow is None:
        max_flow = colour_scale((flow, valid))
    if not max_flow > 0:
        raise ValueError(f"max_flow: expected a speed above 0 px, found {max_flow!r}")
    known = np.isfinite(flow).all(axis=2)
    if valid is not None:
        known &= valid > 0
    shown = np.where(known[..., None], flow, 0.0).astype(np.float64) / max_flow
    shown /= np.maximum(np.hypot(shown[..., 0], shown[..., 1]), 1.0)[..., None]
    # flow_to_image scales by the largest speed of what it gets: a further row sets that to one.
    scale_row = np.zeros((1, *shown.shape[1:]))
    scale_row[..., 0] = 1.0
    field = torch.from_numpy(np.concatenate([shown, scale_row])).float().permute(2, 0, 1)
    image = flow_to_image(field).permute(1, 2, 0).numpy()[:-1]
    return np.where(known[..., None], image, UNKNOWN_COLOUR)


def wheel(size: int) -> np.ndarray:
    """The legend: a disc of ``size`` px, uint8 RGBA, transparent outside; its rim is max_flow."""
    axis = (np.arange(size) + 0.5) / size * 2.0 - 1.0
    x, y = np.meshgrid(axis, axis)
    colours = flow_colours(np.stack([x, y], axis=2), max_flow=1.0)
    # One pixel of soft edge.
    alpha = np.clip((1.0 - np.hypot(x, y)) * size / 2.0, 0.0, 1.0)
    return np.dstack([colours, (255 * alpha).astype(np.uint8)])


def error_colours(error: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Paint an end-point error (H, W), px: uint8 RGB; black where there is no ground truth.

    An error that is not finite has the colour of the largest.
    """
    step = np.searchsorted(ERROR_STEPS, np.nan_to_num(error, nan=np.inf), side="right")
    image = ERROR_COLOURS[step]
    if valid is not None:
        image = np.where(valid[..., None] > 0, image, UNKNOWN_COLOUR)
    return image
