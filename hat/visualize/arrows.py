"""Flow as arrows on a regular grid."""

from __future__ import annotations

import cv2
import numpy as np

from hat.visualize.figure import INK, Sheet

LONG_SIDE_ARROWS = 28  # along the longer side of a picture
LEAST_SPACING = 12  # px
REACH = 1.25  # length of the arrow of max_flow, in spacings
LEAST_LENGTH = 2.0  # px; a shorter arrow is not drawn, so that where nothing moves nothing is shown
HEAD_SHARE, HEAD_LIMITS = 0.35, (2.0, 10.0)  # length of the head of an arrow, and its limits in px
HEAD_ANGLE = np.deg2rad(28.0)
SHIFT = 4  # fractional bits of coordinates
OUTLINE, FILL, DARK = (0, 0, 0), (255, 221, 0), (20, 20, 20)


def spacing(size: tuple[int, int]) -> int:
    """Distance of the arrows, px, in a picture of ``size`` (H, W)."""
    return max(LEAST_SPACING, round(max(size) / LONG_SIDE_ARROWS))


def draw_arrows(picture: np.ndarray, flow: np.ndarray, max_flow: float, outline: bool) -> None:
    """Draw arrows into uint8 RGB (H, W, 3): each the mean flow of its cell, from the cell's middle.

    Args:
        flow: (H, W, 2), px.
        max_flow: speed, px, whose arrow is ``REACH`` times as long as the cells are wide.
        outline: yellow with a dark edge, to be seen on a photograph; else dark.
    """
    height, width = flow.shape[:2]
    step = spacing((height, width))
    rows, columns = max(1, round(height / step)), max(1, round(width / step))
    means = cv2.resize(np.ascontiguousarray(flow), (columns, rows), interpolation=cv2.INTER_AREA)
    x = (np.arange(columns) + 0.5) * width / columns
    y = (np.arange(rows) + 0.5) * height / rows
    tails = np.stack(np.meshgrid(x, y), axis=2)
    vectors = means * (REACH * step / max_flow)
    lengths = np.hypot(vectors[..., 0], vectors[..., 1])
    drawn = lengths >= LEAST_LENGTH  # false for what is not finite
    tails, vectors, lengths = tails[drawn], vectors[drawn], lengths[drawn]
    # What leaves the picture has no end that can be seen.
    vectors = vectors * np.minimum(1.0, max(height, width) / lengths)[:, None]
    lines = _lines(tails, vectors)
    styles = [(OUTLINE, 2), (FILL, 1)] if outline else [(DARK, 1)]
    for colour, thickness in styles:
        cv2.polylines(picture, lines, False, colour, thickness, cv2.LINE_AA, SHIFT)


def _lines(tails: np.ndarray, vectors: np.ndarray) -> list[np.ndarray]:
    """One stroke an arrow: shaft, one side of the head, back, the other side; fixed point."""
    lengths = np.hypot(vectors[:, 0], vectors[:, 1])
    heads = np.minimum(np.clip(HEAD_SHARE * lengths, *HEAD_LIMITS), lengths)
    backward = -vectors / lengths[:, None] * heads[:, None]
    cos, sin = np.cos(HEAD_ANGLE), np.sin(HEAD_ANGLE)
    left = backward @ np.array([[cos, sin], [-sin, cos]])
    right = backward @ np.array([[cos, -sin], [sin, cos]])
    tips = tails + vectors
    strokes = np.stack([tails, tips, tips + left, tips, tips + right], axis=1)
    # OpenCV's fixed point has pixel centres at whole numbers.
    return list(np.rint((strokes - 0.5) * (1 << SHIFT)).astype(np.int32))


def draw_arrow_scale(
    sheet: Sheet, size: tuple[int, int], font: float, length: float, max_flow: float
) -> None:
    """The legend: an arrow of ``length`` px, and the speed for which it stands, in a box (w, h)."""
    width, height = size
    axes = sheet.axes(0, 0, width, height)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    left, middle = (width - length) / 2, height / 2
    axes.annotate(
        "",
        (left + length, middle),
        (left, middle),
        arrowprops={"arrowstyle": "->", "color": INK, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.2},
    )
    sheet.text(width / 2, middle + 1.6 * font, f"{max_flow:.3g} px", font)
