"""Training trains: a small network learns a small fixed set."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.models.networks import build, levels_of, with_losses

MOTIONS = ((3, -2), (-5, 4), (8, 1), (0, -7))


def shifted_textures(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs cut from one texture each, so that the flow is MOTIONS exactly; (img, flow)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(len(MOTIONS), 3, height // 4, width // 4, generator=generator)
    texture = functional.interpolate(coarse, (height + 32, width + 32), mode="bicubic") / 2
    first = texture[..., 16 : 16 + height, 16 : 16 + width]
    second = torch.stack(
        [
            texture[i, :, 16 - v : 16 - v + height, 16 - u : 16 - u + width]
            for i, (u, v) in enumerate(MOTIONS)
        ]
    )
    flow = torch.tensor(MOTIONS, dtype=torch.float32).view(-1, 2, 1, 1)
    return torch.cat([first, second], dim=1), flow.expand(-1, -1, height, width)


@pytest.mark.slow
def test_a_tiny_network_overfits_to_half_a_pixel() -> None:
    image, flow = shifted_textures(64, 64)
    batch = {"img": image, "gt_flow_levels": levels_of(flow)}
    network = build(
        [8, 12, 16, 16, 24, 32],
        use_res=False,
        use_dense=False,
        predictor_channels=[24, 16, 8],
        context_channels=[16, 8],
        context_dilations=[1, 2, 1],
    )
    zero = flow.norm(dim=1).mean().item()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=200)
    for _ in range(200):
        losses = with_losses(network, batch)["losses"]
        optimizer.zero_grad()
        sum(losses).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        found = network.eval()({"img": image})
    error = (found - levels_of(flow)[0]).norm(dim=1).mean().item()
    assert zero > 5
    assert error < 0.5
