"""Procedural textures: colour images with the spectra and edges of photographs, but band-limited.

A texture is one to three *fields* (fractal noise, soft blobs, stripes, gradients, veins), each
turned into colours by a random palette, mixed by a soft mask; over it, often, dead leaves: shapes
of a wide range of sizes that hide one another, whose statistics of edges and scales are those of
natural images (Lee, Mumford and Huang, IJCV 2001). A final blur keeps the texture's content below
about half the sampling limit: it survives resampling, and warping by the flow finds it again.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

__all__ = ["procedural_texture"]

MIN_SIDE, MAX_SIDE = 64, 2048
FINEST_GRID = 2.2  # texture pixels between the samples of the finest octave
BAND_LIMIT_SIGMA = (0.5, 0.9)  # px
LEAF_AREA = 500  # texture pixels per dead leaf, on average
ROUND_LEAF = 16  # corners of a leaf that looks round
PALETTE_KNOTS = (2, 6)


def procedural_texture(rng: np.random.Generator, side: int, background: bool) -> np.ndarray:
    """Draw a texture of about ``side`` pixels a side: uint8 RGB (n, n, 3).

    ``n`` is ``side`` kept within [64, 2048]; the renderer mirrors what lies beyond. Backgrounds are
    made of more and richer parts than objects.
    """
    n = int(np.clip(side, MIN_SIDE, MAX_SIDE))
    texture = _coloured_field(rng, n)
    extra = rng.choice(3, p=(0.2, 0.5, 0.3) if background else (0.6, 0.3, 0.1))
    for _ in range(extra):
        texture = _mix(rng, texture, _coloured_field(rng, n))
    if rng.random() < (0.6 if background else 0.35):
        _scatter_leaves(rng, texture)
    texture = _relief(rng, texture)
    return cv2.GaussianBlur(texture, (0, 0), rng.uniform(*BAND_LIMIT_SIGMA))


def _coloured_field(rng: np.random.Generator, n: int) -> np.ndarray:
    """A random field through a random palette: uint8 (n, n, 3)."""
    field = _FIELDS[int(rng.integers(len(_FIELDS)))](rng, n)
    low, high, _, _ = cv2.minMaxLoc(field)
    index = cv2.convertScaleAbs(field - np.float32(low), alpha=255 / max(high - low, 1e-6))
    return cv2.LUT(cv2.merge([index, index, index]), _palette(rng))


def _palette(rng: np.random.Generator) -> np.ndarray:
    """256 colours (1, 256, 3) along a path of 2 to 6 knots around a base colour."""
    knots = int(rng.integers(PALETTE_KNOTS[0], PALETTE_KNOTS[1] + 1))
    chroma = rng.uniform(0, 0.5)
    base = (1 - chroma) * rng.uniform(20, 235) + chroma * rng.uniform(0, 255, 3)
    # Mostly the brightness varies, the hue less: so it is in photographs.
    contrast = rng.uniform(15, 90)
    colours = base + contrast * rng.standard_normal((knots, 1))
    colours = colours + chroma * contrast * rng.standard_normal((knots, 3))
    at = np.linspace(0, 255, knots)
    ramp = [np.interp(np.arange(256), at, colours[:, channel]) for channel in range(3)]
    return np.clip(np.rint(np.stack(ramp, axis=-1)), 0, 255).astype(np.uint8)[None]


def _upsampled(rng: np.random.Generator, n: int, cells: float) -> np.ndarray:
    """Smooth noise with about ``cells`` independent values along a side: float32 (n, n)."""
    count = max(2, round(cells))
    values = rng.standard_normal((count, count), dtype=np.float32)
    return cv2.resize(values, (n, n), interpolation=cv2.INTER_CUBIC)


def _fractal(rng: np.random.Generator, n: int, coarsest: float | None = None) -> np.ndarray:
    """Octaves of smooth noise; amplitudes fall as wavelength^h, h from rough to cloudy.

    Each octave is added on its own grid, then the sum goes to the next finer one: one resize at
    full size instead of one for each octave.
    """
    roughness = rng.uniform(0.35, 1.3)
    count = max(2, round(n / (rng.uniform(40, 256) if coarsest is None else coarsest)))
    field: np.ndarray = rng.standard_normal((count, count), dtype=np.float32)
    amplitude = 1.0
    while 2 * count * FINEST_GRID <= n:
        count *= 2
        amplitude *= 2**-roughness
        octave = rng.standard_normal((count, count), dtype=np.float32)
        field = cv2.resize(field, (count, count), interpolation=cv2.INTER_CUBIC)
        field = cv2.scaleAdd(octave, amplitude, field)
    return cv2.resize(field, (n, n), interpolation=cv2.INTER_CUBIC)


def _blobs(rng: np.random.Generator, n: int) -> np.ndarray:
    """Soft-edged spots: noise of one scale pressed through a sigmoid."""
    noise = _upsampled(rng, n, n / rng.uniform(6, 60))
    return np.tanh(noise * np.float32(rng.uniform(1, 5)) + np.float32(rng.normal()))


def _stripes(rng: np.random.Generator, n: int) -> np.ndarray:
    """Waves along a bent axis, from sine to square, sometimes crossed by a second set."""
    field = _wave(rng, n)
    return field * _wave(rng, n) if rng.random() < 0.35 else field


def _wave(rng: np.random.Generator, n: int) -> np.ndarray:
    period, angle = math.exp(rng.uniform(math.log(8), math.log(100))), rng.uniform(0, math.pi)
    x = np.arange(n, dtype=np.float32)
    frequency = np.float32(2 * math.pi / period)
    phase = (x * np.float32(math.cos(angle)) + x[:, None] * np.float32(math.sin(angle))) * frequency
    phase += _upsampled(rng, n, n / (period * rng.uniform(3, 12))) * np.float32(rng.uniform(0, 2))
    return np.tanh(np.sin(phase) * np.float32(rng.uniform(0.5, 4)))


def _gradient(rng: np.random.Generator, n: int) -> np.ndarray:
    """A slow change of shade over the whole texture, with a little fractal relief."""
    smooth = _upsampled(rng, n, rng.uniform(2, 4))
    return smooth + np.float32(rng.uniform(0, 0.25)) * _fractal(rng, n)


def _veins(rng: np.random.Generator, n: int) -> np.ndarray:
    """Ridges where fractal noise passes zero: marble, cracks, branches."""
    return np.exp(-np.abs(_fractal(rng, n)) * np.float32(rng.uniform(1, 5)))


def _unit_outline(corners: int) -> np.ndarray:
    angles = np.arange(corners) * (2 * math.pi / corners)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


_UNIT_OUTLINES = {corners: _unit_outline(corners) for corners in (*range(3, 8), ROUND_LEAF)}
# How often each is drawn. Stripes least: one cannot tell motions of a whole period apart.
_FIELDS = (*[_fractal] * 3, *[_blobs] * 2, *[_veins] * 2, *[_gradient] * 2, _stripes)


def _mix(rng: np.random.Generator, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Regions of two textures, divided by a soft or sharp irregular border."""
    n = len(first)
    mask = _upsampled(rng, n, n / rng.uniform(40, 200)) * np.float32(rng.uniform(1, 12))
    weight = np.float32(0.5) + np.float32(0.5) * np.tanh(mask)
    return cv2.blendLinear(first, second, weight, 1 - weight)


def _scatter_leaves(rng: np.random.Generator, texture: np.ndarray) -> None:
    """Paint dead leaves on the texture, in place: discs, ellipses and polygons of one colour each.

    Radii have the density r^-3, from a few pixels to a good part of the side: no scale is special.
    """
    n = len(texture)
    count = int(n * n / LEAF_AREA * rng.uniform(0.1, 1.5))
    smallest, largest = rng.uniform(2, 6), n / rng.uniform(4, 10)
    u = rng.random(count)
    radii = ((1 - u) * smallest**-2.0 + u * max(largest, smallest) ** -2.0) ** -0.5
    colours = _palette(rng)[0, rng.integers(0, 256, count)] + rng.normal(0, 12, (count, 3))
    colours = np.clip(colours, 0, 255)
    centres = rng.uniform(0, n, (count, 2))
    turns, flatness = rng.uniform(0, 2 * math.pi, count), rng.uniform(0.3, 1.0, count)
    corners = rng.integers(3, 8, count)
    corners[rng.random(count) < rng.random()] = ROUND_LEAF
    # Rows of (radius (cos, sin), radius * flatness (-sin, cos)): unit outline -> turned ellipse.
    c, s = radii * np.cos(turns), radii * np.sin(turns)
    axes = np.stack([np.stack([c, s], -1), np.stack([-s * flatness, c * flatness], -1)], 1)
    for i in np.argsort(-radii, kind="stable").tolist():
        points = _UNIT_OUTLINES[int(corners[i])] @ axes[i] + centres[i]
        fixed = np.rint(points * 16).astype(np.int32)  # leaves lie between the pixels too
        cv2.fillPoly(texture, [fixed], colours[i].tolist(), lineType=cv2.LINE_AA, shift=4)


def _relief(rng: np.random.Generator, texture: np.ndarray) -> np.ndarray:
    """Fractal changes of brightness over everything, so that no area is perfectly flat."""
    strength = min(rng.exponential(7), 30)
    relief = _fractal(rng, len(texture), rng.uniform(5, 60)) * np.float32(strength)
    return cv2.add(texture, cv2.merge([relief, relief, relief]), dtype=cv2.CV_8U)
