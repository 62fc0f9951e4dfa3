"""Pictures of flow for a whole sequence: one style, one scale, quick enough for a video."""

from __future__ import annotations

import threading
from collections.abc import Callable

import cv2
import numpy as np

from hat.visualize.arrows import REACH, draw_arrow_scale, draw_arrows, spacing
from hat.visualize.colours import error_colours, flow_colours
from hat.visualize.figure import Sheet, attach, draw_error_steps, draw_wheel, legend_strip

STYLES = ("colours", "arrows")
LAYOUTS = ("alone", "beside", "over")
BRIGHTEST, DARKEST = 255, 70  # of a grey image that colours lie over


class FlowPainter:
    """Draws flow into pictures of one size; many threads may do so at the same time.

    Args:
        style: ``"colours"`` of the flow wheel, or ``"arrows"``.
        layout: ``"alone"``; ``"beside"`` the first image, which is at the left; or ``"over"`` it:
            colours over its grey tones, arrows over its colours.
        legend: at the right: what the colours or arrows mean, in px.

    Raises:
        ValueError: another style or layout.
    """

    def __init__(self, style: str = "colours", layout: str = "alone", legend: bool = True) -> None:
        if style not in STYLES or layout not in LAYOUTS:
            raise ValueError(
                f"found style {style!r}, layout {layout!r}; expected one of {STYLES} and one of "
                f"{LAYOUTS}"
            )
        self.style, self.layout, self.legend = style, layout, legend
        self._strips: dict[tuple[int, int, float], np.ndarray] = {}
        self._lock = threading.Lock()

    def paint(self, image: np.ndarray, flow: np.ndarray, max_flow: float) -> np.ndarray:
        """A picture of the flow, uint8 RGB.

        Args:
            image: the first of the pair, uint8 RGB (H, W, 3).
            flow: (H, W, 2), px.
            max_flow: speed, px, with full colour or the longest arrow that is meant to be seen.
        """
        picture = self._drawn(image, flow, max_flow)
        if self.layout == "beside":
            picture = np.hstack([image, picture])
        if self.legend:
            picture = attach(picture, self._strip(image.shape[:2], max_flow))
        return picture

    def paint_error(self, error: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """A picture of the end-point error (H, W), px, in KITTI's colours: uint8 RGB."""
        picture = error_colours(error, valid)
        return attach(picture, self._strip(error.shape, 0.0)) if self.legend else picture

    def _drawn(self, image: np.ndarray, flow: np.ndarray, max_flow: float) -> np.ndarray:
        if self.style == "arrows":
            over = self.layout == "over"
            picture = image.copy() if over else np.full_like(image, 255)
            draw_arrows(picture, flow, max_flow, outline=over)
            return picture
        colours = flow_colours(flow, max_flow)
        if self.layout != "over":
            return colours
        # Where nothing moves the colour is white, and multiplying by it leaves the image.
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        grey = cv2.convertScaleAbs(grey, alpha=(BRIGHTEST - DARKEST) / 255, beta=DARKEST)
        return cv2.multiply(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), colours, scale=1 / 255)

    def _strip(self, size: tuple[int, ...], max_flow: float) -> np.ndarray:
        """The legend for a scale; of the error for 0. Only the last few are kept."""
        key = (size[0], size[1], max_flow)
        with self._lock:
            if key not in self._strips:
                if len(self._strips) > 4:
                    self._strips.clear()
                self._strips[key] = legend_strip((size[0], size[1]), self._legend_of(key))
            return self._strips[key]

    def _legend_of(
        self, key: tuple[int, int, float]
    ) -> Callable[[Sheet, tuple[int, int], float], None]:
        height, width, max_flow = key

        def draw(sheet: Sheet, size: tuple[int, int], font: float) -> None:
            if max_flow == 0.0:
                draw_error_steps(sheet, (round(font), 0), size, font)
            elif self.style == "arrows":
                length = REACH * spacing((height, width))
                draw_arrow_scale(sheet, size, font, length, max_flow)
            else:
                draw_wheel(sheet, (0, 0), size, max_flow, font)

        return draw
