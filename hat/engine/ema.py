"""Exponential moving average of weights and batch statistics."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged_model(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of ``model`` whose tensors follow it: ``a += (1 - d) * (value - a)`` at each update.

    ``d = min(decay, (1 + n) / (10 + n))`` after n updates, so that the first, random weights are
    forgotten quickly (the rule of TensorFlow's ExponentialMovingAverage).
    """
    if not 0.0 < decay < 1.0:
        raise ValueError(f"ema_decay must lie between 0 and 1, found {decay}")

    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        if not averaged[0].is_floating_point():
            torch._foreach_copy_(list(averaged), list(current))
            return
        n = float(count)
        weight = 1.0 - min(decay, (1.0 + n) / (10.0 + n))
        torch._foreach_lerp_(list(averaged), list(current), weight)

    with torch.no_grad():
        return AveragedModel(model, multi_avg_fn=average, use_buffers=True)
