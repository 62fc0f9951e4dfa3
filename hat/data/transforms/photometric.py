"""Changes of colour: brightness, contrast, saturation, hue, gamma and noise."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import cv2
import numpy as np

from hat.data.transforms.sample import image_pair, probability, put, sample_name
from hat.data.transforms.warp import second_image_mask
from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY

_LUMA = np.array([0.299, 0.587, 0.114])
# NTSC luma and chroma axes: a turn of the (I, Q) plane is a turn of the hue at constant luma
_YIQ = np.array([_LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
# 256 equally probable values of a unit normal distribution: a random byte picks one of them
_NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])


@OBJECT_REGISTRY.register
class PhotometricJitter:
    """Change the colours of both images at random; geometry and flow stay.

    In this order: saturation and hue (one 3x3 matrix), then contrast, brightness and gamma (one
    table of 256 grey levels), then noise. Each strength s gives a factor from U(1 - s, 1 + s);
    zero switches that change off.

    Args:
        brightness: all levels times the factor.
        contrast: levels pulled to or from the mean level of the pair by the factor.
        saturation: chroma times the factor.
        hue: angle of the hue circle as a fraction of it, U(-hue, hue), at most 0.5.
        gamma: ``level ** exp(U(-log(1 + gamma), log(1 + gamma)))`` on levels in 0..1.
        noise: standard deviation in grey levels, U(0, noise) per sample; every value of both
            images gets its own normally distributed offset (rounded to whole levels).
        p: probability that the sample changes at all.
        asymmetric_p: probability that each image gets changes of its own (noise always is).
    """

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.0,
        gamma: float = 0.0,
        noise: float = 0.0,
        p: float = 1.0,
        asymmetric_p: float = 0.2,
    ) -> None:
        for name, value in (
            ("brightness", brightness),
            ("contrast", contrast),
            ("saturation", saturation),
        ):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} is a strength in [0, 1], found {value!r}")
        if not 0.0 <= hue <= 0.5:
            raise ValueError(f"hue is a fraction of the circle in [0, 0.5], found {hue!r}")
        if gamma < 0 or noise < 0:
            raise ValueError(f"gamma and noise are >= 0, found {gamma!r} and {noise!r}")
        self.brightness, self.contrast, self.saturation = brightness, contrast, saturation
        self.hue, self.gamma, self.noise = hue, gamma, noise
        self.p = probability(p, "p")
        self.asymmetric_p = probability(asymmetric_p, "asymmetric_p")

    def __call__(self, data: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        if rng.random() >= self.p:
            return data
        order = data.get("color_space", "rgb")
        if order not in ("rgb", "bgr"):
            raise InputError(
                f"{sample_name(data)}: PhotometricJitter needs rgb or bgr images, found {order!r}; "
                f"put it before the conversion to YUV"
            )
        pair = image_pair(data)
        height, width = pair.shape[:2]
        # Six interleaved channels are a row of twice as many three-channel pixels.
        pixels = np.ascontiguousarray(pair).reshape(height, width * 2, 3)
        out = self._recolour(pixels, order == "bgr", rng)
        if rng.random() < self.asymmetric_p:
            other = self._recolour(pixels, order == "bgr", rng)
            mask = second_image_mask(height, width)
            cv2.copyTo(other.reshape(height, -1), mask, out.reshape(height, -1))
        if self.noise > 0:
            table = np.rint(rng.uniform(0, self.noise) * _NORMAL).astype(np.int16)
            picks = np.frombuffer(rng.bytes(out.size), np.uint8).reshape(height, -1)
            flat = out.reshape(height, -1)
            out = cv2.add(flat, cv2.LUT(picks, table), dtype=cv2.CV_8U)
        put(data, "img", out.reshape(height, width, 6))
        return data

    def _recolour(self, pixels: np.ndarray, bgr: bool, rng: np.random.Generator) -> np.ndarray:
        """A changed copy of uint8 (H, W, 3)."""
        chroma = rng.uniform(1 - self.saturation, 1 + self.saturation)
        angle = 2 * np.pi * rng.uniform(-self.hue, self.hue)
        out = pixels
        if (chroma, angle) != (1.0, 0.0):
            cos, sin = chroma * np.cos(angle), chroma * np.sin(angle)
            turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
            matrix = np.linalg.inv(_YIQ) @ turn @ _YIQ
            out = cv2.transform(out, matrix[::-1, ::-1] if bgr else matrix)
        contrast = rng.uniform(1 - self.contrast, 1 + self.contrast)
        brightness = rng.uniform(1 - self.brightness, 1 + self.brightness)
        limit = np.log1p(self.gamma)
        power = np.exp(rng.uniform(-limit, limit))
        mean = np.array(cv2.mean(out)[:3]) @ (_LUMA[::-1] if bgr else _LUMA)
        levels = ((np.arange(256.0) - mean) * contrast + mean) * brightness
        levels = 255.0 * (np.clip(levels, 0, 255) / 255.0) ** power
        return cv2.LUT(out, np.rint(levels).astype(np.uint8))
