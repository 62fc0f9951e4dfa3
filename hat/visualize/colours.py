"""Colours for flow and for its error.

Flow: the colour wheel of Baker et al., "A Database and Evaluation Methodology for Optical Flow"
(ICCV 2007), as torchvision draws it: hue is the direction, white is no motion. Error: the ten
logarithmic steps of the KITTI 2015 development kit, blue below 3 px, yellow to red above.

The wheel is looked up in a table, so that a frame of a video costs a few milliseconds, and nothing
here waits for torch to load.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from hat.visualize.scale import colour_scale

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
UNKNOWN_COLOUR = np.zeros(3, np.uint8)
# Colours between one hue and the next of red, yellow, green, cyan, blue, magenta (Baker et al.).
WHEEL_STEPS = (15, 6, 4, 11, 13, 6)
TABLE_RADIUS = 255


def flow_colours(
    flow: np.ndarray, max_flow: float | None = None, valid: np.ndarray | None = None
) -> np.ndarray:
    """Paint a flow field.

    Args:
        flow: (H, W, 2), px.
        max_flow: speed, px, with full colour; faster pixels look like it. If None, the
            :func:`hat.visualize.scale.colour_scale` of the field.
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
    flow = np.ascontiguousarray(flow, np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(flow.sum())  # of a sum, twenty times as quick as of each value
    known = None if finite else np.isfinite(flow).all(axis=2)
    if known is not None:
        flow = np.where(known[..., None], flow, np.float32(0))
    if valid is not None:
        known = (valid > 0) if known is None else known & (valid > 0)
    u, v = cv2.split(flow)
    rim = np.float32(max_flow)
    # The speed is bounded by that of the rim, the direction kept.
    factor = np.float32(TABLE_RADIUS) / np.maximum(cv2.magnitude(u, v), rim)
    x, y = (component * factor + np.float32(TABLE_RADIUS) for component in (u, v))
    table = _wheel_table()
    image = cv2.remap(table, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    if known is not None:
        image[~known] = UNKNOWN_COLOUR
    return image


@cache
def _wheel_table() -> np.ndarray:
    """Colours of all flows up to a speed of ``TABLE_RADIUS``, which is the rim: uint8 RGB.

    Zero flow is in the middle. The corners, which are beyond the rim, continue it.
    """
    axis = np.arange(-TABLE_RADIUS, TABLE_RADIUS + 1) / TABLE_RADIUS
    u, v = np.meshgrid(axis, axis)
    hues = _hues()
    place = (np.arctan2(-v, -u) / np.pi + 1.0) / 2.0 * (len(hues) - 1)
    below = np.floor(place).astype(int)
    part = (place - below)[..., None]
    hue = (1.0 - part) * hues[below] + part * hues[(below + 1) % len(hues)]
    speed = np.minimum(np.hypot(u, v), 1.0)[..., None]
    return np.floor(255.0 * (1.0 - speed * (1.0 - hue))).astype(np.uint8)


def _hues() -> np.ndarray:
    """The colours of the rim, 0 to 1, (55, 3): one channel rises or falls in each of six parts."""
    hues = []
    for part, steps in enumerate(WHEEL_STEPS):
        colours = np.zeros((steps, 3))
        full, rising = (part + 1) // 2 % 3, part % 2 == 0
        colours[:, full] = 1.0
        changing = (full + 1) % 3 if rising else (full - 1) % 3
        step = np.floor(255.0 * np.arange(steps) / steps) / 255.0
        colours[:, changing] = step if rising else 1.0 - step
        hues.append(colours)
    return np.concatenate(hues)


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
