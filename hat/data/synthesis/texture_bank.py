"""Many textures drawn once, of which a stream of scenes takes crops at the price of a copy."""

from __future__ import annotations

import hashlib
import os

import cv2
import numpy as np

from hat.data.file_lock import lock_alone
from hat.data.synthesis.photographs import PhotographTextures
from hat.data.synthesis.spectra import spectral_texture
from hat.data.synthesis.textures import procedural_texture
from hat.errors import InputError
from hat.paths import find_input
from hat.registry import OBJECT_REGISTRY

__all__ = ["TextureBank"]

SIDE = 640  # px
SPECTRAL_SHARE, PHOTOGRAPH_SHARE = 0.3, 0.65  # of all textures, where there are photographs
PLAIN_OBJECTS = 0.06  # of objects with hardly any texture
TURNS = (None, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)


@OBJECT_REGISTRY.register
class TextureBank:
    """``count`` textures of 640x640 px in a memory-mapped file, drawn by the first who asks.

    Texture i depends on (seed, i) and on the photographs alone. A crop is turned by multiples of
    90 degrees, mirrored, its channels are permuted and its contrast changes, so that few
    photographs go a long way.

    Args:
        path: the file, (count, 640, 640, 3) uint8 in NumPy's format; made where there is none.
        count: how many.
        photographs: a folder of photographs, see :class:`PhotographTextures`; None for none.
        seed: of the textures.

    Raises:
        InputError: no photographs in the folder, another process is making the file, or it holds
            something else.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        count: int = 400,
        photographs: str | None = None,
        seed: int = 0,
    ) -> None:
        self.path, self.count = find_input(path), count
        self.photographs, self.seed = photographs, seed
        if not self.path.exists():
            self._make()
        self._open()
        self._textures: np.ndarray | None = None

    def __call__(self, rng: np.random.Generator, side: int, background: bool) -> np.ndarray:
        """A texture source for :func:`~hat.data.synthesis.render.render_pair`."""
        if self._textures is None:  # opened in the process that reads
            self._textures = self._open()
        n = min(max(side, 32), SIDE)
        number, top, left = rng.integers((len(self._textures), SIDE - n + 1, SIDE - n + 1)).tolist()
        crop = np.ascontiguousarray(self._textures[number, top : top + n, left : left + n])
        turn = TURNS[int(rng.integers(4))]
        if turn is not None:
            crop = cv2.rotate(crop, turn)
        gain, level = float(rng.uniform(0.6, 1.2)), float(rng.normal(0, 25))
        if not background and rng.random() < PLAIN_OBJECTS:
            gain *= 0.08
        middle = float(crop[:: n // 8, :: n // 8].mean())
        crop = cv2.convertScaleAbs(crop, alpha=gain, beta=max(0.0, middle * (1 - gain) + level))
        if rng.random() < 0.5:
            crop = cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
        return crop

    def fingerprint(self) -> str:
        """Hex digest of the first and last textures: which bank this is."""
        bank = self._open()
        digest = hashlib.sha256(str(bank.shape).encode())
        for index in (0, -1):
            digest.update(np.ascontiguousarray(bank[index]).tobytes())
        return digest.hexdigest()

    def _open(self) -> np.ndarray:
        try:
            with open(self.path, "rb") as file:
                np.lib.format.read_magic(file)
            bank: np.ndarray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise InputError(
                f"{self.path}: no bank of textures ({error}); name another file: where there is "
                "none, a bank is drawn"
            ) from error
        if bank.dtype != np.uint8 or bank.shape[1:] != (SIDE, SIDE, 3) or not len(bank):
            raise InputError(
                f"{self.path}: no bank of textures but an array of {bank.dtype} {bank.shape}; "
                f"expected uint8 (count, {SIDE}, {SIDE}, 3): name another file: where there is "
                "none, a bank is drawn"
            )
        return bank

    def _make(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path.with_name(f".{self.path.name}.lock"), "a") as lock:
            lock_alone(
                lock.fileno(), self.path, "another process is drawing this bank; wait for it"
            )
            photographs = None if self.photographs is None else PhotographTextures(self.photographs)
            unfinished = self.path.with_name(f".{self.path.name}.partial")
            bank = np.lib.format.open_memmap(
                unfinished, "w+", np.uint8, (self.count, SIDE, SIDE, 3)
            )
            for index in range(self.count):
                bank[index] = _draw(np.random.default_rng((self.seed, index)), photographs)
            bank.flush()
            os.replace(unfinished, self.path)


def _draw(rng: np.random.Generator, photographs: PhotographTextures | None) -> np.ndarray:
    kind = rng.random()
    if kind < SPECTRAL_SHARE:
        return spectral_texture(rng, SIDE)
    if photographs is None or kind >= PHOTOGRAPH_SHARE + SPECTRAL_SHARE:
        return procedural_texture(rng, SIDE, background=True)
    crop = photographs(rng, int(SIDE * rng.uniform(0.6, 1.6)), True)
    return cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
