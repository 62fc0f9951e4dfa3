"""The feature pyramid of PWC-Net (Sun et al., 2018, section 3, "Feature pyramid extractor")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from hat.models.conv_module import ConvModule, initialise
from hat.registry import OBJECT_REGISTRY


@OBJECT_REGISTRY.register
class PwcNet(nn.Module):
    """Per level a 3x3 convolution of stride 2 and two of stride 1.

    Args:
        out_channels: channels of the levels 1 (half size) to ``pyr_lvls``.
        use_bn, bn_kwargs, act_type: see :class:`~hat.models.conv_module.ConvModule`.
        pyr_lvls: number of levels; level l has 1 / 2**l of the image's size.
        flow_pred_lvl: the finest level that is handed on.
    """

    def __init__(
        self,
        out_channels: Sequence[int],
        use_bn: bool,
        bn_kwargs: Mapping[str, Any],
        pyr_lvls: int,
        flow_pred_lvl: int,
        act_type: nn.Module,
    ) -> None:
        super().__init__()
        check_levels("out_channels", out_channels, pyr_lvls, flow_pred_lvl)
        self.pyr_lvls = pyr_lvls
        self.flow_pred_lvl = flow_pred_lvl
        self.levels = nn.ModuleList()
        before = 3
        for channels in out_channels:
            convs = [
                ConvModule(
                    before if stride == 2 else channels,
                    channels,
                    stride=stride,
                    act_type=act_type,
                    use_bn=use_bn,
                    bn_kwargs=bn_kwargs,
                )
                for stride in (2, 1, 1)
            ]
            self.levels.append(nn.Sequential(*convs))
            before = channels
        initialise(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of (N, 3, H, W) images, level ``flow_pred_lvl`` first, ``pyr_lvls`` last."""
        features = []
        for level in self.levels:
            images = level(images)
            features.append(images)
        return features[self.flow_pred_lvl - 1 :]


def check_levels(name: str, channels: Sequence[int], pyr_lvls: int, flow_pred_lvl: int) -> None:
    """Raise ValueError unless the channel list and the level numbers fit each other."""
    if not 1 <= flow_pred_lvl <= pyr_lvls:
        raise ValueError(
            f"flow_pred_lvl must lie in 1..pyr_lvls ({pyr_lvls}), found {flow_pred_lvl}"
        )
    if len(channels) != pyr_lvls:
        raise ValueError(
            f"{name} needs one entry per pyramid level (pyr_lvls={pyr_lvls}), "
            f"found {len(channels)}: {list(channels)}"
        )
    check_channels(name, channels)


def check_channels(name: str, channels: Sequence[int]) -> None:
    """Raise ValueError unless ``channels`` is a non-empty list of positive integers."""
    if not channels or any(not isinstance(c, int) or c < 1 for c in channels):
        raise ValueError(f"{name} must hold positive integers, found {list(channels)}")
