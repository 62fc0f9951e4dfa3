"""Configs and batches that the network tests share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import hat.models  # noqa: F401  (registers the types below)
from hat.registry import build_from_registry

CHANNELS = [16, 32, 64, 96, 128, 196]
LITE_CHANNELS = [12, 16, 24, 32, 48, 64]
LITE_HEAD: dict[str, Any] = {
    "use_res": False,
    "use_dense": False,
    "predictor_channels": [32, 32, 24, 16, 8],
    "context_channels": [32, 32, 32, 24, 16, 8],
}


def network_config(
    channels: list[int] | None = None,
    *,
    use_bn: bool = True,
    act: nn.Module | None = None,
    **head: Any,
) -> dict[str, Any]:
    """The tutorial's model section, ``head`` laid over its head."""
    channels = channels or CHANNELS
    act = act or nn.ReLU()
    shared = {
        "use_bn": use_bn,
        "bn_kwargs": {},
        "pyr_lvls": 6,
        "flow_pred_lvl": 2,
        "act_type": act,
    }
    return {
        "type": "PwcnetTask",
        "backbone": {"type": "PwcNet", "out_channels": channels, **shared},
        "head": {
            "type": "PwcnetHead",
            "in_channels": channels,
            "md": 4,
            "use_res": True,
            "use_dense": True,
            **shared,
            **head,
        },
        "loss": {"type": "LnNormLoss", "norm_order": 2, "power": 1, "reduction": "mean"},
        "loss_weights": [0.005, 0.01, 0.02, 0.08, 0.32],
    }


def build(channels: list[int] | None = None, *, seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    network: nn.Module = build_from_registry(network_config(channels, **options))
    return network


def build_lite(**options: Any) -> nn.Module:
    return build(LITE_CHANNELS, **{**LITE_HEAD, **options})


def with_losses(task: nn.Module, batch: dict[str, Any]) -> dict[str, Any]:
    """The losses and the finest flow of a training step."""
    outputs: dict[str, Any] = task.compute_losses(task(batch, all_levels=True), batch)  # type: ignore[operator]
    return outputs


def levels_of(flow: Tensor) -> list[Tensor]:
    """Ground truth for a constant flow (N, 2, H, W) at the levels 1/4 to 1/64."""
    height, width = flow.shape[-2:]
    return [flow[..., :1, :1].expand(-1, -1, -(-height // s), -(-width // s)) for s in SCALES]


SCALES = (4, 8, 16, 32, 64)


def random_batch(images: int, height: int, width: int, seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "img": torch.randn(images, 6, height, width, generator=generator).clamp(-1, 1),
        "gt_flow_levels": [
            8 * torch.randn(images, 2, -(-height // s), -(-width // s), generator=generator)
            for s in SCALES
        ],
    }
