"""A bank is drawn once, and its crops depend on the generator alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from hat.data.synthesis.texture_bank import SIDE, TextureBank
from hat.errors import InputError


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> TextureBank:
    return TextureBank(tmp_path_factory.mktemp("bank") / "textures.npy", count=2)


def test_it_is_drawn_once(bank: TextureBank) -> None:
    before = bank.path.stat().st_mtime_ns
    again = TextureBank(bank.path, count=2)
    assert bank.path.stat().st_mtime_ns == before
    assert again.fingerprint() == bank.fingerprint()
    assert np.load(bank.path, mmap_mode="r").shape == (2, SIDE, SIDE, 3)


def test_files_with_names_like_its_own_stay(tmp_path: Path) -> None:
    for name in ("textures.partial", "textures.lock"):
        (tmp_path / name).write_text("mine")
    TextureBank(tmp_path / "textures.npy", count=1)
    for name in ("textures.partial", "textures.lock"):
        assert (tmp_path / name).read_text() == "mine"


def test_crops_depend_on_the_generator_alone(bank: TextureBank) -> None:
    crops = [bank(np.random.default_rng(4), 50, False) for _ in range(2)]
    assert crops[0].shape == (50, 50, 3)
    assert np.array_equal(*crops)
    assert bank(np.random.default_rng(4), 9000, True).shape == (SIDE, SIDE, 3)


def test_photographs_are_among_the_textures(tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    cv2.imwrite(str(folder / "red.png"), np.full((80, 80, 3), (0, 0, 250), np.uint8))
    bank = TextureBank(tmp_path / "bank.npy", count=3, photographs=str(folder))
    means = np.load(bank.path).mean(axis=(1, 2))
    assert (np.abs(means - (250, 0, 0)).max(axis=1) < 2).any()


def test_a_folder_without_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no photographs"):
        TextureBank(tmp_path / "bank.npy", count=1, photographs=str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"my notes", "no bank of textures"),
        (b"", "no bank of textures"),
        (np.zeros((2, 3, 3)), r"no bank of textures but an array of float64 \(2, 3, 3\)"),
        (np.zeros((0, SIDE, SIDE, 3), np.uint8), "no bank"),
        (np.array([{}]), "no bank"),
    ],
)
def test_a_file_that_is_no_bank_is_refused(
    tmp_path: Path, content: bytes | np.ndarray, message: str
) -> None:
    path = tmp_path / "bank.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    before = path.read_bytes()
    with pytest.raises(InputError, match=f"bank.npy: {message}"):
        TextureBank(path)
    assert path.read_bytes() == before
