"""Textures with contrast at every scale: noise whose amplitude spectrum falls as 1 / frequency.

Photographs have such spectra (Field, 1987). A level of a flow network at 1/32 of the image sees
what is left after 32 pixels have been averaged; noise of one fine scale has nothing left there.
"""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["amplitude_slope", "spectral_texture"]

BAND_LIMIT_SIGMA = 0.6  # px; what lies at the sampling limit would not survive resampling
CONTRAST = (25.0, 70.0)  # standard deviation of the brightness in grey levels
SLOPE = (0.8, 1.4)  # photographs lie around 1.0 to 1.2


def spectral_texture(rng: np.random.Generator, side: int, slope: float | None = None) -> np.ndarray:
    """Noise with the amplitude spectrum frequency ** -slope: uint8 RGB (side, side, 3), periodic.

    Args:
        rng: of phases, slope, colours.
        side: px.
        slope: exponent; drawn from ``SLOPE`` without.
    """
    slope = float(rng.uniform(*SLOPE)) if slope is None else slope
    brightness = _noise(rng, side, slope)
    hue = _noise(rng, side, slope)
    # Two axes of colour: mostly the brightness varies, as it does in photographs.
    axes = np.ones(3) + rng.normal(0, 0.15, 3), rng.normal(0, 0.4, 3)
    image = brightness[..., None] * axes[0] + hue[..., None] * axes[1]
    image = image * rng.uniform(*CONTRAST) + rng.uniform(90, 165) + rng.normal(0, 20, 3)
    blurred = cv2.GaussianBlur(image.astype(np.float32), (0, 0), BAND_LIMIT_SIGMA)
    return np.clip(np.rint(blurred), 0, 255).astype(np.uint8)


def amplitude_slope(grey: np.ndarray, shortest: float = 6.0, longest: float = 64.0) -> float:
    """The exponent with which the amplitude of a square image (n, n) falls with frequency.

    A line through log amplitude over log frequency, between the wavelengths ``shortest`` and
    ``longest`` in px; 0 is white noise, 1 a spectrum of 1 / f.
    """
    grey = grey - grey.mean()
    window = np.hanning(len(grey))
    power = np.abs(np.fft.rfft2(grey * window * window[:, None])) ** 2
    frequency = _frequency(len(grey))
    used = (frequency >= 1 / longest) & (frequency <= 1 / shortest)
    bins = np.digitize(np.log(frequency[used]), np.linspace(np.log(1 / longest), 0, 24))
    count = np.bincount(bins)
    filled = count > 0
    mean_power = np.bincount(bins, power[used])[filled] / count[filled]
    at = np.bincount(bins, np.log(frequency[used]))[filled] / count[filled]
    return float(-np.polyfit(at, np.log(mean_power) / 2, 1)[0])


def _frequency(side: int) -> np.ndarray:
    """Cycles per px of every entry of a real spectrum (side, side // 2 + 1)."""
    return np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])


def _noise(rng: np.random.Generator, side: int, slope: float) -> np.ndarray:
    """Mean 0, standard deviation 1; float32 (side, side)."""
    frequency = _frequency(side)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((side, side))) * frequency**-slope
    field = np.fft.irfft2(spectrum, s=(side, side))
    return (field / field.std()).astype(np.float32)
