"""Two processes with half a batch each against plain batch normalisation of the whole batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from hat.engine import distributed
from hat.engine.sync_batchnorm import CpuSyncBatchNorm2d, convert_sync_batchnorm

CHANNELS = 5


def batch(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Values far from zero, where variances cancel, and an upstream gradient."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, CHANNELS, 7, 9, generator=generator) * 3 + 20
    upstream = torch.randn(6, CHANNELS, 7, 9, generator=generator)
    return x.to(dtype), upstream.to(dtype)


def layer(kind: type[nn.BatchNorm2d], affine: bool) -> nn.BatchNorm2d:
    norm = kind(CHANNELS, affine=affine)
    if affine:
        with torch.no_grad():
            norm.weight.copy_(torch.linspace(0.5, 2, CHANNELS))
            norm.bias.copy_(torch.linspace(-1, 1, CHANNELS))
    return norm


def run(norm: nn.BatchNorm2d, x: torch.Tensor, upstream: torch.Tensor) -> dict[str, torch.Tensor]:
    x = x.clone().requires_grad_()
    out = norm(x)
    out.backward(upstream)
    assert x.grad is not None
    results = {"out": out.detach(), "grad": x.grad, "running_mean": norm.running_mean}
    results["running_var"] = norm.running_var
    if norm.affine:
        results |= {"weight": norm.weight.grad, "bias": norm.bias.grad}
    return results


def worker(device: torch.device, argument: tuple[Path, torch.dtype, bool]) -> int:
    folder, dtype, affine = argument
    x, upstream = batch(dtype)
    part = slice(0, 2) if distributed.rank() == 0 else slice(2, 6)  # shares differ in size
    results = run(layer(CpuSyncBatchNorm2d, affine), x[part], upstream[part])
    torch.save(results, folder / f"{distributed.rank()}.pt")
    return 0


@pytest.mark.parametrize(
    ("dtype", "affine", "tolerance"),
    [
        (torch.float32, True, 1e-5),
        (torch.float32, False, 1e-5),
        (torch.bfloat16, True, 2e-2),
    ],
)
def test_like_one_process(tmp_path, dtype, affine, tolerance):
    assert distributed.run_distributed(worker, (tmp_path, dtype, affine), "0,1") == 0
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    whole = run(layer(nn.BatchNorm2d, affine), *batch(dtype))
    for name, expected in whole.items():
        if name in ("out", "grad"):
            found = torch.cat([part[name] for part in parts])
        elif name in ("weight", "bias"):  # each process has its share; DDP adds them up
            found = parts[0][name] + parts[1][name]
        else:
            found = parts[0][name]
            torch.testing.assert_close(parts[1][name], found, rtol=0, atol=0)
        scale = float(expected.float().abs().max())
        torch.testing.assert_close(
            found.float(), expected.float(), rtol=0, atol=tolerance * scale, msg=name
        )


def test_conversion_keeps_weights_and_evaluation():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, CHANNELS, 1), nn.BatchNorm2d(CHANNELS)).eval()
    x = torch.randn(2, 3, 4, 4)
    expected = model(x)
    converted = convert_sync_batchnorm(model, torch.device("cpu"))
    assert type(converted[1]) is CpuSyncBatchNorm2d
    assert torch.equal(converted(x), expected)
