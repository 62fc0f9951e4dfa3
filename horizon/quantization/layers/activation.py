"""Activations in the one rounding of the layer before them: clamps, and two slopes per channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.hbir.fixed_point import align_slopes
from horizon.quantization.arithmetic.training import (
    requantize_slopes_ste,
    requantize_ste,
    round_ratio,
)


class Activation(nn.Module):
    """``clamp(x >= 0 ? x : slope * x, low, high)`` in real numbers; the identity without source.

    Parameter ``slope``, (1,) or (C,), where the source is a PReLU.

    Args:
        source: ReLU, LeakyReLU, PReLU, ReLU6 or Hardtanh; None: no activation.
    """

    def __init__(self, source: nn.Module | None) -> None:
        super().__init__()
        self.low: float | None = None
        self.high: float | None = None
        self.fixed_slope: float | None = None
        self.slope: nn.Parameter | None = None
        if isinstance(source, nn.ReLU):
            self.low = 0.0
        elif isinstance(source, nn.Hardtanh):  # ReLU6 as well
            self.low, self.high = float(source.min_val), float(source.max_val)
        elif isinstance(source, nn.LeakyReLU):
            self.fixed_slope = float(source.negative_slope)
        elif isinstance(source, nn.PReLU):
            self.slope = source.weight

    @property
    def is_relu(self) -> bool:
        return self.low == 0 and self.high is None

    @property
    def is_identity(self) -> bool:
        return not (self.is_clamp or self.has_slope)

    @property
    def is_clamp(self) -> bool:
        return self.low is not None or self.high is not None

    @property
    def has_slope(self) -> bool:
        return self.fixed_slope is not None or self.slope is not None

    def forward(self, x: Tensor) -> Tensor:
        """Real numbers, (N, C, H, W)."""
        if self.is_relu:
            return x.relu()
        if self.slope is not None:
            return nn.functional.prelu(x, self.slope.to(x.dtype))
        if self.fixed_slope is not None:
            return nn.functional.leaky_relu(x, self.fixed_slope)
        return x.clamp(self.low, self.high) if self.is_clamp else x

    def limits(self, scale: Any, low: int, high: int) -> tuple[int, int]:
        """Limits of the output's integers; ``low`` and ``high`` are those of their type."""
        if not self.is_clamp or self.is_relu:
            return (0 if self.is_relu else low), high
        step = float(scale.detach())
        ends = [
            end if real is None else min(max(int(np.floor(real / step + 0.5)), low), high)
            for real, end in ((self.low, low), (self.high, high))
        ]
        return ends[0], ends[1]

    def slopes(self, like: Tensor) -> Tensor | None:
        """The slopes below zero, () or (C,), on the device of ``like``; None if there are none."""
        if self.slope is not None:
            return self.slope.float() if self.slope.numel() > 1 else self.slope.float().view(())
        if self.fixed_slope is not None:
            return torch.tensor(self.fixed_slope, device=like.device)
        return None

    def one_slope(self, layer: str) -> None:
        """InputError where channels have slopes of their own."""
        if self.slope is not None and self.slope.numel() > 1:
            raise InputError(
                f"{layer}: one slope per channel (PReLU of {self.slope.numel()} parameters), and "
                "only a convolution and an activation by itself can have that; use nn.PReLU()"
            )

    def requantize(
        self,
        acc: Tensor,
        ratio: Tensor,
        limits: tuple[int, int],
        other: Tensor | None = None,
        other_ratio: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """The activation and the one rounding in training, with ratios that are not rounded yet.

        Args:
            acc: integer-valued (N, C, H, W). ratio: () or (C, 1, 1).
            limits: of :meth:`limits`.
            other, other_ratio: a summand of the same rounding.
        """
        slopes = self.slopes(acc)
        ratios = [ratio] if other_ratio is None else [ratio, other_ratio]
        if slopes is None and other_ratio is None:
            return requantize_ste(acc, round_ratio(ratio), *limits, dtype=dtype)
        steeper = slopes
        if slopes is not None:
            slopes = slopes.view(-1, 1, 1) if slopes.dim() else slopes
            steeper = slopes.detach().abs().clamp_min(1.0)
        largest = ratios[0].detach()
        for each in ratios[1:]:
            largest = torch.maximum(largest, each.detach())
        if steeper is not None:
            largest = largest * steeper
        ratios = [each.expand(torch.broadcast_shapes(each.shape, largest.shape)) for each in ratios]
        positive = [round_ratio(each, largest.expand_as(each)) for each in ratios]
        second = positive[1] if len(ratios) > 1 else None
        if slopes is None:
            return requantize_ste(acc, positive[0], *limits, other, second, dtype)
        negative = [round_ratio(each * slopes, largest.expand_as(each)) for each in ratios]
        low = negative[1] if len(ratios) > 1 else None
        return requantize_slopes_ste(
            acc, positive[0], negative[0], *limits, other, second, low, dtype
        )

    def multipliers(
        self, ratios: np.ndarray, others: np.ndarray | None, where: str
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray | None, np.ndarray]:
        """M, the summand's, those below zero of both (None where there are none), and the shift.

        ``fixed_point.md``, "Two slopes": the shift is that of the largest ratio.

        Args:
            ratios, others: scales over the output's, float64 (C,).
        """
        slopes = self.slopes(torch.empty(0))
        slope = np.ones(()) if slopes is None else slopes.detach().double().cpu().numpy()
        given = [ratios] if others is None else [ratios, others]
        *rows, slope = np.broadcast_arrays(*given, slope)
        above, below, shift = align_slopes(np.stack(rows), slope, where)
        none: list[np.ndarray | None] = [None, None]
        first, second = (*above, None)[:2]
        low, second_low = none if slopes is None else (*below, None)[:2]
        return first, second, low, second_low, shift
