from __future__ import annotations

import numpy as np
import pytest

from horizon_flow.cache import VARIABLE


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    """A folder of compiled programs for all tests that do not look at it."""
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(autouse=True)
def own_cache(shared_cache, monkeypatch):
    """No test writes to the user's folder."""
    monkeypatch.setenv(VARIABLE, str(shared_cache))


def images(count: int, height: int, width: int, seed: int = 0) -> list[np.ndarray]:
    """A smooth texture that moves to the right, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 4 + 2, width // 4 + count + 2, 3))
    texture = np.kron(coarse, np.ones((4, 4, 1))).astype(np.uint8)
    return [texture[:height, 2 * i : 2 * i + width].copy() for i in range(count, 0, -1)]
