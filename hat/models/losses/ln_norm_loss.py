"""The multi-scale training loss of PWC-Net (Sun et al., 2018, equation 1 and 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hat.registry import OBJECT_REGISTRY


@OBJECT_REGISTRY.register
class LnNormLoss(nn.Module):
    """Norm of the flow error per pixel, summed over the image, reduced over the batch, to a power.

    ``loss = loss_weight * (mean_n sum_yx ||pred - gt||_order) ** power``

    Args:
        norm_order: order of the norm over (u, v): 1, 2, ...
        power: exponent of the reduced sum; the paper's robust loss has 0.4 with order 1.
        reduction: ``"mean"`` or ``"sum"`` over the batch.
        loss_weight: factor of the result.
    """

    def __init__(
        self,
        norm_order: int = 2,
        power: float = 1.0,
        reduction: str = "mean",
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not norm_order >= 1:
            raise ValueError(f"norm_order must be 1 or more, found {norm_order!r}")
        if not power > 0:
            raise ValueError(f"power must be positive, found {power!r}")
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction must be 'mean' or 'sum', found {reduction!r}")
        self.norm_order = norm_order
        self.power = power
        self.reduction = reduction
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, gt: Tensor, valid: Tensor | None = None) -> Tensor:
        """Loss of ``pred`` against ``gt``, (N, 2, H, W) each, as a scalar in float32 or wider.

        Args:
            pred, gt: flow in the same unit.
            valid: (N, 1, H, W); pixels with 0 do not count, whatever ``gt`` holds there.
        """
        error = pred.to(torch.promote_types(pred.dtype, torch.float32)) - gt
        if valid is not None:
            error = torch.where(valid > 0, error, error.new_zeros(()))
        per_image = torch.linalg.vector_norm(error, self.norm_order, dim=1).sum(dim=(1, 2))
        total = per_image.mean() if self.reduction == "mean" else per_image.sum()
        if self.power != 1:
            # The slope of x ** 0.4 at 0 is infinite; a batch without error has no gradient.
            total = total.clamp_min(1e-12) ** self.power
        return self.loss_weight * total
