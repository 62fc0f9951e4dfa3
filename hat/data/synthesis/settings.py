"""Settings of a generated data set, their validation, and the names of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hat.data.files import read_file
from hat.data.synthesis.drawing import Drawing
from hat.data.synthesis.motions import MOTIONS
from hat.data.synthesis.shape_kinds import PUBLISHED_SHAPES, SHAPES
from hat.errors import InputError

__all__ = ["DataSetPaths", "GeneratorSettings", "read_settings"]

# Raised whenever the same settings give other pixels than before; by name what has changed alone.
FORMAT_VERSION = 1
MOTION_VERSIONS = {"sintel": 2}
MIN_SIDE, MAX_SIDE = 16, 8192  # px
MAX_BACKGROUND_LAYERS = 16
PUBLISHED_HEIGHT = 384


@dataclass(frozen=True)
class GeneratorSettings:
    """All that decides the bytes of a data set.

    Attributes:
        num_pairs: how many pairs.
        num_val: how many of them, the first, are validation pairs.
        size: (H, W) of the images.
        seed: of everything; at least 0.
        scale_motion: multiply the published pixel lengths by H / 384.
        backgrounds: fingerprint of the photographs; empty with procedural textures.
        motions: how often each distribution of :mod:`hat.data.synthesis.motions` is drawn.
        textures: fingerprint of a bank of textures; empty without.
        effects: True for the basic ones, or a name of :mod:`hat.data.synthesis.effects`.
        shapes: how often each of :mod:`hat.data.synthesis.shape_kinds` is drawn.
        plain: share of the objects that have a plain, often dark colour.
        background_layers: fewest and most layers of the background.
    """

    num_pairs: int
    num_val: int
    size: tuple[int, int]
    seed: int
    scale_motion: bool = False
    backgrounds: str = ""
    motions: Mapping[str, float] = field(default_factory=lambda: {"chairs": 1.0})
    textures: str = ""
    effects: bool | str = False
    shapes: Mapping[str, float] = field(default_factory=lambda: dict(PUBLISHED_SHAPES))
    plain: float = 0.0
    background_layers: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if self.num_pairs < 1:
            raise InputError(f"--num-pairs: {self.num_pairs}; expected at least 1")
        if not 0 <= self.num_val <= self.num_pairs:
            raise InputError(
                f"--num-val: {self.num_val} validation pairs of {self.num_pairs} pairs; expected "
                f"0 to {self.num_pairs}"
            )
        if not all(MIN_SIDE <= side <= MAX_SIDE for side in self.size):
            raise InputError(
                f"--size: {self.size[0]} {self.size[1]}; expected height and width of {MIN_SIDE} "
                f"to {MAX_SIDE} px"
            )
        _check_weights("--motions", self.motions, MOTIONS)
        _check_weights("--shapes", self.shapes, SHAPES)
        if not 0 <= self.plain <= 1:
            raise InputError(f"--plain: {self.plain}; expected a share of the objects, 0 to 1")
        fewest, most = self.background_layers
        if not 1 <= fewest <= most <= MAX_BACKGROUND_LAYERS:
            raise InputError(
                f"--background-layers: {fewest} {most}; expected fewest and most, 1 to "
                f"{MAX_BACKGROUND_LAYERS}"
            )
        if self.seed < 0:
            raise InputError(f"--seed: {self.seed}; expected 0 or more")

    @property
    def drawing(self) -> Drawing:
        """What each pair is drawn from."""
        return Drawing(
            self.motions,
            self.size,
            self.unit,
            shapes=self.shapes,
            plain=self.plain,
            background_layers=self.background_layers,
            effects=self.effects,
        )

    @property
    def unit(self) -> float:
        """Factor on the published pixel lengths."""
        return self.size[0] / PUBLISHED_HEIGHT if self.scale_motion else 1.0

    def split(self) -> np.ndarray:
        """1 (training) or 2 (validation) for each pair: the first ``num_val`` are validation.

        Pairs are independent draws, so that any choice is as good as another; this one keeps the
        validation pairs when a larger set is made with the same seed.
        """
        labels = np.ones(self.num_pairs, np.int64)
        labels[: self.num_val] = 2
        return labels

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with the format's version. What is as it was before it existed is left out."""
        versions = (MOTION_VERSIONS.get(name, FORMAT_VERSION) for name in self.motions)
        content = {"format": max(versions), **asdict(self)}
        for name in ("size", "background_layers"):
            content[name] = list(content[name])
        as_before = {
            "motions": {"chairs": 1.0},
            "textures": "",
            "effects": False,
            "shapes": PUBLISHED_SHAPES,
            "plain": 0.0,
            "background_layers": [1, 1],
        }
        return {k: v for k, v in content.items() if k not in as_before or v != as_before[k]}


def _check_weights(option: str, weights: Mapping[str, float], known: Mapping[str, Any]) -> None:
    if set(weights) - set(known) or not weights or min(weights.values()) <= 0:
        raise InputError(
            f"{option}: {dict(weights)}; expected positive weights of {', '.join(known)}"
        )


def read_settings(path: Path) -> dict[str, Any]:
    """The settings noted in a JSON file of an earlier run.

    Raises:
        InputError: it cannot be read, or was not written by the generator.
    """
    try:
        content = json.loads(read_file(path, "note of the generator").tobytes())
        settings = content["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not a note of the generator ({error!r}); choose another folder or remove it"
        ) from error
    if not isinstance(settings, dict):
        raise InputError(f"{path}: 'settings' is no table; choose another folder or remove it")
    return settings


@dataclass(frozen=True)
class DataSetPaths:
    """Names of the files of a data set in FlyingChairs' layout under ``target``."""

    target: Path

    @property
    def data(self) -> Path:
        return self.target / "FlyingChairs_release" / "data"

    @property
    def split(self) -> Path:
        return self.target / "FlyingChairs_train_val.txt"

    @property
    def summary(self) -> Path:
        return self.target / "generator.json"

    @property
    def under_way(self) -> Path:
        """Settings of a run that has not come to its end."""
        return self.target / ".generator_settings.json"

    def pair(self, index: int) -> tuple[Path, Path, Path]:
        """Image 1, image 2 and flow of pair ``index`` (from 0; names count from 1)."""
        name = f"{index + 1:05d}"
        return (
            self.data / f"{name}_img1.ppm",
            self.data / f"{name}_img2.ppm",
            self.data / f"{name}_flow.flo",
        )
