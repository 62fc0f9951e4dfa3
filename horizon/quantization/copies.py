"""Copies of networks, those of torch's older ``weight_norm`` and ``spectral_norm`` included."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def copied(model: Network) -> Network:
    """A deep copy. Weights that were computed in a forward pass, which torch does not copy, are
    copied without their history.
    """
    held = (x for module in model.modules() for x in vars(module).values())
    memo = {id(x): x.detach().clone() for x in held if isinstance(x, Tensor) and not x.is_leaf}
    return copy.deepcopy(model, memo)
