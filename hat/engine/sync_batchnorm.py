"""Batch normalisation over the batch of all processes.

On GPUs this is ``torch.nn.SyncBatchNorm``. That refuses CPU tensors, so processes on the CPU use
the class here. Both passes run PyTorch's own kernels for fixed statistics; what is added is one
all-reduce of a few numbers per channel in each direction.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _SyncBatchNorm(torch.autograd.Function):
    """Normalises with the mean and variance (C,) of all processes' values.

    The gradient (Ioffe and Szegedy, 2015, section 3) for xhat = (x - mean) / std and N values:
    ``dx = w / std * (dy - sum(dy) / N - xhat * sum(dy * xhat) / N)``, sums over all processes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        count: float,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.count, ctx.eps = count, eps
        return torch.native_batch_norm(x, weight, bias, mean, variance, False, 0.0, eps)[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance = ctx.saved_tensors
        local, d_weight, d_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0], x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.cat([d_weight, d_bias])
        dist.all_reduce(sums)
        sum_weight, sum_bias = sums.chunk(2)
        inverse = torch.rsqrt(variance + ctx.eps)
        slope = -weight * inverse.square() * sum_weight / ctx.count
        offset = -weight * inverse * sum_bias / ctx.count - slope * mean
        shape = (1, -1, 1, 1)
        slope, offset = (v.view(shape).to(x.dtype) for v in (slope, offset))
        return local.add_(torch.addcmul(offset, x, slope)), d_weight, d_bias, *[None] * 4


class CpuSyncBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d over the batch of every process in training. Input (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(x)
        mean, variance, count = self._statistics(x.detach())
        self._update_running(mean, variance, count)
        weight = torch.ones_like(mean) if self.weight is None else self.weight
        bias = torch.zeros_like(mean) if self.bias is None else self.bias
        return _SyncBatchNorm.apply(x, weight, bias, mean, variance, count, self.eps)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor, float]:
        """Mean and variance per channel, and the number of values, over all processes."""
        count = x.numel() / x.shape[1]
        variance, mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
        # in float64, since the sum of squares minus the square of the sum cancels
        variance, mean = variance.double(), mean.double()
        sums = torch.cat([mean, variance + mean.square(), mean.new_ones(1)]) * count
        dist.all_reduce(sums)
        channels = x.shape[1]
        total = float(sums[-1])
        mean, squares = sums[:-1].div(total).split(channels)
        variance = (squares - mean.square()).clamp_min(0.0)
        return mean.float(), variance.float(), total

    def _update_running(self, mean: Tensor, variance: Tensor, count: float) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = self.momentum
        if momentum is None:
            momentum = 1.0 / float(self.num_batches_tracked)
        unbiased = variance * (count / max(count - 1.0, 1.0))
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(unbiased, momentum)


def convert_sync_batchnorm(model: nn.Module, device: torch.device) -> nn.Module:
    """``model`` with its batch normalisations synchronised across processes."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for name, child in model.named_children():
        if type(child) is nn.BatchNorm2d:
            twin = CpuSyncBatchNorm2d(
                child.num_features,
                child.eps,
                child.momentum,
                child.affine,
                child.track_running_stats,
            )
            twin.load_state_dict(child.state_dict())
            twin.train(child.training)
            setattr(model, name, twin)
        else:
            convert_sync_batchnorm(child, device)
    return model
