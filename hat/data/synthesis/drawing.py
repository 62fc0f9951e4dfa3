"""From numbers to a pair: scene, textures, optics and effects in one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hat.data.synthesis.effects import add_effects, effects_by_name, scene_optics
from hat.data.synthesis.motions import MOTIONS, draw_name
from hat.data.synthesis.render import Pair, TextureSource, render_pair
from hat.data.synthesis.scene import MAX_OBJECTS, MIN_OBJECTS, Scene, random_scene
from hat.data.synthesis.shape_kinds import PUBLISHED_SHAPES, SHAPES

__all__ = ["Drawing", "draw_pair", "draw_scene"]

MAX_LAYERS = 255  # labels are bytes


@dataclass(frozen=True)
class Drawing:
    """What a pair is drawn from.

    Attributes:
        motions: how often each of :data:`hat.data.synthesis.motions.MOTIONS` is drawn.
        size: (H, W) of the images.
        unit: factor on all lengths of motions and outlines.
        objects: fewest and most objects.
        spread: half of the area of their centres, in sides of the image.
        shapes: how often each of :data:`hat.data.synthesis.shape_kinds.SHAPES` is drawn.
        plain: share of the objects that have a plain, often dark colour.
        background_layers: fewest and most layers of the background.
        effects: False for none, True for "basic", or a name of
            :data:`hat.data.synthesis.effects.EFFECTS`.
    """

    motions: Mapping[str, float]
    size: tuple[int, int]
    unit: float = 1.0
    objects: tuple[int, int] = (MIN_OBJECTS, MAX_OBJECTS)
    spread: float = 1.0
    shapes: Mapping[str, float] = field(default_factory=lambda: dict(PUBLISHED_SHAPES))
    plain: float = 0.0
    background_layers: tuple[int, int] = (1, 1)
    effects: bool | str = False

    def __post_init__(self) -> None:
        for name, known in (("motions", MOTIONS), ("shapes", SHAPES)):
            weights = getattr(self, name)
            usable = weights and not set(weights) - set(known) and min(weights.values()) >= 0
            if not usable or not sum(weights.values()) > 0:
                raise ValueError(
                    f"{name} must give weights to some of {', '.join(known)}, found {weights!r}"
                )
        for name, least in (("size", 1), ("objects", 0), ("background_layers", 1)):
            given = getattr(self, name)
            pair = tuple(given) if isinstance(given, list | tuple) else (given,)
            if len(pair) != 2 or not all(isinstance(n, int) and n >= least for n in pair):
                raise ValueError(f"{name} is two whole numbers from {least}, found {given!r}")
            object.__setattr__(self, name, pair)
            if name != "size" and pair[0] > pair[1]:
                raise ValueError(f"{name} is (fewest, most), found {pair!r}")
        if self.objects[1] + self.background_layers[1] > MAX_LAYERS:
            raise ValueError(
                f"objects and background_layers make up to {MAX_LAYERS} layers, found "
                f"{self.objects[1]} and {self.background_layers[1]}"
            )
        if not 0 <= self.plain <= 1:
            raise ValueError(f"plain is a share of the objects, 0 to 1, found {self.plain!r}")
        effects_by_name(self.effects)


def draw_scene(rng: np.random.Generator, drawing: Drawing) -> tuple[str, Scene]:
    """The name of the scene's motions, and the scene."""
    motion = draw_name(rng, drawing.motions)
    scene = random_scene(
        rng,
        drawing.size,
        drawing.unit,
        motion,
        drawing.objects,
        drawing.spread,
        drawing.shapes,
        drawing.plain,
        drawing.background_layers,
    )
    return motion, scene


def draw_pair(
    rng: np.random.Generator, drawing: Drawing, textures: TextureSource
) -> tuple[str, Pair]:
    """The name of the pair's motions, and the pair with its effects."""
    motion, scene = draw_scene(rng, drawing)
    effects = effects_by_name(drawing.effects)
    if effects is None:
        return motion, render_pair(scene, textures)
    pair = render_pair(scene, textures, scene_optics(rng, len(scene.layers), effects))
    images = add_effects(rng, pair.image1, pair.image2, effects)
    return motion, replace(pair, image1=images[0], image2=images[1])
