"""Training on too little for batch normalisation is an error of the user's, not torch's."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import nn

from hat.engine.processors import BatchProcessor
from hat.errors import InputError


class Network(nn.Module):
    """Batch normalisation of what the batch has."""

    def __init__(self) -> None:
        super().__init__()
        self.normalised = nn.BatchNorm2d(2)

    def forward(self, batch: dict[str, Any]) -> torch.Tensor:
        found: torch.Tensor = self.normalised(batch["img"])
        return found


def train(shape: tuple[int, ...]) -> None:
    processor = BatchProcessor(True, loss_collector=lambda outputs: outputs.mean())
    batch = {"img": torch.ones(shape)}
    processor.train(Network().train(), batch, torch.device("cpu"), MagicMock())


def test_a_single_pixel_is_told() -> None:
    with pytest.raises(InputError, match="batches of at least two images"):
        train((1, 2, 1, 1))
    train((2, 2, 1, 1))
    train((1, 2, 1, 2))


def test_other_errors_are_not_taken_for_it() -> None:
    with pytest.raises(ValueError, match="expected 4D"):
        train((1, 2))
