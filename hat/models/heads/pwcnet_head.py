"""The coarse-to-fine flow decoder of PWC-Net (Sun et al., 2018, section 3)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from hat.models.backbones.pwcnet import check_channels, check_levels
from hat.models.conv_module import ConvModule, initialise
from hat.registry import OBJECT_REGISTRY
from horizon.nn import (
    Correlation,
    FloatFunctional,
    GridSample,
    NarrowConv2d,
    NarrowConvTranspose2d,
)
from horizon.quantization import QConfig, fuse_modules


def widen(x: Tensor) -> Tensor:
    """Half precision to float32, anything else as it is: sums of flow keep their digits."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class ContextNetwork(nn.Sequential):
    """3x3 convolutions of growing dilation, the last (2 channels) without BN and activation."""

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        dilations: Sequence[int],
        **layer: Any,
    ) -> None:
        convs: list[nn.Module] = []
        for out_channels, dilation in zip(channels, dilations[:-1], strict=True):
            convs.append(ConvModule(in_channels, out_channels, dilation=dilation, **layer))
            in_channels = out_channels
        last = dilations[-1]
        super().__init__(*convs, nn.Conv2d(in_channels, 2, 3, padding=last, dilation=last))


class FlowEstimator(nn.Module):
    """Everything that happens at one level of the pyramid.

    Cost volume of the first image's features and the second's (warped by the flow so far), dense
    or plain convolutions, flow, its refinement by a context network, and what the next finer level
    receives. The coarsest level has no flow yet, the finest hands nothing on.
    """

    def __init__(
        self,
        in_channels: int,
        md: int,
        predictor_channels: Sequence[int],
        *,
        coarsest: bool,
        finest: bool,
        use_dense: bool,
        context: tuple[Sequence[int], Sequence[int]] | None,
        **layer: Any,
    ) -> None:
        super().__init__()
        self.correlation = Correlation(md)
        self.correlation_act: nn.Module = copy.deepcopy(layer["act_type"])
        channels = self.correlation.out_channels
        if not coarsest:
            self.warp_scale = FloatFunctional()
            self.warp = GridSample()
            self.concat = FloatFunctional()
            channels += in_channels + 4
        self.convs = nn.ModuleList()
        self.dense_concats = nn.ModuleList()
        for out_channels in predictor_channels:
            self.convs.append(ConvModule(channels, out_channels, **layer))
            if use_dense:
                self.dense_concats.append(FloatFunctional())
                channels += out_channels
            else:
                channels = out_channels
        self.flow = NarrowConv2d(channels, 2)
        if context is not None:
            self.context = ContextNetwork(channels, *context, **layer)
            self.flow_add = FloatFunctional()
        if not finest:
            self.up_flow = NarrowConvTranspose2d(2, 2)
            self.up_feat = NarrowConvTranspose2d(channels, 2)
        self.finest, self.use_dense = finest, use_dense
        self.use_context = context is not None

    def forward(
        self, first: Tensor, second: Tensor, coarser: tuple[Tensor, Tensor] | None, scale: float
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """Flow at this level.

        Args:
            first, second: (N, C, h, w) features of both images.
            coarser: up-sampled flow and features of the level below, (N, 2, h, w) each.
            scale: level pixels per unit of flow.

        Returns:
            Flow (N, 2, h, w), and ``coarser`` for the next finer level (None at the finest).
        """
        if coarser is None:
            x = self.correlation_act(self.correlation(first, second))
        else:
            up_flow, up_feat = coarser
            offset = self.warp_scale.mul_scalar(widen(up_flow), scale)
            cost = self.correlation(first, self.warp(second, offset))
            known = [first, up_flow.to(cost.dtype), up_feat.to(cost.dtype)]
            x = self.concat.cat([self.correlation_act(cost), *known])
        for index, conv in enumerate(self.convs):
            out = conv(x)
            x = self.dense_concat(index).cat([out, x]) if self.use_dense else out
        flow = self.flow(x)
        if self.use_context:
            flow = self.flow_add.add(widen(flow), widen(self.context(x)))
        if self.finest:
            return flow, None
        return flow, (self.up_flow(flow), self.up_feat(x))

    def fuse_model(self, fold_bn: bool = True) -> None:
        """Correlation with its activation; the last convolution of the context with the sum."""
        fuse_modules(self, ["correlation", "correlation_act"])
        if self.use_context:
            last = len(self.context) - 1
            fuse_modules(self, [f"context.{last}", "flow_add"], fold_bn)

    def set_qconfig(self, wide: QConfig, output: QConfig) -> None:
        """Flow is ``wide``, that of the finest level is ``output``; all else as it is above."""
        choices = {"flow": output if self.finest and not self.use_context else wide}
        choices["flow_add"] = output if self.finest else wide
        choices["up_flow"] = wide
        for name, qconfig in choices.items():
            if hasattr(self, name):
                setattr(getattr(self, name), "qconfig", qconfig)  # noqa: B010

    def dense_concat(self, index: int) -> FloatFunctional:
        return cast(FloatFunctional, self.dense_concats[index])


@OBJECT_REGISTRY.register
class PwcnetHead(nn.Module):
    """From the coarsest level to ``flow_pred_lvl``, each level refining the flow of the one before.

    Args:
        in_channels: channels of the pyramid's levels 1 to ``pyr_lvls``.
        bn_kwargs, use_bn, act_type: see :class:`~hat.models.conv_module.ConvModule`.
        md: largest displacement of the cost volume, in pixels of each level.
        use_res: a context network at every level; without it only at the finest.
        use_dense: each convolution sees the outputs of all before it (new first).
        pyr_lvls, flow_pred_lvl: coarsest and finest level.
        predictor_channels: convolutions of each level's predictor.
        context_channels: convolutions of the context network; one of 2 channels follows.
        context_dilations: one per context convolution, the last one included.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        bn_kwargs: Mapping[str, Any],
        use_bn: bool,
        md: int,
        use_res: bool,
        use_dense: bool,
        pyr_lvls: int,
        flow_pred_lvl: int,
        act_type: nn.Module,
        predictor_channels: Sequence[int] = (128, 128, 96, 64, 32),
        context_channels: Sequence[int] = (128, 128, 128, 96, 64, 32),
        context_dilations: Sequence[int] = (1, 2, 4, 8, 16, 1, 1),
    ) -> None:
        super().__init__()
        check_levels("in_channels", in_channels, pyr_lvls, flow_pred_lvl)
        check_channels("predictor_channels", predictor_channels)
        check_channels("context_channels", context_channels)
        check_channels("context_dilations", context_dilations)
        if len(context_dilations) != len(context_channels) + 1:
            raise ValueError(
                f"context_dilations needs {len(context_channels) + 1} entries, one more than "
                f"context_channels, found {len(context_dilations)}: {list(context_dilations)}"
            )
        self.pyr_lvls = pyr_lvls
        self.flow_pred_lvl = flow_pred_lvl
        self.estimators = nn.ModuleList()
        for level in range(flow_pred_lvl, pyr_lvls + 1):
            finest = level == flow_pred_lvl
            self.estimators.append(
                FlowEstimator(
                    in_channels[level - 1],
                    md,
                    predictor_channels,
                    coarsest=level == pyr_lvls,
                    finest=finest,
                    use_dense=use_dense,
                    context=(context_channels, context_dilations) if use_res or finest else None,
                    act_type=act_type,
                    use_bn=use_bn,
                    bn_kwargs=bn_kwargs,
                )
            )
        initialise(self)

    def forward(
        self, first: Sequence[Tensor], second: Sequence[Tensor], flow_scale: float
    ) -> list[Tensor]:
        """Flow of every level, finest first, (N, 2, h, w) in units of ``flow_scale`` pixels.

        Args:
            first, second: features of both images, finest level first, as the backbone gives them.
            flow_scale: pixels of the full-resolution image per unit of flow.
        """
        flows: list[Tensor] = []
        coarser: tuple[Tensor, Tensor] | None = None
        for index in reversed(range(len(self.estimators))):
            scale = flow_scale / 2 ** (self.flow_pred_lvl + index)
            flow, coarser = self.estimators[index](first[index], second[index], coarser, scale)
            flows.insert(0, flow)
        return flows
