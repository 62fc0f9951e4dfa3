"""A feature pyramid whose features are made to be matched: signed and of equal size.

After a ReLU all features are positive, and a constant dominates every cost volume. Here each
level ends in a 1x1 convolution and a batch normalisation without activation, so that the cost
volume of two levels is close to a correlation coefficient, whatever the level and the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from hat.models.backbones.pwcnet import check_channels, check_levels
from hat.models.conv_module import ConvModule, initialise
from hat.models.looks_linear import start_linear
from hat.registry import OBJECT_REGISTRY
from horizon.quantization import fuse_modules


class MatchFeatures(nn.Module):
    """1x1 convolution and batch normalisation: (N, C, h, w) to (N, match_channels, h, w).

    Before it, ``depth`` convolutions of a level's own, of which the coarser levels see nothing.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        depth: int,
        *,
        bn_kwargs: Mapping[str, Any],
        **layer: Any,
    ) -> None:
        super().__init__()
        layer["bn_kwargs"] = bn_kwargs
        own = [ConvModule(in_channels, in_channels, **layer) for _ in range(depth)]
        self.own = nn.Sequential(*own)
        self.conv = nn.Conv2d(in_channels, out_channels, 1)
        self.bn = nn.BatchNorm2d(out_channels, **bn_kwargs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(self.own(x)))
        if isinstance(x, Tensor) and x.requires_grad and x.stride(1) == 1:
            # The parts of its gradient come in any order, and batch normalisation takes eight times
            # as long with a gradient that is not in the order of its input.
            x.register_hook(lambda g: g.contiguous(memory_format=torch.channels_last))
        return x

    def fuse_model(self, fold_bn: bool = True) -> None:
        """Fuse the last convolution; those before it are modules that fuse themselves."""
        fuse_modules(self, ["conv", "bn"], fold_bn)


@OBJECT_REGISTRY.register
class MatchPyramid(nn.Module):
    """Per level a 3x3 convolution of stride 2, ``depths`` - 1 of stride 1, and match features.

    Args:
        out_channels: channels of the levels 1 (half size) to ``pyr_lvls``.
        depths: convolutions of each level.
        match_channels: channels of the match features of every level.
        match_depths: convolutions, from the finest level on, that only the match features of that
            level see; levels without an entry have none. One convolution of the image is too little
            to match by: see docs/learning.md.
        use_bn, bn_kwargs, act_type: see :class:`~hat.models.conv_module.ConvModule`.
        pyr_lvls: number of levels; level l has 1 / 2**l of the image's size.
        flow_pred_lvl: the finest level that is handed on.
    """

    def __init__(
        self,
        out_channels: Sequence[int],
        depths: Sequence[int],
        match_channels: int,
        use_bn: bool,
        bn_kwargs: Mapping[str, Any],
        pyr_lvls: int,
        flow_pred_lvl: int,
        act_type: nn.Module,
        match_depths: Sequence[int] = (),
    ) -> None:
        super().__init__()
        check_levels("out_channels", out_channels, pyr_lvls, flow_pred_lvl)
        check_levels("depths", depths, pyr_lvls, flow_pred_lvl)
        check_channels("match_channels", [match_channels])
        own_depths = [*match_depths, *[0] * (pyr_lvls + 1 - flow_pred_lvl - len(match_depths))]
        if len(own_depths) != pyr_lvls + 1 - flow_pred_lvl or min(own_depths) < 0:
            raise ValueError(
                f"match_depths: expected at most {pyr_lvls + 1 - flow_pred_lvl} numbers, one for "
                f"each level from the finest on, found {list(match_depths)}"
            )
        layer: dict[str, Any] = {"act_type": act_type, "use_bn": use_bn, "bn_kwargs": bn_kwargs}
        self.pyr_lvls = pyr_lvls
        self.flow_pred_lvl = flow_pred_lvl
        self.levels = nn.ModuleList()
        self.matches = nn.ModuleList()
        before = 3
        for number, (channels, depth) in enumerate(zip(out_channels, depths, strict=True), 1):
            convs = [
                ConvModule(
                    before if index == 0 else channels,
                    channels,
                    stride=2 if index == 0 else 1,
                    **layer,
                )
                for index in range(depth)
            ]
            self.levels.append(nn.Sequential(*convs))
            if number >= flow_pred_lvl:
                own = own_depths[number - flow_pred_lvl]
                self.matches.append(MatchFeatures(channels, match_channels, own, **layer))
            before = channels
        initialise(self)
        if not use_bn:
            self._start_linear()

    def _start_linear(self) -> None:
        """Begin as a stack of linear filters; see :mod:`hat.models.looks_linear`."""
        convs = [m.conv for m in self.modules() if isinstance(m, ConvModule)]
        for index, conv in enumerate(convs):
            start_linear(conv, paired_input=index > 0, beside=1.0 if index == 0 else 0.5)
        for module in self.matches:
            conv = cast(MatchFeatures, module).conv
            core = nn.init.orthogonal_(torch.empty(conv.out_channels, conv.in_channels // 2))
            with torch.no_grad():
                conv.weight.copy_(torch.cat([core, -core], dim=1)[..., None, None])

    def forward(self, images: Tensor) -> list[Tensor]:
        """Match features of (N, 3, H, W) images, level ``flow_pred_lvl`` first."""
        features = []
        for level in self.levels:
            images = level(images)
            features.append(images)
        wanted = features[self.flow_pred_lvl - 1 :]
        return [match(level) for match, level in zip(self.matches, wanted, strict=True)]
