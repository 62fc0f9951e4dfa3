"""A scene: a background and a stack of objects, each with its affine motion between two frames."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from hat.data.synthesis.affine import scaling, similarity_about, translation
from hat.data.synthesis.backdrops import nearer, random_backdrop
from hat.data.synthesis.distributions import object_size
from hat.data.synthesis.materials import Material, random_plain_material
from hat.data.synthesis.motions import draw_name, scene_motion
from hat.data.synthesis.shape_kinds import PUBLISHED_SHAPES, SHAPES
from hat.data.synthesis.shapes import Part

__all__ = ["Layer", "Scene", "random_scene"]

MIN_OBJECTS, MAX_OBJECTS = 16, 24
TEXTURE_ZOOM = (0.8, 1.2)
NEARNESS_STEP = (0.1, 0.9)  # from one layer of the background to the next, 1 the farthest's


@dataclass(frozen=True)
class Layer:
    """One moving surface.

    Attributes:
        parts: outlines in image 1 (pixels); empty for the background, which is everywhere.
        motion: map from image 1 to image 2, 3x3.
        texture_to_image: map from texture pixels, origin in the texture's middle, to image 1.
        texture_seed: of the texture, a child of the pair's seed.
        material: a plain colour instead of the texture's own; None for the texture as it is.
        backdrop: a part of the surroundings, textured as a background.
    """

    parts: tuple[Part, ...]
    motion: np.ndarray
    texture_to_image: np.ndarray
    texture_seed: np.random.SeedSequence
    material: Material | None = None
    backdrop: bool = False


@dataclass(frozen=True)
class Scene:
    """``layers`` from back to front; the first is the background. ``size`` is (H, W)."""

    size: tuple[int, int]
    layers: tuple[Layer, ...]


def random_scene(
    rng: np.random.Generator,
    size: tuple[int, int],
    unit: float = 1.0,
    motion: str = "chairs",
    objects: tuple[int, int] = (MIN_OBJECTS, MAX_OBJECTS),
    spread: float = 1.0,
    shapes: Mapping[str, float] = PUBLISHED_SHAPES,
    plain: float = 0.0,
    background_layers: tuple[int, int] = (1, 1),
) -> Scene:
    """Draw a scene for images of ``size`` = (H, W).

    Args:
        rng: of everything; its seed sequence has a child for each texture.
        size: (H, W).
        unit: multiplies the published pixel lengths (translations and outlines): 1 at 384x512.
        motion: a name of :data:`hat.data.synthesis.motions.MOTIONS`.
        objects: fewest and most objects.
        spread: half of the area that centres are uniform over, in sides of the image.
        shapes: how often each of :data:`hat.data.synthesis.shape_kinds.SHAPES` is drawn.
        plain: share of the objects that have a plain, often dark colour and hardly any texture.
        background_layers: fewest and most layers of the background, which move with parallax.
    """
    height, width = size
    middle = ((width - 1) / 2, (height - 1) / 2)
    count = int(rng.integers(objects[0], objects[1] + 1))
    seeds = cast(np.random.SeedSequence, rng.bit_generator.seed_seq).spawn(count + 1)
    drawn = scene_motion(motion, rng, size, unit)
    layers = [Layer((), drawn.background, _texture_map(rng, middle), seeds[0])]
    if background_layers != (1, 1):
        layers += _backdrops(rng, size, drawn.background, background_layers)
    for seed in seeds[1:]:
        centre = (
            middle[0] + float(rng.uniform(-spread, spread)) * width,
            middle[1] + float(rng.uniform(-spread, spread)) * height,
        )
        kind = SHAPES[draw_name(rng, shapes)]
        factor = object_size(rng)
        turn = float(rng.uniform(-math.pi, math.pi)) * kind.turn
        placement = translation(*centre) @ similarity_about((0.0, 0.0), turn, factor * unit)
        moved = drawn.of_object(rng, centre)
        parts = tuple(
            Part(part.outline @ placement[:2, :2].T + placement[:2, 2], part.hole, part.tint)
            for part in kind.draw(rng)
        )
        texture_map = _texture_map(rng, centre)
        material = random_plain_material(rng) if plain and rng.random() < plain else None
        layers.append(Layer(parts, moved, texture_map, seed, material))
    return Scene(size, tuple(layers))


def _backdrops(
    rng: np.random.Generator, size: tuple[int, int], motion: np.ndarray, count: tuple[int, int]
) -> list[Layer]:
    """The layers of the background but the last, from far to near."""
    middle = ((size[1] - 1) / 2, (size[0] - 1) / 2)
    layers, nearness = [], 1.0
    for seed in cast(np.random.SeedSequence, rng.bit_generator.seed_seq).spawn(
        int(rng.integers(count[0], count[1] + 1)) - 1
    ):
        nearness += float(rng.uniform(*NEARNESS_STEP))
        moved, parts = nearer(motion, middle, nearness), random_backdrop(rng, size)
        layers.append(Layer(parts, moved, _texture_map(rng, middle), seed, backdrop=True))
    return layers


def _texture_map(rng: np.random.Generator, centre: tuple[float, float]) -> np.ndarray:
    turn = similarity_about((0.0, 0.0), float(rng.uniform(-math.pi, math.pi)), 1.0)
    return translation(*centre) @ turn @ scaling(float(rng.uniform(*TEXTURE_ZOOM)))
