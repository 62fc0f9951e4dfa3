"""A coarse-to-fine decoder that corrects the flow of the level before.

Every level has the same task: from a cost volume around the flow so far to a correction in pixels
of that level. One set of convolution weights therefore can serve all levels (IRR, Hur and Roth,
CVPR 2019), with batch statistics of each level's own; folded, these become weights of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from hat.models.backbones.pwcnet import check_channels
from hat.models.conv_module import ConvModule, initialise
from hat.models.heads.pwcnet_head import widen
from hat.models.looks_linear import set_values, start_linear
from hat.registry import OBJECT_REGISTRY
from horizon.nn import Correlation, FloatFunctional, GridSample, NarrowConvTranspose2d
from horizon.quantization import QConfig

MATCHER_GAIN = 0.1
"""Level pixels per unit of the cost volume's centre of mass, at first."""
AGGREGATIONS = 2
"""Depthwise convolutions that aggregate costs: over 5x5 pixels."""
THRESHOLD = 0.3
"""Of aggregated costs, at first; match features have unit variance, so that equal ones cost 1."""


class FlowCorrector(nn.Module):
    """One level: warp, cost volume, convolutions, correction, and what the finer level receives.

    The coarsest level has no flow yet; it sees zeros in the place of flow and hidden features, so
    that its weights have the shape of the others'. The finest hands nothing on.
    """

    def __init__(
        self,
        match_channels: int,
        md: int,
        channels: Sequence[int],
        dilations: Sequence[int],
        hidden_channels: int,
        *,
        coarsest: bool,
        finest: bool,
        aggregate: bool,
        **layer: Any,
    ) -> None:
        super().__init__()
        self.correlation = Correlation(md)
        self.concat = FloatFunctional()
        costs = self.correlation.out_channels
        before = costs + match_channels
        aggregations = range(AGGREGATIONS if aggregate else 0)
        self.aggregate = nn.Sequential(
            *(ConvModule(costs, costs, groups=costs, **layer) for _ in aggregations)
        )
        if aggregate:
            before += costs
        if not coarsest:
            self.warp_scale = FloatFunctional()
            self.warp = GridSample()
            before += 2 + hidden_channels
            self.flow_add = FloatFunctional()
        self.convs = nn.ModuleList()
        for out_channels, dilation in zip(channels, dilations, strict=True):
            self.convs.append(ConvModule(before, out_channels, dilation=dilation, **layer))
            before = out_channels
        self.flow = nn.Conv2d(before, 2, 3, padding=1)
        self.to_units = FloatFunctional()
        if not finest:
            # Not learnt: any kernel but the tent turns a slope into stairs, of which the finer
            # levels see too little to even them out.
            self.up_flow = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            self.up_feat = NarrowConvTranspose2d(before, hidden_channels)
        self.finest = finest
        self.received: int = 0 if coarsest else hidden_channels

    def forward(
        self, first: Tensor, second: Tensor, coarser: tuple[Tensor, Tensor] | None, scale: float
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """Flow at this level.

        Args:
            first, second: (N, C, h, w) match features of both images.
            coarser: up-sampled flow (N, 2, h, w) and hidden features of the level before.
            scale: level pixels per unit of flow.

        Returns:
            Flow (N, 2, h, w), and ``coarser`` for the next finer level (None at the finest).
        """
        if coarser is None:
            known = [self.correlation(first, second), first]
        else:
            up_flow, up_feat = coarser
            offset = self.warp_scale.mul_scalar(widen(up_flow), scale)
            cost = self.correlation(first, self.warp(second, offset))
            known = [cost, first, up_flow.to(cost.dtype), up_feat.to(cost.dtype)]
        if len(self.aggregate):
            known.append(self.aggregate(known[0]))
        x = self.concat.cat(known)
        for conv in self.convs:
            x = conv(x)
        flow = self.to_units.mul_scalar(widen(self.flow(x)), 1 / scale)
        if coarser is not None:
            flow = self.flow_add.add(widen(coarser[0]), flow)
        if self.finest:
            return flow, None
        return flow, (self.up_flow(flow), self.up_feat(x))

    def set_qconfig(self, wide: QConfig, output: QConfig) -> None:
        """Flow is ``wide``, that of the finest level is ``output``."""
        choices = {"flow": wide, "to_units": wide}
        choices["flow_add"] = output if self.finest else wide
        for name, qconfig in choices.items():
            if hasattr(self, name):
                setattr(getattr(self, name), "qconfig", qconfig)  # noqa: B010


@OBJECT_REGISTRY.register
class ResidualHead(nn.Module):
    """From the coarsest level to ``flow_pred_lvl``, each level correcting the flow so far.

    Args:
        match_channels: channels of the match features of every level.
        bn_kwargs, use_bn, act_type: see :class:`~hat.models.conv_module.ConvModule`.
        md: largest displacement of the cost volume, in pixels of each level.
        pyr_lvls, flow_pred_lvl: coarsest and finest level.
        channels, dilations: the convolutions of each level.
        hidden_channels: up-sampled features that a level receives from the one before.
        shared: all levels have the same convolutions, as far as what they read has as many
            channels (the coarsest sees no flow); they become layers of their own when the network
            is quantised.
        finest_md: ``md`` of the finest level, where the flow so far is off by little.
        coarse_level, coarse_channels, coarse_md: from this level on, to the coarsest, decoders have
            these ``channels`` and this ``md`` (None: those of the others). There are few pixels, so
            they cost little.
        aggregate_levels: levels that also see each displacement's costs summed over neighbours,
            above a threshold (depthwise convolutions with ReLUs). One pixel's cost is mostly noise,
            and a convolution over all displacements at once adds up the noise of all of them.

    Raises:
        ValueError: levels that are not there, or channels that are not one for each dilation.
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
        aggregate_levels: Sequence[int] = (),
        finest_md: int | None = None,
        coarse_level: int | None = None,
        coarse_channels: Sequence[int] | None = None,
        coarse_md: int | None = None,
    ) -> None:
        super().__init__()
        coarse_channels = channels if coarse_channels is None else coarse_channels
        check_channels("channels", channels)
        check_channels("coarse_channels", coarse_channels)
        check_channels("dilations", dilations)
        for each in (channels, coarse_channels):
            if len(each) != len(dilations):
                raise ValueError(
                    f"dilations needs one entry per convolution ({len(each)}), "
                    f"found {len(dilations)}: {list(dilations)}"
                )
        if coarse_level is None:
            if coarse_md is not None or coarse_channels is not channels:
                raise ValueError("coarse_md and coarse_channels need coarse_level, found None")
            coarse_level = pyr_lvls + 1
        elif not flow_pred_lvl <= coarse_level <= pyr_lvls:
            raise ValueError(
                f"coarse_level: found {coarse_level}, expected a level from {flow_pred_lvl} to "
                f"{pyr_lvls}"
            )
        reach = dict.fromkeys(range(flow_pred_lvl, pyr_lvls + 1), md)
        if coarse_md is not None:
            reach.update({level: coarse_md for level in reach if level >= coarse_level})
        if finest_md is not None:
            reach[flow_pred_lvl] = finest_md
        if wrong := [level for level in aggregate_levels if not flow_pred_lvl <= level <= pyr_lvls]:
            raise ValueError(
                f"aggregate_levels: found {wrong[0]}, expected levels from {flow_pred_lvl} to "
                f"{pyr_lvls}"
            )
        self.pyr_lvls = pyr_lvls
        self.flow_pred_lvl = flow_pred_lvl
        self.correctors = nn.ModuleList(
            FlowCorrector(
                match_channels,
                reach[level],
                channels if level < coarse_level else coarse_channels,
                dilations,
                hidden_channels,
                coarsest=level == pyr_lvls,
                finest=level == flow_pred_lvl,
                aggregate=level in aggregate_levels,
                use_bn=use_bn,
                bn_kwargs=bn_kwargs,
                act_type=act_type,
            )
            for level in range(flow_pred_lvl, pyr_lvls + 1)
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
    first: dict[tuple[int, str, torch.Size], nn.Conv2d] = {}
    for corrector in correctors:
        for name, layer in corrector.named_modules():
            if isinstance(layer, nn.Conv2d):
                key = len(corrector.aggregate), name, layer.weight.shape
                one = first.setdefault(key, layer)
                layer.weight, layer.bias = one.weight, one.bias


def start_as_matcher(corrector: FlowCorrector) -> None:
    """Begin as what the network shall become: a matcher, if a poor one.

    The first correction is the centre of mass of the cost volume, averaged over 3x3 pixels, which
    is linear in the costs; see :mod:`hat.models.looks_linear` for how it is handed on.
    """
    md = corrector.correlation.max_displacement
    convs = [cast(ConvModule, module).conv for module in corrector.convs]
    first = convs[0]
    start_linear(first, paired_input=False)
    with torch.no_grad():
        core = first.weight[: first.out_channels // 2].clone()
        side = torch.arange(-md, md + 1.0)
        window = torch.outer(*[torch.tensor([0.25, 0.5, 0.25])] * 2)
        core[:2] = 0
        for axis, distance in enumerate(
            (side.repeat(2 * md + 1), side.repeat_interleave(2 * md + 1))
        ):
            core[axis, : len(distance)] = distance[:, None, None] * window * MATCHER_GAIN
    for number, module in enumerate(corrector.aggregate):
        conv = cast(ConvModule, module).conv
        with torch.no_grad():
            conv.weight.copy_(window.expand_as(conv.weight) / window.sum())
            cast(Tensor, conv.bias).fill_(0.0 if number else -THRESHOLD)
    set_values(first, core, paired_input=False)
    for conv in convs[1:]:
        start_linear(conv, paired_input=True, kept=2)
    values = convs[-1].out_channels // 2
    core = torch.randn(2, values, 3, 3) * 0.01
    core[:, :2] = 0
    core[0, 0, 1, 1] = core[1, 1, 1, 1] = 1
    with torch.no_grad():
        corrector.flow.weight.copy_(torch.cat([core, -core], dim=1))
