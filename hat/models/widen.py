"""A trained network's weights in a wider network of the same layers (Chen et al., "Net2Net", 2016).

The wider network begins with the flow of the trained one: what it has more begins at random, and
what there was before does not listen to it yet. Its training then starts where the other one's
ended, instead of at zero flow. It may also have coarser levels, or predict flow at finer ones:
their match features begin at random, and their decoder is that of the nearest level, so that the
flow begins close to the trained one's only after some hundreds of steps. It may lack the finest
levels of the trained one.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from hat.errors import InputError
from hat.models.backbones.match_pyramid import MatchFeatures, MatchPyramid
from hat.models.conv_module import ConvModule
from hat.models.heads.flow_corrector import FlowCorrector
from hat.models.heads.residual_head import ResidualHead

NEW_MATCH = 0.05
"""Size of new match features, over that of the old ones. With 0 they would stay at 0: the gradient
of each factor of the cost volume is the other one."""
Levels = MatchPyramid | ResidualHead
LAYERS_OF_LEVELS: dict[type[Levels], str] = {MatchPyramid: "matches", ResidualHead: "correctors"}
"""What each predicted level has a layer of."""
LEVEL = re.compile(rf"\.({'|'.join(LAYERS_OF_LEVELS.values())})\.\d+\.")


def widen_weights(
    old: nn.Module, new: nn.Module, new_match: float = NEW_MATCH
) -> dict[str, Tensor]:
    """The state dict of ``new`` that continues ``old``.

    Args:
        old: the trained network; a task of :class:`MatchPyramid` and :class:`ResidualHead`.
        new: as it is initialised, with the same layers, each at least as wide, a cost volume at
            least as large but at the finest level, and perhaps coarser or finer levels.
        new_match: size of the match features that ``old`` lacks; with 0 the flow is the same.

    Raises:
        InputError: layers that the other one does not have, or that are narrower.
    """
    before, after = old.state_dict(), {k: v.clone() for k, v in new.state_dict().items()}
    layers = matching_layers(old, new)
    sources = dict(_entries(before, after, layers))
    lost = before.keys() - set(sources.values())
    if lost := {name for name in lost if not name.startswith(left_out(old, new))}:
        raise InputError(
            f"the networks have different layers ({len(lost)} entries of the trained one are "
            f"nowhere in the wider one, first {min(lost)}); expected the same layers with more "
            "channels, and at least as many levels"
        )
    inputs = concatenated_inputs(old, new, layers)
    costs = aggregated_costs(old, new, layers)
    modules = dict(new.named_modules())
    for name, source in sources.items():
        value = before[source]
        layer, _, kind = name.rpartition(".")
        if layer in costs:
            place, factor = costs[layer]
            kept_costs = place >= 0
            value = value * factor if kind == "weight" else value
            after[name][place[kept_costs]] = value[kept_costs]
            continue
        kept = list(value.shape)
        if layer in inputs and value.ndim == 4:
            kept[1] = int((inputs[layer][0] >= 0).sum())
        if any(many < few for many, few in zip(after[name].shape, kept, strict=True)):
            raise InputError(
                f"{name}: {tuple(after[name].shape)} in the wider network and "
                f"{tuple(value.shape)} in the trained one; no side may become smaller"
            )
        transposed = isinstance(modules[layer], nn.ConvTranspose2d)
        after[name] = _widened(value, after[name], inputs.get(layer), transposed)
    check_shared(new, after)
    narrow = dict(old.named_modules())
    for name, module in new.named_modules():
        if isinstance(module, MatchFeatures) and name in layers:
            old_channels = cast(MatchFeatures, narrow[layers[name]]).bn.num_features
            for kind in ("weight", "bias"):
                after[f"{name}.bn.{kind}"][old_channels:] *= new_match
    return after


def check_shared(new: nn.Module, weights: dict[str, Tensor]) -> None:
    """InputError where levels that share a parameter in ``new`` would continue different ones."""
    names: dict[int, str] = {}
    for name, parameter in new.named_parameters(remove_duplicate=False):
        first = names.setdefault(id(parameter), name)
        if not torch.equal(weights[first], weights[name]):
            raise InputError(
                f"{first} and {name} are one parameter in the wider network and two in the trained "
                "one; expected levels that share it there too (decoders)"
            )


def matching_layers(old: nn.Module, new: nn.Module) -> dict[str, str]:
    """For each layer of ``new`` at a level, the layer of ``old`` whose weights it continues.

    Match features continue those of the same level; if ``old`` has none there, they begin at
    random. The coarsest decoder, which receives no flow, continues the coarsest decoder. Every
    other decoder continues the decoder of the same level, or else the finest or coarsest decoder
    that receives a flow.
    """
    found = {}
    for layers, few, many in _levels(old, new):
        for level in range(many.flow_pred_lvl, many.pyr_lvls + 1):
            source = min(max(level, few.flow_pred_lvl), few.pyr_lvls)
            if isinstance(few, MatchPyramid):
                if source != level:
                    continue
            elif level == many.pyr_lvls:
                source = few.pyr_lvls
            else:
                source = min(source, few.pyr_lvls - 1)
                if source != level and not _holds(few, source, many, level):
                    continue
            layer = f"{layers}.{level - many.flow_pred_lvl}"
            found[layer] = f"{layers}.{source - few.flow_pred_lvl}"
    return found


def _holds(few: Levels, source: int, many: Levels, level: int) -> bool:
    """Whether the decoder of ``level`` has the channels that the decoder of ``source`` has."""
    decoders = [
        cast(ResidualHead, one).correctors[number - one.flow_pred_lvl]
        for one, number in ((few, source), (many, level))
    ]
    widths = [
        [cast(ConvModule, conv).conv.out_channels for conv in cast(FlowCorrector, decoder).convs]
        for decoder in decoders
    ]
    return len(widths[0]) == len(widths[1]) and all(map(operator.le, *widths))


def _levels(old: nn.Module, new: nn.Module) -> Iterator[tuple[str, Levels, Levels]]:
    """What has layers for each level: their list's name, and its owner in ``old`` and ``new``."""
    modules = dict(old.named_modules())
    for name, many in new.named_modules():
        few = modules.get(name)
        for kind, layers in LAYERS_OF_LEVELS.items():
            if isinstance(many, kind) and isinstance(few, kind):
                yield f"{name}.{layers}", few, many


def left_out(old: nn.Module, new: nn.Module) -> tuple[str, ...]:
    """Layers of ``old`` that only levels finer than those of ``new`` need."""
    found = []
    for layers, few, many in _levels(old, new):
        finer = range(many.flow_pred_lvl - few.flow_pred_lvl)
        found += [f"{layers}.{index}." for index in finer]
        if finer:  # the finest decoder hands nothing on
            found.append(f"{layers}.{len(finer)}.up_feat.")
    return tuple(found)


def _entries(
    before: dict[str, Tensor], after: dict[str, Tensor], layers: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Names in the wider network's state dict, and the trained one's that they continue.

    The finest decoder hands nothing on. A level that continues it and does hand something on
    takes that part from the next coarser one.
    """
    for name in after:
        prefix = next((layer for layer in layers if name.startswith(f"{layer}.")), "")
        source = layers.get(prefix, "") + name.removeprefix(prefix)
        if source not in before and ".correctors.0." in source:
            source = source.replace(".correctors.0.", ".correctors.1.")
        if source in before and (prefix or not LEVEL.search(name)):
            yield name, source


def concatenated_inputs(
    old: nn.Module, new: nn.Module, layers: dict[str, str]
) -> dict[str, tuple[Tensor, Tensor]]:
    """For layers that read several tensors as joined channels, each old input channel's new place.

    Args:
        old, new: the networks.
        layers: see :func:`matching_layers`.

    Returns:
        By the layer's name: places (old channels,), -1 for displacements that the finest level may
        leave out, and factors (old channels,), because the cost volume is a mean over the match
        features, of which the wider network has more.
    """
    found = {}
    for name, one, module in _continued(old, new, layers):
        cost = displacements(one, module)
        places, start = [cost], module.correlation.out_channels
        few_parts, many_parts = _parts(one), _parts(module)
        for few, many in zip(few_parts, many_parts, strict=True):
            places.append(torch.arange(few) + start)
            start += many
        if len(one.aggregate) and len(module.aggregate):
            places.append(cost + start)
        place = torch.cat(places)
        factor = torch.ones(len(place))
        factor[: len(cost)] = many_parts[0] / few_parts[0]
        found[f"{name}.convs.0.conv"] = place, factor
    return found


def aggregated_costs(
    old: nn.Module, new: nn.Module, layers: dict[str, str]
) -> dict[str, tuple[Tensor, float]]:
    """The same for the layers that aggregate costs: each old displacement's place, and a factor."""
    return {
        f"{name}.aggregate.{number}.conv": (
            displacements(one, module),
            1.0 if number else _parts(module)[0] / _parts(one)[0],
        )
        for name, one, module in _continued(old, new, layers)
        for number in range(len(one.aggregate))
    }


def _continued(
    old: nn.Module, new: nn.Module, layers: dict[str, str]
) -> Iterator[tuple[str, FlowCorrector, FlowCorrector]]:
    """Decoders of ``new`` that continue one of ``old``: name, the old one, the new one."""
    narrow = dict(old.named_modules())
    for name, module in new.named_modules():
        if isinstance(module, FlowCorrector) and name in layers:
            yield name, cast(FlowCorrector, narrow[layers[name]]), module


def displacements(one: FlowCorrector, module: FlowCorrector) -> Tensor:
    """The place of each of ``one``'s displacements in the cost volume of ``module``.

    It is -1 for those that a finest level leaves out.
    """
    reach, before = module.correlation.max_displacement, one.correlation.max_displacement
    side = torch.arange(2 * before + 1) + reach - before
    cost = (side[:, None] * (2 * reach + 1) + side).flatten()
    if module.finest:
        inside = (side >= 0) & (side <= 2 * reach)
        cost[~(inside[:, None] & inside).flatten()] = -1
    return cost


def _parts(corrector: FlowCorrector) -> list[int]:
    """Channels of match features and, but for the coarsest level, of flow and hidden features."""
    first = cast(ConvModule, corrector.convs[0]).conv
    costs = corrector.correlation.out_channels * (2 if len(corrector.aggregate) else 1)
    rest = first.in_channels - costs
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
    kept = place >= 0
    fresh[:outputs, place[kept]] = (value * factor[:, None, None].to(value))[:, kept]
    return fresh
