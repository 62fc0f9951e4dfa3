"""Batch normalisation over the batch of all processes.

On GPUs this is ``torch.nn.SyncBatchNorm``. That refuses CPU tensors, so processes on the CPU use
the class here: the same statistics from one all-reduce of counts, sums and sums of squares.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _AllReduceSum(torch.autograd.Function):
    """Sum over processes; the gradient of a sum is the sum of the gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class CpuSyncBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d over the batch of every process in training. Input (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(x)
        values = x.float()
        pixels = values.new_tensor([x.numel() / x.shape[1]])
        local = torch.cat([values.sum((0, 2, 3)), values.square().sum((0, 2, 3)), pixels])
        sums, squares, count = _AllReduceSum.apply(local).split([x.shape[1], x.shape[1], 1])
        mean = sums / count
        variance = (squares / count - mean.square()).clamp_min(0.0)
        self._update_running(mean.detach(), variance.detach(), float(count.detach()))
        scale = torch.rsqrt(variance + self.eps)
        shift = -mean * scale
        if self.affine:
            shift = shift * self.weight + self.bias
            scale = scale * self.weight
        shape = (1, -1, 1, 1)
        return (values * scale.view(shape) + shift.view(shape)).to(x.dtype)

    def _update_running(self, mean: Tensor, variance: Tensor, count: float) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        with torch.no_grad():
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
