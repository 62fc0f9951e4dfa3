"""Textures have contrast at every scale, as photographs have."""

from __future__ import annotations

import numpy as np
import pytest

from hat.data.synthesis.spectra import amplitude_slope, spectral_texture


@pytest.mark.parametrize("slope", [0.8, 1.0, 1.3])
def test_the_amplitude_falls_as_it_was_asked_to(slope: float) -> None:
    found = [
        amplitude_slope(spectral_texture(np.random.default_rng(seed), 256, slope).mean(axis=2))
        for seed in range(4)
    ]
    assert np.mean(found) == pytest.approx(slope, abs=0.2)


def test_white_noise_has_no_slope() -> None:
    assert abs(amplitude_slope(np.random.default_rng(0).normal(size=(256, 256)))) < 0.2


def test_reduced_by_32_there_is_contrast_left() -> None:
    for seed in range(8):
        texture = spectral_texture(np.random.default_rng(seed), 512).mean(axis=2)
        assert texture.reshape(16, 32, 16, 32).mean(axis=(1, 3)).std() > 5


def test_same_generator_same_bytes() -> None:
    first, second = (spectral_texture(np.random.default_rng(3), 64) for _ in range(2))
    assert first.dtype == np.uint8
    assert first.shape == (64, 64, 3)
    assert np.array_equal(first, second)
