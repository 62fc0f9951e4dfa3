from __future__ import annotations

import cv2
import numpy as np
import pytest

from hat.data.image_io import write_png
from hat.data.synthesis.photographs import PhotographTextures
from hat.data.synthesis.textures import procedural_texture
from hat.errors import InputError


def textures(count: int, side: int = 128) -> list[np.ndarray]:
    return [procedural_texture(np.random.default_rng(i), side, True) for i in range(count)]


def test_textures_are_colour_images_of_the_size_asked_for():
    for side, expected in ((128, 128), (10, 64), (5000, 2048)):
        texture = procedural_texture(np.random.default_rng(0), side, False)
        assert texture.shape == (expected, expected, 3)
        assert texture.dtype == np.uint8


def test_equal_seeds_give_equal_textures_and_others_do_not():
    one, same, other = (
        procedural_texture(np.random.default_rng(seed), 96, True) for seed in (5, 5, 6)
    )
    assert np.array_equal(one, same)
    assert np.abs(one.astype(int) - other).mean() > 5


def test_textures_differ_in_brightness_contrast_and_colour():
    made = [t.astype(np.float32) for t in textures(60)]
    means = [t.mean() for t in made]
    contrasts = [t.std(axis=(0, 1)).mean() for t in made]
    colourfulness = [np.abs(t - t.mean(axis=2, keepdims=True)).mean() for t in made]
    assert min(means) < 70 < 190 < max(means)
    assert min(contrasts) < 20 < 50 < max(contrasts)
    assert min(colourfulness) < 8 < 25 < max(colourfulness)


def test_textures_have_detail_everywhere_but_little_at_the_sampling_limit():
    """Half a pixel of bilinear interpolation must change little, else warping proves nothing."""
    for texture in textures(40):
        image = texture.astype(np.float32)
        halved = cv2.warpAffine(
            image, np.float32([[1, 0, 0.5], [0, 1, 0.5]]), (128, 128), flags=cv2.INTER_LINEAR
        )
        back = cv2.warpAffine(
            halved, np.float32([[1, 0, -0.5], [0, 1, -0.5]]), (128, 128), flags=cv2.INTER_LINEAR
        )
        assert np.abs(back - image)[4:-4, 4:-4].mean() < 7
        # Detail: hardly any 16x16 block is constant.
        blocks = image[..., 1].reshape(8, 16, 8, 16).std(axis=(1, 3))
        clipped = ((image == 0) | (image == 255)).mean()
        assert (blocks == 0).mean() <= max(0.1, 2 * clipped)


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    (folder / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, size in (("b.png", (90, 120)), ("sub/a.png", (300, 500)), ("c.PNG", (64, 64))):
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        write_png(folder / name, cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC))
    (folder / "notes.txt").write_text("no photograph")
    return folder


def test_photographs_are_found_in_name_order(photographs):
    assert PhotographTextures(photographs).files == ["b.png", "c.PNG", "sub/a.png"]


def test_backgrounds_are_crops_of_the_photographs(photographs):
    source = PhotographTextures(photographs)
    shapes = set()
    for seed in range(20):
        crop = source(np.random.default_rng(seed), 100, True)
        assert np.array_equal(crop, source(np.random.default_rng(seed), 100, True))
        shapes.add(crop.shape)
    assert shapes == {(90, 100, 3), (64, 64, 3), (100, 100, 3)}


def test_the_fingerprint_knows_the_set_of_photographs(photographs):
    before = PhotographTextures(photographs).fingerprint()
    assert PhotographTextures(photographs).fingerprint() == before
    (photographs / "c.PNG").unlink()
    assert PhotographTextures(photographs).fingerprint() != before


def test_bad_folders_of_photographs_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.*no such folder"):
        PhotographTextures(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no photographs"):
        PhotographTextures(tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 half a photograph")
    with pytest.raises(InputError, match=r"broken\.jpg"):
        PhotographTextures(tmp_path)(np.random.default_rng(0), 64, True)
