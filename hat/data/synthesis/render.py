"""Draw both frames of a scene with the same filters, and its exact flow.

Neither frame is warped from the other: every surface is resampled from its texture by a bicubic
filter, and its coverage is counted on a 4x4 grid of points in each pixel. The flow at a pixel of
image 1 is the motion of the surface that covers at least half of it, front first; where image 2
hides that surface, the flow is still its true motion.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from hat.data.synthesis.affine import scaling, translation
from hat.data.synthesis.materials import LARGEST_CANVAS, painted, tinted
from hat.data.synthesis.optics import Optics
from hat.data.synthesis.scene import Layer, Scene
from hat.data.synthesis.shapes import Part

__all__ = ["Pair", "TextureSource", "render_flow", "render_labels", "render_pair"]

SUPERSAMPLING = 4  # coverage points per pixel and axis
FRACTION_BITS = 6  # sub-pixel bits of the coordinates that OpenCV's fillPoly takes

# (rng, side in texture pixels, is it the background) -> RGB uint8 (h, w, 3)
TextureSource = Callable[[np.random.Generator, int, bool], np.ndarray]


@dataclass(frozen=True)
class Pair:
    """Two images uint8 RGB (H, W, 3), flow float32 (H, W, 2) in px from image 1 to image 2.

    ``labels1`` and ``labels2`` (H, W) uint8 tell the layer seen at each pixel, 0 the background.
    """

    image1: np.ndarray
    image2: np.ndarray
    flow: np.ndarray
    labels1: np.ndarray
    labels2: np.ndarray


@dataclass(frozen=True)
class _Coverage:
    """Alpha (h, w) uint8 of a layer in the window whose upper left pixel is (x, y)."""

    x: int
    y: int
    alpha: np.ndarray

    @property
    def window(self) -> tuple[slice, slice]:
        h, w = self.alpha.shape
        return slice(self.y, self.y + h), slice(self.x, self.x + w)


def render_pair(scene: Scene, texture: TextureSource, optics: Optics | None = None) -> Pair:
    """Draw the scene. ``texture`` is called for the layers that a frame shows, and for no other.

    ``optics`` blurs, hazes and shades the images; flow and labels are those of the sharp surfaces.
    """
    background = scene.layers[0]
    height, width = scene.size
    diagonal = math.ceil(math.hypot(height, width))
    image = texture(np.random.default_rng(background.texture_seed), diagonal, True)
    full = (0, 0, width, height)
    frames = [_resample(image, background, moved, full) for moved in (False, True)]
    if optics is not None:
        kernel = optics.smear(background.motion, np.array([(width - 1) / 2, (height - 1) / 2]))
        frames = [optics.hazed(optics.blurred(frame, 0, kernel), 0) for frame in frames]
    coverages = [_coverages(scene, moved) for moved in (False, True)]
    for index, (layer, *both) in enumerate(zip(scene.layers[1:], *coverages, strict=True), start=1):
        if not any(both):
            continue
        image, layer = _surface(layer, texture, diagonal)
        for frame, cover, moved in zip(frames, both, (False, True), strict=True):
            if cover is None:
                continue
            if optics is None:
                _paint(frame, cover, image, layer, moved)
            else:
                _paint_seen(frame, cover, image, layer, moved, optics, index)
    labels = [_labels(scene, cover) for cover in coverages]
    return Pair(frames[0], frames[1], _flow(scene, labels[0], coverages[0]), labels[0], labels[1])


def render_flow(scene: Scene) -> np.ndarray:
    """The flow of the scene alone, float32 (H, W, 2): equal to that of :func:`render_pair`."""
    coverages = _coverages(scene, moved=False)
    return _flow(scene, _labels(scene, coverages), coverages)


def render_labels(scene: Scene, moved: bool) -> np.ndarray:
    """The layer that image 1 (``moved``: image 2) shows at each pixel, uint8 (H, W)."""
    return _labels(scene, _coverages(scene, moved))


def _coverages(scene: Scene, moved: bool) -> list[_Coverage | None]:
    return [_coverage(layer, scene.size, moved) for layer in scene.layers[1:]]


def _coverage(layer: Layer, size: tuple[int, int], moved: bool) -> _Coverage | None:
    """How much of each pixel the layer covers, in its bounding box; None if the frame misses it."""
    outlines = [part.outline for part in layer.parts]
    if moved:
        outlines = [points @ layer.motion[:2, :2].T + layer.motion[:2, 2] for points in outlines]
    solid = np.concatenate(
        [points for points, part in zip(outlines, layer.parts, strict=True) if not part.hole]
    )
    height, width = size
    # A pixel reaches half a pixel around its centre, hence the margin of one.
    x0, y0 = np.maximum(np.floor(solid.min(axis=0)) - 1, 0).astype(int).tolist()
    x1, y1 = np.minimum(np.ceil(solid.max(axis=0)) + 2, (width, height)).astype(int).tolist()
    if x0 >= x1 or y0 >= y1:
        return None
    fine = np.zeros(((y1 - y0) * SUPERSAMPLING, (x1 - x0) * SUPERSAMPLING), np.uint8)
    for points, part in zip(outlines, layer.parts, strict=True):
        grid = (points - (x0, y0)) * SUPERSAMPLING + (SUPERSAMPLING - 1) / 2
        fixed = np.rint(grid * (1 << FRACTION_BITS)).astype(np.int32)
        cv2.fillPoly(fine, [fixed], 0 if part.hole else 255, shift=FRACTION_BITS)
    alpha = cv2.resize(fine, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    return _Coverage(x0, y0, alpha) if alpha.any() else None


def _texture_side(parts: tuple[Part, ...], texture_to_image: np.ndarray) -> int:
    """Texture pixels that span the parts however they are turned."""
    centre, zoom = texture_to_image[:2, 2], math.sqrt(np.linalg.det(texture_to_image[:2, :2]))
    radius = max(float(np.abs(part.outline - centre).max()) for part in parts)
    return math.ceil(2 * radius / zoom)


def _surface(layer: Layer, texture: TextureSource, diagonal: int) -> tuple[np.ndarray, Layer]:
    """The texture of a layer, painted, and the layer with the map that belongs to it."""
    rng = np.random.default_rng(layer.texture_seed)
    if layer.backdrop:
        return texture(rng, diagonal, True), layer
    side = max(_texture_side(layer.parts, layer.texture_to_image), 16)
    if side > LARGEST_CANVAS and tinted(layer.parts):  # paint is coarser on what is so large
        wider = layer.texture_to_image @ scaling(side / LARGEST_CANVAS)
        layer, side = replace(layer, texture_to_image=wider), LARGEST_CANVAS
    image = texture(rng, side, False)
    to_texture = np.linalg.inv(layer.texture_to_image)
    return painted(image, rng, layer.material, layer.parts, to_texture, side), layer


def _resample(
    texture: np.ndarray, layer: Layer, moved: bool, window: tuple[int, int, int, int]
) -> np.ndarray:
    """The layer's texture in the window (x, y, w, h) of a frame; mirrored beyond its border."""
    x, y, w, h = window
    middle = translation((texture.shape[1] - 1) / 2, (texture.shape[0] - 1) / 2)
    to_image = layer.motion @ layer.texture_to_image if moved else layer.texture_to_image
    to_texture = middle @ np.linalg.inv(to_image) @ translation(x, y)
    return cv2.warpAffine(
        texture,
        to_texture[:2],
        (w, h),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def _paint(
    frame: np.ndarray, cover: _Coverage, texture: np.ndarray, layer: Layer, moved: bool
) -> None:
    h, w = cover.alpha.shape
    _blend(frame, cover, _resample(texture, layer, moved, (cover.x, cover.y, w, h)))


def _blend(frame: np.ndarray, cover: _Coverage, colours: np.ndarray) -> None:
    below = frame[cover.window]
    weight = cover.alpha.astype(np.float32) * np.float32(1 / 255)
    below[:] = cv2.blendLinear(colours, np.ascontiguousarray(below), weight, 1 - weight)


def _paint_seen(
    frame: np.ndarray,
    cover: _Coverage,
    texture: np.ndarray,
    layer: Layer,
    moved: bool,
    optics: Optics,
    index: int,
) -> None:
    """Paint layer ``index`` as the optics show it, its shadow first."""
    kernel = optics.smear(layer.motion, layer.texture_to_image[:2, 2])
    cover = _widened(cover, optics.margin(index, kernel), frame.shape[:2])
    h, w = cover.alpha.shape
    if not layer.backdrop:
        optics.cast(frame, cover.alpha, cover.x, cover.y)
    colours = _resample(texture, layer, moved, (cover.x, cover.y, w, h))
    colours = optics.hazed(optics.blurred(colours, index, kernel), index)
    _blend(frame, _Coverage(cover.x, cover.y, optics.blurred(cover.alpha, index, kernel)), colours)


def _widened(cover: _Coverage, margin: int, size: Sequence[int]) -> _Coverage:
    """The coverage in a window that is ``margin`` px larger on each side, within the frame."""
    if margin == 0:
        return cover
    h, w = cover.alpha.shape
    left, top = min(margin, cover.x), min(margin, cover.y)
    right, bottom = min(margin, size[1] - cover.x - w), min(margin, size[0] - cover.y - h)
    alpha = cv2.copyMakeBorder(cover.alpha, top, bottom, left, right, cv2.BORDER_CONSTANT, value=0)
    return _Coverage(cover.x - left, cover.y - top, alpha)


def _labels(scene: Scene, coverages: list[_Coverage | None]) -> np.ndarray:
    labels = np.zeros(scene.size, np.uint8)
    for index, cover in enumerate(coverages, start=1):
        if cover is not None:
            labels[cover.window][cover.alpha >= 128] = index
    return labels


def _flow(scene: Scene, labels: np.ndarray, coverages: list[_Coverage | None]) -> np.ndarray:
    height, width = scene.size
    flow = np.empty((height, width, 2), np.float32)
    _write_flow(flow, scene.layers[0].motion, 0, 0, None)
    for index, cover in enumerate(coverages, start=1):
        if cover is not None:
            seen = labels[cover.window] == index
            _write_flow(flow[cover.window], scene.layers[index].motion, cover.x, cover.y, seen)
    return flow


def _write_flow(
    flow: np.ndarray, motion: np.ndarray, x0: int, y0: int, seen: np.ndarray | None
) -> None:
    """flow = motion(p) - p, in float64, rounded once."""
    h, w = flow.shape[:2]
    x, y = np.arange(x0, x0 + w), np.arange(y0, y0 + h)[:, None]
    step = motion[:2] - np.eye(3)[:2]
    for axis in (0, 1):
        value = step[axis, 0] * x + (step[axis, 1] * y + step[axis, 2])
        np.copyto(flow[..., axis], value, casting="same_kind", where=True if seen is None else seen)
