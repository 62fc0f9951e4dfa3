"""PWC-Net in its simplest form: the other side of ``training_step.py``.

The cost volume is 81 shifted products with autograd through them. Warping uses a normalised grid.
Every convolution is a plain torch layer in the default memory format. One loop runs over the
levels. The layers have the names of ``hat.models``, so both networks load the same weights.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = (16, 32, 64, 96, 128, 196)
PREDICTOR = (128, 128, 96, 64, 32)
CONTEXT = (128, 128, 128, 96, 64, 32)
DILATIONS = (1, 2, 4, 8, 16, 1)
LOSS_WEIGHTS = (0.005, 0.01, 0.02, 0.08, 0.32)
FLOW_SCALE = 20.0


def conv(in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(in_channels, out_channels, 3, stride, padding=dilation, dilation=dilation)
    return nn.Sequential(OrderedDict(conv=layer, bn=nn.BatchNorm2d(out_channels), act=nn.ReLU()))


def correlate(first: Tensor, second: Tensor, md: int = 4) -> Tensor:
    height, width = first.shape[-2:]
    padded = functional.pad(second, (md, md, md, md))
    costs = []
    for dy in range(2 * md + 1):
        for dx in range(2 * md + 1):
            product = first * padded[:, :, dy : dy + height, dx : dx + width]
            costs.append(product.mean(dim=1, keepdim=True))
    return torch.cat(costs, dim=1)


def warp(feature: Tensor, offset: Tensor) -> Tensor:
    height, width = feature.shape[-2:]
    sides = [torch.arange(side, device=feature.device) for side in (height, width)]
    rows, columns = torch.meshgrid(*sides, indexing="ij")
    x = 2 * (columns + offset[:, 0]) / (width - 1) - 1
    y = 2 * (rows + offset[:, 1]) / (height - 1) - 1
    return functional.grid_sample(feature, torch.stack([x, y], dim=-1), align_corners=True)


class Level(nn.Module):
    def __init__(self, in_channels: int, *, coarsest: bool, finest: bool) -> None:
        super().__init__()
        channels = 81 if coarsest else 81 + in_channels + 4
        self.convs = nn.ModuleList()
        for out_channels in PREDICTOR:
            self.convs.append(conv(channels, out_channels))
            channels += out_channels
        self.flow = nn.Conv2d(channels, 2, 3, padding=1)
        if not finest:
            self.up_flow = nn.ConvTranspose2d(2, 2, 4, 2, 1)
            self.up_feat = nn.ConvTranspose2d(channels, 2, 4, 2, 1)
        self.context = nn.Sequential()
        for out_channels, dilation in zip(CONTEXT, DILATIONS, strict=True):
            self.context.append(conv(channels, out_channels, dilation=dilation))
            channels = out_channels
        self.context.append(nn.Conv2d(channels, 2, 3, padding=1))


class PlainPwcnet(nn.Module):
    """The tutorial's network and loss. Image sizes are multiples of 64."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.levels = nn.ModuleList(
            nn.Sequential(conv(before, after, stride=2), conv(after, after), conv(after, after))
            for before, after in zip((3, *CHANNELS), CHANNELS, strict=False)
        )
        self.head = nn.Module()
        self.head.estimators = nn.ModuleList(
            Level(CHANNELS[level - 1], coarsest=level == 6, finest=level == 2)
            for level in range(2, 7)
        )

    def forward(self, image: Tensor, truth: Sequence[Tensor]) -> list[Tensor]:
        """Weighted losses, finest level first, of (N, 6, H, W) images and flow in pixels."""
        x = torch.cat([image[:, :3], image[:, 3:]])
        pyramid = []
        for stage in self.backbone.levels:
            x = stage(x)
            pyramid.append(x.chunk(2))
        losses = []
        up_flow = up_feat = None
        for level in range(6, 1, -1):
            estimator = self.head.estimators[level - 2]
            first, second = pyramid[level - 1]
            if up_flow is None:
                x = functional.relu(correlate(first, second))
            else:
                second = warp(second, up_flow * FLOW_SCALE / 2**level)
                cost = functional.relu(correlate(first, second))
                x = torch.cat([cost, first, up_flow, up_feat], dim=1)
            for layer in estimator.convs:
                x = torch.cat([layer(x), x], dim=1)
            flow = estimator.flow(x) + estimator.context(x)
            if level > 2:
                up_flow, up_feat = estimator.up_flow(flow), estimator.up_feat(x)
            wide = torch.promote_types(flow.dtype, torch.float32)
            error = flow.to(wide) - truth[level - 2] / FLOW_SCALE
            norm = error.norm(dim=1).sum(dim=(1, 2)).mean()
            losses.insert(0, LOSS_WEIGHTS[level - 2] * norm)
        return losses
