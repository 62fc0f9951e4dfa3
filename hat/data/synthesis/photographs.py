"""Photographs as textures: crops for every background and for half of the objects."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict

import cv2
import numpy as np

from hat.data.files import files_below
from hat.data.image_io import read_image
from hat.data.synthesis.textures import MAX_SIDE, MIN_SIDE, procedural_texture
from hat.errors import InputError
from hat.paths import find_input

__all__ = ["PhotographTextures"]

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
OBJECT_SHARE = 0.5  # of objects that wear a photograph
CROP_FREEDOM = 1.5  # a photograph's short side, at most, relative to the crop taken of it
BAND_LIMIT_SIGMA = 0.6  # px; photographs are sharp up to the sampling limit
MAX_SHORT_SIDE = 2048  # px kept of a photograph in memory
CACHE_BYTES = 256 << 20


class PhotographTextures:
    """Textures cut from the photographs under a folder, searched with its subfolders by name order.

    A large photograph is first reduced so that a crop shows a good part of it; one smaller than
    the crop is taken whole and mirrored by the renderer.

    Raises:
        InputError: the folder is missing or holds no photograph; later, a damaged photograph.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = find_input(folder)
        if not self.folder.is_dir():
            raise InputError(
                f"{self.folder}: no such folder of photographs; --backgrounds takes a folder of "
                "images, or leave it out for procedural textures"
            )
        self.files = sorted(
            path.relative_to(self.folder).as_posix()
            for path in files_below(self.folder)
            if path.suffix.lower() in SUFFIXES and path.is_file()
        )
        if not self.files:
            raise InputError(
                f"{self.folder}: no photographs in this folder; expected files ending in "
                f"{', '.join(sorted(SUFFIXES))}"
            )
        self._cache: OrderedDict[str, np.ndarray] = OrderedDict()
        self._cached_bytes = 0

    def fingerprint(self) -> str:
        """Hex digest of the photographs' names and lengths: which set of photographs this is."""
        names = [f"{name}\0{(self.folder / name).stat().st_size}\n" for name in self.files]
        return hashlib.sha256(os.fsencode("".join(names))).hexdigest()

    def __call__(self, rng: np.random.Generator, side: int, background: bool) -> np.ndarray:
        """Draw a texture: uint8 RGB (h, w, 3), at most ``side`` pixels a side."""
        if not background and rng.random() >= OBJECT_SHARE:
            return procedural_texture(rng, side, background)
        n = int(np.clip(side, MIN_SIDE, MAX_SIDE))
        photograph = self._load(self.files[int(rng.integers(len(self.files)))], n)
        h, w = (min(n, length) for length in photograph.shape[:2])
        top = int(rng.integers(photograph.shape[0] - h + 1))
        left = int(rng.integers(photograph.shape[1] - w + 1))
        crop = photograph[top : top + h, left : left + w]
        return cv2.GaussianBlur(crop, (0, 0), BAND_LIMIT_SIGMA)

    def _load(self, name: str, side: int) -> np.ndarray:
        """The photograph, reduced until its short side is at most ``CROP_FREEDOM * side``."""
        if name in self._cache:
            self._cache.move_to_end(name)
            image = self._cache[name]
        else:
            image = self._cache[name] = _reduced(read_image(self.folder / name), MAX_SHORT_SIDE)
            self._cached_bytes += image.nbytes
            while self._cached_bytes > CACHE_BYTES and len(self._cache) > 1:
                self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return _reduced(image, max(1, round(CROP_FREEDOM * side)))


def _reduced(image: np.ndarray, short_side: int) -> np.ndarray:
    h, w = image.shape[:2]
    factor = short_side / min(h, w)
    if factor >= 1:
        return image
    size = (max(1, round(w * factor)), max(1, round(h * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
