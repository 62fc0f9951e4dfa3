"""What a camera sees besides the surfaces: smear, defocus, haze and cast shadows, layer by layer.

All are symmetric about the place where a surface is in the middle of the exposure, or do not move
with it at all, so that the flow stays what it is. Both frames have the same optics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["Optics", "line_kernel", "random_optics"]

LONGEST_SMEAR = 24.0  # px


@dataclass(frozen=True)
class Optics:
    """The optical effects of one scene.

    Attributes:
        exposure: share of the time between the frames that the shutter is open.
        defocus: standard deviation in px of the blur of each layer, from back to front.
        haze: share of each layer's light that the haze replaces.
        haze_colour: RGB, 0 to 255.
        shadow: (x, y) in px by which objects cast their shadows on what is behind them.
        shadow_strength: share of the light that a shadow takes; 0 for none.
        shadow_softness: standard deviation in px of a shadow's edge.
    """

    exposure: float = 0.0
    defocus: tuple[float, ...] = ()
    haze: tuple[float, ...] = ()
    haze_colour: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shadow: tuple[float, float] = (0.0, 0.0)
    shadow_strength: float = 0.0
    shadow_softness: float = 1.0

    def smear(self, motion: np.ndarray, centre: np.ndarray) -> np.ndarray | None:
        """The kernel of the blur of a motion (3x3) at ``centre``; None where it is too short."""
        moved = motion[:2, :2] @ centre + motion[:2, 2] - centre
        length = float(np.hypot(*moved)) * self.exposure
        if length <= 1.0:
            return None
        x, y = moved * (self.exposure * min(1.0, LONGEST_SMEAR / length))
        return line_kernel(float(x), float(y))

    def margin(self, index: int, kernel: np.ndarray | None) -> int:
        """How far, in px, the blur of layer ``index`` reaches beyond its outline."""
        reach = 0 if kernel is None else len(kernel) // 2
        return reach + (math.ceil(3 * self.defocus[index]) if self.defocus else 0)

    def blurred(self, image: np.ndarray, index: int, kernel: np.ndarray | None) -> np.ndarray:
        """Colours or coverage of layer ``index``, uint8, as the lens and the shutter show it."""
        if kernel is not None:
            image = cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        sigma = self.defocus[index] if self.defocus else 0.0
        if sigma > 0:
            image = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        return image

    def hazed(self, image: np.ndarray, index: int) -> np.ndarray:
        """The colours (H, W, 3) uint8 of layer ``index`` through the haze."""
        share = self.haze[index] if self.haze else 0.0
        if share <= 0:
            return image
        levels = np.arange(256.0)[:, None] * (1 - share) + np.array(self.haze_colour) * share
        return cv2.LUT(image, np.rint(levels).astype(np.uint8)[None])

    def cast(self, frame: np.ndarray, alpha: np.ndarray, x: int, y: int) -> None:
        """Darken ``frame`` (H, W, 3), in place, by the shadow of ``alpha`` (h, w) at (x, y)."""
        if self.shadow_strength <= 0:
            return
        height, width = frame.shape[:2]
        reach = math.ceil(3 * self.shadow_softness)
        padded = cv2.copyMakeBorder(alpha, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
        soft = cv2.GaussianBlur(padded, (0, 0), self.shadow_softness)
        left, top = x - reach + round(self.shadow[0]), y - reach + round(self.shadow[1])
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + soft.shape[1], width), min(top + soft.shape[0], height)
        if x0 >= x1 or y0 >= y1:
            return
        part = soft[y0 - top : y1 - top, x0 - left : x1 - left]
        light = cv2.convertScaleAbs(part, alpha=-self.shadow_strength, beta=255)
        below = frame[y0:y1, x0:x1]
        below[:] = cv2.multiply(below, cv2.merge([light] * 3), scale=1 / 255)


def random_optics(
    rng: np.random.Generator,
    layers: int,
    shutter: float,
    defocus: float,
    haze: float,
    shadow: float,
) -> Optics | None:
    """Draw the optics of a scene of ``layers`` layers; the numbers are probabilities.

    None if there is nothing to see.
    """
    drawn = rng.random(4) < (shutter, defocus, haze, shadow)
    if not drawn.any():
        return None
    exposure = float(rng.uniform(0.1, 0.7)) if drawn[0] else 0.0
    depth = np.sort(rng.random(layers))  # 0 far, 1 near
    sigmas: tuple[float, ...] = ()
    if drawn[1]:
        focus, strength = float(rng.choice((0.0, 1.0))), float(rng.uniform(0.8, 3.5))
        far = np.where(np.abs(depth - focus) < 0.3, 0.0, strength * np.abs(depth - focus))
        sigmas = tuple(far.tolist())
    amounts: tuple[float, ...] = ()
    if drawn[2]:
        amounts = tuple((rng.uniform(0.2, 0.75) * (1 - depth)).tolist())
    grey = rng.uniform(100, 240) + rng.normal(0, 8, 3)
    red, green, blue = np.clip(grey, 0, 255).tolist()
    angle, length = rng.uniform(-math.pi, math.pi), rng.uniform(2, 20)
    return Optics(
        exposure,
        sigmas,
        amounts,
        (red, green, blue),
        (length * math.cos(angle), length * math.sin(angle)),
        float(rng.uniform(0.25, 0.7)) if drawn[3] else 0.0,
        float(rng.uniform(0.8, 5.0)),
    )


def line_kernel(x: float, y: float) -> np.ndarray:
    """A kernel (n, n) float32, n odd: the mean along a line from (-x, -y) / 2 to (x, y) / 2."""
    length = math.hypot(x, y)
    radius = math.ceil(length / 2) + 1
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.float32)
    for at in np.linspace(-0.5, 0.5, 2 * math.ceil(length) + 1):
        px, py = radius + at * x, radius + at * y
        column, row = math.floor(px), math.floor(py)
        fx, fy = px - column, py - row
        kernel[row, column] += (1 - fx) * (1 - fy)
        kernel[row, column + 1] += fx * (1 - fy)
        kernel[row + 1, column] += (1 - fx) * fy
        kernel[row + 1, column + 1] += fx * fy
    return kernel / kernel.sum()
