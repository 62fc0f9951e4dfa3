"""Colour changes against torchvision's, noise statistics, symmetry of the two images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as reference

from hat.data.transforms import PhotometricJitter
from hat.errors import InputError
from tests.data.transforms.pairs import make_sample


class Extreme(np.random.Generator):
    """Draws the upper end of every range; probabilities always hit below ``chance``."""

    def __init__(self, chance: float = 0.5) -> None:
        super().__init__(np.random.PCG64(0))
        self.chance = chance

    def random(self, *args: Any, **kwargs: Any) -> Any:
        return self.chance

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        return high


def same_pair(bgr: bool = False) -> dict[str, Any]:
    """A sample whose two images are equal, so that torchvision's mean is the pair's mean."""
    data = make_sample()
    data["img"] = np.concatenate([data["img"][..., :3]] * 2, axis=2)
    if bgr:
        data["img"] = np.ascontiguousarray(data["img"][..., ::-1])
        data["color_space"] = "bgr"
    return data


def first(data: dict[str, Any]) -> torch.Tensor:
    return torch.from_numpy(data["img"][..., :3].copy()).permute(2, 0, 1)


def jitter(p: float = 1.0, asymmetric_p: float = 0.0, **strengths: float) -> PhotometricJitter:
    none = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
    return PhotometricJitter(**{**none, **strengths}, p=p, asymmetric_p=asymmetric_p)


@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize(
    ("strengths", "change"),
    [
        ({"brightness": 0.3}, lambda image: reference.adjust_brightness(image, 1.3)),
        ({"contrast": 0.5}, lambda image: reference.adjust_contrast(image, 1.5)),
        ({"saturation": 0.6}, lambda image: reference.adjust_saturation(image, 1.6)),
        ({"gamma": 0.5}, lambda image: reference.adjust_gamma(image, 1.5)),
    ],
)
def test_against_torchvision(strengths: dict[str, float], change: Any, bgr: bool) -> None:
    out = first(jitter(**strengths)(same_pair(bgr), Extreme()))
    expected = change(first(same_pair()))
    if bgr:
        out = out.flip(0)
    difference = (out.int() - expected.int()).abs().float()
    assert difference.max() <= 3, "torchvision truncates after each step and rounds its weights"
    assert difference.mean() < 1.2
    assert (first(same_pair()).int() - expected.int()).abs().float().mean() > 5


def test_hue_keeps_grey_and_luma_and_moves_colour() -> None:
    data = make_sample()
    data["img"][:10] = 90
    out = jitter(hue=0.25)({**data, "img": data["img"].copy()}, Extreme())["img"]
    assert (out[:10] == 90).all()
    weights = np.array([0.299, 0.587, 0.114])
    inside = ((out > 0) & (out < 255)).all(axis=2)
    luma = out[..., :3] @ weights - data["img"][..., :3] @ weights
    assert np.abs(luma[inside]).max() < 1.2
    assert np.abs(out.astype(int) - data["img"])[10:].mean() > 10


def test_noise_has_the_given_deviation_and_differs_everywhere() -> None:
    data = make_sample()
    out = jitter(noise=8.0)({**data, "img": data["img"].copy()}, Extreme())["img"]
    offset = out.astype(int) - data["img"]
    assert abs(offset.std() - 8.0) < 0.3
    assert abs(offset.mean()) < 0.2
    both = np.corrcoef(offset[..., :3].ravel(), offset[..., 3:].ravel())[0, 1]
    assert abs(both) < 0.03


def test_images_change_alike_unless_asymmetric() -> None:
    strengths = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "gamma": 0.3}
    alike = jitter(asymmetric_p=0.0, **strengths)(same_pair(), np.random.default_rng(5))["img"]
    assert np.array_equal(alike[..., :3], alike[..., 3:])
    unlike = jitter(asymmetric_p=1.0, **strengths)(same_pair(), np.random.default_rng(5))["img"]
    assert np.array_equal(unlike[..., :3], alike[..., :3])
    assert not np.array_equal(unlike[..., :3], unlike[..., 3:])


def test_probability_and_inputs_stay() -> None:
    data = make_sample()
    before = data["img"].copy()
    out = PhotometricJitter(p=0.0)(dict(data), np.random.default_rng(0))
    assert out["img"] is data["img"]
    changed = PhotometricJitter(noise=3.0, asymmetric_p=1.0)(dict(data), np.random.default_rng(0))
    assert not np.array_equal(changed["img"], before)
    assert np.array_equal(data["img"], before)
    assert changed["gt_flow"] is data["gt_flow"]


def test_zero_strength_changes_nothing() -> None:
    out = jitter(asymmetric_p=1.0)(make_sample(), np.random.default_rng(0))
    np.testing.assert_array_equal(out["img"], make_sample()["img"])


def test_wrong_use() -> None:
    for name, value in [("brightness", 1.5), ("hue", 0.7), ("gamma", -1.0), ("noise", -1.0)]:
        with pytest.raises(ValueError, match=name):
            PhotometricJitter(**{name: value})
    data = make_sample()
    data["color_space"] = "yuv444"
    with pytest.raises(InputError, match=r"00001.*yuv444"):
        PhotometricJitter()(data, np.random.default_rng(0))
