"""The same random numbers in every run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from hat.errors import InputError

LARGEST = 2**32 - 1


def check_seed(seed: Any) -> int:
    """``seed`` as an int.

    Raises:
        InputError: anything but a whole number that every generator takes. None is refused as
            well: a run that nobody can repeat, and processes that draw apart, help nobody.
    """
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not 0 <= seed <= LARGEST:
        raise InputError(
            f"seed is {seed!r}; expected a whole number from 0 to {LARGEST}; without a line "
            "'seed = ...' in the config it is 0"
        )
    return int(seed)


def seed_everything(seed: int) -> None:
    """Seed every generator that building a model or user code may draw from.

    Raises:
        InputError: see :func:`check_seed`.
    """
    seed = check_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of ``seed`` inside; afterwards the generators are as they were before."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
