"""The same random numbers in every run."""

from __future__ import annotations

import random
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
