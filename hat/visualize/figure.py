"""The flow picture with its legend, and the figure of a pair with flow, truth and error.

matplotlib, which takes a quarter of a second to load, is loaded where the first figure is drawn.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from hat.visualize.colours import (
    ERROR_COLOURS,
    ERROR_STEPS,
    error_colours,
    flow_colours,
    wheel,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 100
# Limits of a panel's longer side, px: small images are enlarged to be seen, large ones reduced.
LONG_SIDE = (400, 960)
MIN_PANEL = (300, 150)
MIN_LEGEND = 120  # px of height, to be read beside a picture that is smaller
INK = "#222222"


@dataclass(frozen=True)
class Pair:
    """What a figure shows: arrays of one height and width; flows in px, masks 0 / non-zero."""

    image1: np.ndarray
    image2: np.ndarray
    flow: np.ndarray
    gt_flow: np.ndarray | None = None
    gt_valid: np.ndarray | None = None

    @property
    def error(self) -> np.ndarray:
        """End-point error (H, W), px; of a pair with ground truth."""
        assert self.gt_flow is not None
        difference = self.flow.astype(np.float64) - self.gt_flow
        return np.hypot(difference[..., 0], difference[..., 1])

    @property
    def mean_error(self) -> float:
        """End-point error, px: mean over the pixels with ground truth; NaN if there is none."""
        error = self.error if self.gt_valid is None else self.error[self.gt_valid > 0]
        return float(error.mean()) if error.size else float("nan")


def load_ahead() -> None:
    """Begin to load what figures need, for a caller that computes before it draws."""
    modules = ("matplotlib.backends.backend_agg", "matplotlib.figure")
    threading.Thread(target=lambda: [importlib.import_module(name) for name in modules]).start()


class Sheet:
    """A figure whose parts are placed in pixels from its top left corner."""

    def __init__(self, width: int, height: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        bottom = self.height - top - height
        return self.figure.add_axes(
            (
                left / self.width,
                bottom / self.height,
                width / self.width,
                height / self.height,
            )
        )

    def text(self, left: float, top: float, text: str, px: float) -> None:
        """A line of ``px`` high letters whose baseline has its middle at (left, top)."""
        self.figure.text(
            left / self.width,
            1.0 - top / self.height,
            text,
            fontsize=points(px),
            color=INK,
            horizontalalignment="center",
            verticalalignment="baseline",
        )

    def rgb(self) -> np.ndarray:
        """The drawn pixels, uint8 (height, width, 3)."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()

    def png(self) -> bytes:
        buffer = BytesIO()
        self.figure.savefig(buffer, format="png", dpi=DPI)
        return buffer.getvalue()


def points(px: float) -> float:
    """A length in the figure's pixels as a font size."""
    return px * 72 / DPI


def flow_picture(flow: np.ndarray, max_flow: float) -> np.ndarray:
    """Paint (H, W, 2), px, with the colour wheel at its right: uint8 RGB.

    The first H rows and W columns are the flow alone.
    """
    return beside(
        flow_colours(flow, max_flow),
        lambda sheet, size, font: draw_wheel(sheet, (0, 0), size, max_flow, font),
    )


def error_picture(error: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Paint an end-point error (H, W), px, with the colours' steps at its right: uint8 RGB."""
    return beside(
        error_colours(error, valid),
        lambda sheet, size, font: draw_error_steps(sheet, (round(font), 0), size, font),
    )


def beside(
    image: np.ndarray, draw_legend: Callable[[Sheet, tuple[int, int], float], None]
) -> np.ndarray:
    """An image with a legend at its right, on white; at least as high as the legend needs."""
    height, width = image.shape[:2]
    return attach(image, legend_strip((height, width), draw_legend))


def legend_strip(
    size: tuple[int, int], draw_legend: Callable[[Sheet, tuple[int, int], float], None]
) -> np.ndarray:
    """A legend for an image of ``size`` (H, W), uint8 RGB; at least as high as it needs."""
    font = float(np.clip(min(size) / 20, 12, 32))
    strip = round(8 * font), max(size[0], MIN_LEGEND)
    sheet = Sheet(*strip)
    draw_legend(sheet, strip, font)
    return sheet.rgb()


def attach(image: np.ndarray, strip: np.ndarray) -> np.ndarray:
    """A legend, not lower than the image, at the right of the image."""
    height, width = image.shape[:2]
    picture = np.full((strip.shape[0], width + strip.shape[1], 3), 255, np.uint8)
    picture[:height, :width] = image
    picture[:, width:] = strip
    return picture


def pair_figure(pair: Pair, max_flow: float) -> bytes:
    """:func:`pair_sheet` as PNG."""
    return pair_sheet(pair, max_flow).png()


def pair_sheet(pair: Pair, max_flow: float) -> Sheet:
    """Draw a pair.

    Without ground truth one row: image 1, image 2, predicted flow, legend. With it two rows of
    three: image 1, predicted flow, error; image 2, true flow, legends.

    Args:
        pair: what to show.
        max_flow: speed with full colour, px, for all flows.
    """
    height, width = pair.image1.shape[:2]
    scale = float(np.clip(max(height, width), *LONG_SIDE)) / max(height, width)
    panel_w = max(round(width * scale), MIN_PANEL[0])
    panel_h = max(round(height * scale), MIN_PANEL[1])
    font = float(np.clip(panel_w / 30, 13, 24))
    gap, heading_h, margin = round(1.2 * font), round(2.2 * font), round(1.2 * font)
    rows = 1 if pair.gt_flow is None else 2
    legend_w = round(min(11 * font, panel_h)) if rows == 1 else -gap
    sheet = Sheet(
        2 * margin + 3 * (panel_w + gap) + legend_w,
        2 * margin + rows * (heading_h + panel_h) - margin // 2,
    )

    def place(row: int, column: int) -> tuple[int, int]:
        return (
            margin + column * (panel_w + gap),
            margin // 2 + heading_h + row * (panel_h + heading_h),
        )

    def show(row: int, column: int, image: np.ndarray, heading: str) -> None:
        left, top = place(row, column)
        axes = sheet.axes(left, top, panel_w, panel_h)
        axes.imshow(image, interpolation="nearest" if scale > 1 else "antialiased")
        axes.set_axis_off()
        # An image narrower than its panel stands in the middle, and so does its heading.
        sheet.text(left + panel_w / 2, top - 0.6 * font, heading, font)

    show(0, 0, pair.image1, "Image 1")
    predicted = flow_colours(pair.flow, max_flow)
    if pair.gt_flow is None:
        show(0, 1, pair.image2, "Image 2")
        show(0, 2, predicted, "Predicted flow")
        draw_wheel(sheet, place(0, 3), (legend_w, panel_h), max_flow, font)
        return sheet

    show(1, 0, pair.image2, "Image 2")
    show(0, 1, predicted, "Predicted flow")
    show(1, 1, flow_colours(pair.gt_flow, max_flow, pair.gt_valid), "True flow")
    error = error_colours(pair.error, pair.gt_valid)
    show(0, 2, error, f"Error (EPE {pair.mean_error:.2f} px)")
    left, top = place(1, 2)
    half = panel_w // 2
    draw_wheel(sheet, (left, top), (half, panel_h), max_flow, font)
    draw_error_steps(sheet, (left + half, top), (panel_w - half, panel_h), font)
    return sheet


def draw_wheel(
    sheet: Sheet, place: tuple[int, int], size: tuple[int, int], max_flow: float, font: float
) -> None:
    """The colour wheel and the speed at its rim, in the middle of a box (left, top; w, h) px."""
    (left, top), (width, height) = place, size
    caption = 2.2 * font
    diameter = round(min(0.85 * width, height - caption, 9 * font))
    above = (height - diameter - caption) / 2
    axes = sheet.axes(left + (width - diameter) / 2, top + above, diameter, diameter)
    axes.imshow(wheel(2 * diameter), interpolation="antialiased")
    axes.set_axis_off()
    baseline = top + above + diameter + 1.5 * font
    sheet.text(left + width / 2, baseline, f"rim: {max_flow:.3g} px", font)


def draw_error_steps(
    sheet: Sheet, place: tuple[int, int], size: tuple[int, int], font: float
) -> None:
    """The colour bar of the error in a box (left, top; w, h) px."""
    (left, top), (width, height) = place, size
    bar_h = min(height - 2.2 * font, 20 * font)
    bar_w = 1.2 * font
    above = (height - bar_h) / 2 + 0.6 * font
    axes = sheet.axes(left + width / 2 - 2 * bar_w, top + above, bar_w, bar_h)
    axes.imshow(ERROR_COLOURS[::-1, None], aspect="auto", interpolation="nearest")
    axes.set_xticks([])
    # Row i of the bar is step 9 - i; its lower edge is that step's lower bound.
    edges = [len(ERROR_COLOURS) - 1.5 - index for index in range(len(ERROR_STEPS))]
    skip = 1 if bar_h / len(ERROR_COLOURS) > font else 2
    axes.set_yticks(edges[::skip], [f"{step:.2g}" for step in ERROR_STEPS[::skip]])
    axes.tick_params(
        right=True, labelright=True, left=False, labelleft=False, labelcolor=INK, length=0.2 * font
    )
    for label in axes.get_yticklabels():
        label.set_fontsize(points(0.8 * font))
    for spine in axes.spines.values():
        spine.set_visible(False)
    sheet.text(left + width / 2 - 1.5 * bar_w, top + above - 0.6 * font, "error, px", font)
