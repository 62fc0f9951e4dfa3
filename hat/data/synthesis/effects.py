"""What a camera and the light do to a pair: the flow stays as it is.

``basic`` effects change the drawn images. ``full`` ones begin in the scene: every layer has its own
motion blur, defocus, haze and shadow (:mod:`optics`); then the light changes over both images
(:mod:`light`), and a sensor adds noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hat.data.synthesis.light import change_light
from hat.data.synthesis.optics import Optics, random_optics

__all__ = ["EFFECTS", "Effects", "add_effects", "effects_by_name", "scene_optics"]


@dataclass(frozen=True)
class Effects:
    """How probable each effect is; ``full`` ones are 0 where none is drawn.

    Attributes:
        shade: a change of light over one image.
        blur: both images out of focus.
        streak: one motion blur for all of both images.
        compression: each image as JPEG.
        dark: both images as at night.
        cloud: a shadow that moves over both images.
        fog: mist that drifts over both images.
        noise: of a sensor, on each image.
        shutter: every layer blurred along its own motion.
        defocus: layers blurred by their distance.
        haze: layers paler by their distance.
        cast: shadows of objects on what is behind them.
    """

    shade: float = 0.25
    blur: float = 0.2
    streak: float = 0.1
    compression: float = 0.1
    dark: float = 0.0
    cloud: float = 0.0
    fog: float = 0.0
    noise: float = 0.0
    shutter: float = 0.0
    defocus: float = 0.0
    haze: float = 0.0
    cast: float = 0.0


EFFECTS = {
    "basic": Effects(),
    "full": Effects(
        blur=0.15,
        streak=0.0,
        dark=0.15,
        cloud=0.12,
        fog=0.06,
        noise=0.15,
        shutter=0.12,
        defocus=0.1,
        haze=0.08,
        cast=0.12,
    ),
}


def effects_by_name(effects: bool | str) -> Effects | None:
    """None for False, ``basic`` for True.

    Raises:
        ValueError: no effects have this name.
    """
    if isinstance(effects, bool):
        return EFFECTS["basic"] if effects else None
    if effects not in EFFECTS:
        raise ValueError(
            f"effects are True, False or one of {', '.join(EFFECTS)}, found {effects!r}"
        )
    return EFFECTS[effects]


def scene_optics(rng: np.random.Generator, layers: int, effects: Effects) -> Optics | None:
    """The optics of a scene of so many layers, drawn by the probabilities of ``effects``."""
    shares = effects.shutter, effects.defocus, effects.haze, effects.cast
    return random_optics(rng, layers, *shares) if any(shares) else None


def add_effects(
    rng: np.random.Generator,
    first: np.ndarray,
    second: np.ndarray,
    effects: Effects = EFFECTS["basic"],
) -> tuple[np.ndarray, np.ndarray]:
    """Change two images, uint8 RGB (H, W, 3), by effects drawn with their probabilities."""
    if effects.dark or effects.cloud or effects.fog:
        first, second = change_light(rng, first, second, effects.dark, effects.cloud, effects.fog)
    shade, blur, streak, compression = rng.random(4)
    if shade < effects.shade:
        images = [first, second]
        which = int(rng.integers(2))
        images[which] = _shaded(rng, images[which])
        first, second = images
    if blur < effects.blur:
        sigma = float(rng.uniform(0.4, 1.3))
        first, second = (cv2.GaussianBlur(image, (0, 0), sigma) for image in (first, second))
    if streak < effects.streak:
        kernel = _line(float(rng.uniform(2, 7)), float(rng.uniform(0, 180)))
        first, second = (cv2.filter2D(image, -1, kernel) for image in (first, second))
    if effects.noise and rng.random() < effects.noise:
        deviation = float(rng.uniform(1, 8))
        first, second = (_noisy(rng, image, deviation) for image in (first, second))
    if compression < effects.compression:
        quality = int(rng.integers(40, 95))
        first, second = _compressed(first, quality), _compressed(second, quality)
    return first, second


def _noisy(rng: np.random.Generator, image: np.ndarray, deviation: float) -> np.ndarray:
    """Normally distributed grey levels added to every value."""
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(deviation)
    return cv2.add(image, noise, dtype=cv2.CV_8U)


def _shaded(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """The image times a smooth field between about 0.6 and 1.4: a shadow or a lamp."""
    height, width = image.shape[:2]
    field = rng.normal(0, 0.15, (int(rng.integers(2, 6)), int(rng.integers(2, 6))))
    gain = np.exp(
        cv2.resize(field.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    )
    return cv2.multiply(image, cv2.merge([gain] * 3), dtype=cv2.CV_8U)


def _line(length: float, angle: float) -> np.ndarray:
    """A kernel that averages along a line of ``length`` px at ``angle`` degrees."""
    side = 2 * int(length / 2 + 1) + 1
    bar = np.zeros((side, side), np.float32)
    half = length / 2
    bar[side // 2, int(side / 2 - half) : int(side / 2 + half) + 1] = 1
    centre = ((side - 1) / 2, (side - 1) / 2)
    turned = cv2.warpAffine(bar, cv2.getRotationMatrix2D(centre, angle, 1.0), (side, side))
    return turned / turned.sum()


def _compressed(image: np.ndarray, quality: int) -> np.ndarray:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None  # what OpenCV has just encoded
    return decoded.astype(np.uint8, copy=False)
