"""A coarse-to-fine decoder that corrects the flow of the level before.

Every level has the same task: from a cost volume around the flow so far to a correction in pixels
of that level. One set of convolution weights therefore can serve all levels (IRR, Hur and Roth,
CVPR 2019), with batch statistics of each level's own; folded, these become weights of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from hat.models.conv_module import initialise
from hat.models.heads.flow_corrector import Decoder, FlowCorrector, start_as_matcher
from hat.registry import OBJECT_REGISTRY


@OBJECT_REGISTRY.register
class ResidualHead(nn.Module):
    """From the coarsest level to ``flow_pred_lvl``, each level correcting the flow so far.

    Args:
        match_channels: channels of the match features of every level.
        bn_kwargs, use_bn, act_type: see :class:`~hat.models.conv_module.ConvModule`.
        md, channels, dilations: see :class:`~hat.models.heads.flow_corrector.Decoder`.
        pyr_lvls, flow_pred_lvl: coarsest and finest level.
        hidden_channels: up-sampled features that a level receives from the one before.
        shared: levels have the same convolutions, as far as these have the same shape (the coarsest
            sees no flow); they become layers of their own when the network is quantised.
        decoders: by level, what of :class:`~hat.models.heads.flow_corrector.Decoder` is not as in
            the others. The finest level needs a small ``md``, because the flow so far is off by
            little. Coarse levels have few pixels, so wide decoders cost little there.

    Raises:
        ValueError: levels that are not there, or a decoder that is none.
    """

    def __init__(
        self,
        match_channels: int,
        bn_kwargs: Mapping[str, Any],
        use_bn: bool,
        md: int,
        pyr_lvls: int,
        flow_pred_lvl: int,
        act_type: nn.Module,
        channels: Sequence[int],
        dilations: Sequence[int],
        hidden_channels: int,
        shared: bool = True,
        decoders: Mapping[int, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        common = {"md": md, "channels": channels, "dilations": dilations}
        special = dict(decoders or {})
        levels = range(flow_pred_lvl, pyr_lvls + 1)
        if wrong := [level for level in special if level not in levels]:
            raise ValueError(
                f"decoders: found level {wrong[0]!r}, expected levels from {flow_pred_lvl} to "
                f"{pyr_lvls}"
            )
        names = [field.name for field in dataclasses.fields(Decoder)]
        if unknown := [key for values in special.values() for key in values if key not in names]:
            raise ValueError(f"decoders: found {unknown[0]!r}, expected {', '.join(names)}")
        self.pyr_lvls = pyr_lvls
        self.flow_pred_lvl = flow_pred_lvl
        self.correctors = nn.ModuleList(
            FlowCorrector(
                match_channels,
                Decoder(**{**common, **special.get(level, {})}),
                hidden_channels,
                coarsest=level == pyr_lvls,
                finest=level == flow_pred_lvl,
                use_bn=use_bn,
                bn_kwargs=bn_kwargs,
                act_type=act_type,
            )
            for level in levels
        )
        initialise(self)
        correctors = [cast(FlowCorrector, corrector) for corrector in self.correctors]
        for corrector in correctors:
            start_as_matcher(corrector)
        if shared:
            share_weights(correctors)

    def forward(
        self, first: Sequence[Tensor], second: Sequence[Tensor], flow_scale: float
    ) -> list[Tensor]:
        """Flow of every level, finest first, (N, 2, h, w) in units of ``flow_scale`` pixels."""
        flows: list[Tensor] = []
        coarser: tuple[Tensor, Tensor] | None = None
        for index in reversed(range(len(self.correctors))):
            scale = flow_scale / 2 ** (self.flow_pred_lvl + index)
            flow, coarser = self.correctors[index](first[index], second[index], coarser, scale)
            flows.insert(0, flow)
        return flows


def share_weights(correctors: Sequence[FlowCorrector]) -> None:
    """Give all levels the convolutions of the finest one that has them in the same shape.

    Levels that aggregate costs share with each other alone: others read something else.
    """
    first: dict[tuple[Any, ...], nn.Conv2d] = {}
    for corrector in correctors:
        for name, layer in corrector.named_modules():
            if isinstance(layer, nn.Conv2d):
                key = len(corrector.aggregate), name, layer.weight.shape, layer.dilation
                one = first.setdefault(key, layer)
                layer.weight, layer.bias = one.weight, one.bias
