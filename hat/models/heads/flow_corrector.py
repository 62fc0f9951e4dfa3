"""One level of a coarse-to-fine decoder: it corrects the flow of the level before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from hat.models.backbones.pwcnet import check_channels
from hat.models.conv_module import ConvModule
from hat.models.heads.pwcnet_head import widen
from hat.models.looks_linear import set_values, start_linear
from horizon.nn import Correlation, FloatFunctional, GridSample, NarrowConvTranspose2d
from horizon.quantization import QConfig

MATCHER_GAIN = 0.1
"""Level pixels per unit of the cost volume's centre of mass, at first."""
AGGREGATIONS = 2
"""Depthwise convolutions that aggregate costs: over 5x5 pixels."""
THRESHOLD = 0.3
"""Of aggregated costs, at first; match features have unit variance, so that equal ones cost 1."""


@dataclass(frozen=True)
class Decoder:
    """What the decoder of a level is made of.

    Attributes:
        md: largest displacement of the cost volume, in pixels of the level.
        channels, dilations: of its convolutions.
        aggregate: it also sees each displacement's costs summed over neighbours, above a threshold
            (depthwise convolutions with ReLUs). One pixel's cost is mostly noise, and a convolution
            over all displacements at once adds up the noise of all of them.

    Raises:
        ValueError: not one dilation for each convolution, or no positive numbers.
    """

    md: int
    channels: Sequence[int]
    dilations: Sequence[int]
    aggregate: bool = False

    def __post_init__(self) -> None:
        check_channels("channels", self.channels)
        check_channels("dilations", self.dilations)
        if len(self.channels) != len(self.dilations):
            raise ValueError(
                f"dilations needs one entry per convolution ({len(self.channels)}), "
                f"found {len(self.dilations)}: {list(self.dilations)}"
            )


class FlowCorrector(nn.Module):
    """One level: warp, cost volume, convolutions, correction, and what the finer level receives.

    The coarsest level has no flow yet; it sees zeros in the place of flow and hidden features, so
    that its weights have the shape of the others'. The finest hands nothing on.
    """

    def __init__(
        self,
        match_channels: int,
        decoder: Decoder,
        hidden_channels: int,
        *,
        coarsest: bool,
        finest: bool,
        **layer: Any,
    ) -> None:
        super().__init__()
        self.correlation = Correlation(decoder.md)
        self.concat = FloatFunctional()
        costs = self.correlation.out_channels
        before = costs + match_channels
        aggregations = range(AGGREGATIONS if decoder.aggregate else 0)
        self.aggregate = nn.Sequential(
            *(ConvModule(costs, costs, groups=costs, **layer) for _ in aggregations)
        )
        if decoder.aggregate:
            before += costs
        if not coarsest:
            self.warp_scale = FloatFunctional()
            self.warp = GridSample()
            before += 2 + hidden_channels
            self.flow_add = FloatFunctional()
        self.convs = nn.ModuleList()
        for out_channels, dilation in zip(decoder.channels, decoder.dilations, strict=True):
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
