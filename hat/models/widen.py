"""A trained network's weights in a wider network of the same layers (Chen et al., "Net2Net", 2016).

The wider network begins with the flow of the trained one: what it has more begins at random, and
what there was before does not listen to it yet. Its training then starts where the other one's
ended, instead of at zero flow.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from hat.errors import InputError
from hat.models.backbones.match_pyramid import MatchFeatures
from hat.models.conv_module import ConvModule
from hat.models.heads.residual_head import FlowCorrector

NEW_MATCH = 0.05
"""Size of new match features, over that of the old ones. With 0 they would stay at 0: the gradient
of each factor of the cost volume is the other one."""


def widen_weights(
    old: nn.Module, new: nn.Module, new_match: float = NEW_MATCH
) -> dict[str, Tensor]:
    """The state dict of ``new`` that continues ``old``.

    Args:
        old: the trained network; a task of :class:`MatchPyramid` and :class:`ResidualHead`.
        new: as it is initialised, with the same layers, each at least as wide, and a cost volume at
            least as large.
        new_match: size of the match features that ``old`` lacks; with 0 the flow is the same.

    Raises:
        InputError: layers that the other one does not have, or that are narrower.
    """
    before, after = old.state_dict(), {k: v.clone() for k, v in new.state_dict().items()}
    if before.keys() != after.keys():
        differing = sorted(before.keys() ^ after.keys())
        raise InputError(
            f"the networks have different layers ({len(differing)} entries, first {differing[0]}); "
            "expected the same layers with more channels"
        )
    inputs = concatenated_inputs(old, new)
    modules = dict(new.named_modules())
    for name, value in before.items():
        if any(many < few for many, few in zip(after[name].shape, value.shape, strict=True)):
            raise InputError(
                f"{name}: {tuple(after[name].shape)} in the wider network and "
                f"{tuple(value.shape)} in the trained one; no side may become smaller"
            )
        layer, _, _ = name.rpartition(".")
        transposed = isinstance(modules[layer], nn.ConvTranspose2d)
        after[name] = _widened(value, after[name], inputs.get(layer), transposed)
    for name, module in new.named_modules():
        if isinstance(module, MatchFeatures):
            for kind in ("weight", "bias"):
                after[f"{name}.bn.{kind}"][len(before[f"{name}.bn.{kind}"]) :] *= new_match
    return after


def concatenated_inputs(old: nn.Module, new: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Of layers that read several tensors side by side: the new place of each old input channel.

    Returns:
        By the layer's name: places (old channels,), and factors (old channels,), because the cost
        volume is a mean over the match features, of which the wider network has more.
    """
    found = {}
    narrow = dict(old.named_modules())
    for name, module in new.named_modules():
        if not isinstance(module, FlowCorrector):
            continue
        one = cast(FlowCorrector, narrow[name])
        reach, before = module.correlation.max_displacement, one.correlation.max_displacement
        side = torch.arange(2 * before + 1) + reach - before
        cost = (side[:, None] * (2 * reach + 1) + side).flatten()
        places, start = [cost], module.correlation.out_channels
        for few, many in zip(_parts(one), _parts(module), strict=True):
            places.append(torch.arange(few) + start)
            start += many
        place = torch.cat(places)
        factor = torch.ones(len(place))
        factor[: len(cost)] = _parts(module)[0] / _parts(one)[0]
        found[f"{name}.convs.0.conv"] = place, factor
    return found


def _parts(corrector: FlowCorrector) -> list[int]:
    """Channels of match features and, but for the coarsest level, of flow and hidden features."""
    first = cast(ConvModule, corrector.convs[0]).conv
    rest = first.in_channels - corrector.correlation.out_channels
    hidden = corrector.received
    return [rest - 2 - hidden, 2, hidden] if hidden else [rest]


def _widened(
    value: Tensor, fresh: Tensor, inputs: tuple[Tensor, Tensor] | None, transposed: bool
) -> Tensor:
    """``value`` inside of ``fresh``, which keeps what feeds the outputs that ``value`` lacks."""
    if value.ndim < 4:
        if value.ndim:
            fresh[: len(value)] = value
        return fresh
    if transposed:  # inputs first
        return _widened(value.transpose(0, 1), fresh.transpose(0, 1), inputs, False).transpose(0, 1)
    outputs, channels = value.shape[:2]
    place, factor = inputs if inputs else (torch.arange(channels), torch.ones(channels))
    fresh[:outputs] = 0
    fresh[:outputs, place] = value * factor[:, None, None].to(value)
    return fresh
