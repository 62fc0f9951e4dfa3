"""A loss per pixel that neither the largest motions nor the smallest errors dominate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hat.registry import OBJECT_REGISTRY


@OBJECT_REGISTRY.register
class RobustFlowLoss(nn.Module):
    """``mean((||pred - gt|| * unit + epsilon) ** power)`` over all valid pixels.

    The form of PWC-Net's fine-tuning loss (Sun et al., 2018, equation 2) with the L2 norm, as an
    average, so that it does not depend on the size of the images.

    Args:
        power: exponent q, at most 1.
        epsilon: px; errors far below it count linearly.
        unit: px per unit of the flows compared.
    """

    def __init__(self, power: float = 0.5, epsilon: float = 0.1, unit: float = 20.0) -> None:
        super().__init__()
        if not 0 < power <= 1 or not epsilon > 0 or not unit > 0:
            raise ValueError(
                "power must lie in 0..1, epsilon and unit must be positive; found "
                f"{power}, {epsilon}, {unit}"
            )
        self.power, self.epsilon, self.unit = power, epsilon, unit

    def forward(self, pred: Tensor, gt: Tensor, valid: Tensor | None = None) -> Tensor:
        """Loss of ``pred`` against ``gt``, (N, 2, H, W) each, a scalar in float32 or wider.

        Args:
            pred, gt: flow in the same unit.
            valid: (N, 1, H, W); pixels with 0 do not count, whatever ``gt`` holds there.
        """
        error = (pred.to(torch.promote_types(pred.dtype, torch.float32)) - gt) * self.unit
        if valid is not None:
            error = torch.where(valid > 0, error, error.new_zeros(()))
        length = (error.square().sum(dim=1) + 1e-8).sqrt()
        value = (length + self.epsilon) ** self.power
        if valid is None:
            return value.mean()
        counted = (valid[:, 0] > 0).to(value.dtype)
        return (value * counted).sum() / counted.sum().clamp_min(1)
