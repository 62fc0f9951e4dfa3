"""Advice about the lengths of rows, which follow from the width of the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from horizon.compiler.check.advice import Advice, percent
from horizon.compiler.check.arrays import columns_used
from horizon.compiler.check.layer import Layer, Pricing
from horizon.hbir.graph import Graph
from horizon.hbm.records import Instruction
from horizon.march import Array

STEPS = 8
"""So many multiples of the size to either side are tried."""
ALMOST = 0.9
"""Of two widths the nearer one is proposed if it saves almost as much."""


@dataclass(frozen=True)
class _Rows:
    """A layer with products, and the share of its steps' pixels that its rows fill."""

    layer: Layer
    array: Array
    used: float


def rows_advice(layers: Sequence[Layer], graph: Graph, pricing: Pricing) -> list[Advice]:
    """One finding for all layers, if another width of the images takes less time per pixel."""
    rows = [
        _Rows(layer, array, columns_used(layer.instruction, array))
        for layer in layers
        if (array := pricing.array(layer.instruction)) is not None
    ]
    lost = {one.layer.task.layer: _lost(one, pricing, 1.0) for one in rows}
    gains = {name: gain for name, gain in lost.items() if gain > 0}
    found = _better_width(rows, graph, pricing) if gains else None
    if found is None:
        return []
    width, gain = found
    now = graph.tensors[graph.inputs[0]].shape[2]
    names = sorted(gains, key=lambda name: -gains[name])
    worst = next(one for one in rows if one.layer.task.layer == names[0])
    text = (
        f"rows of {len(names)} layers are no multiple of the pixels of a step; at {names[0]} "
        f"{worst.layer.instruction.out.shape[2]} columns use {percent(worst.used)} of groups of "
        f"{worst.array.pixels}"
    )
    change = f"images {width} wide instead of {now} take less time for as many pixels"
    shares = tuple(gain * gains[name] / sum(gains.values()) for name in names)
    return [Advice("rows", tuple(names), text, change, gain, shares)]


def _better_width(
    rows: Sequence[_Rows], graph: Graph, pricing: Pricing
) -> tuple[int, float] | None:
    """A better width, and the seconds that it saves for the current number of pixels."""
    now = graph.tensors[graph.inputs[0]].shape[2]
    multiple = int(graph.attributes.get("size_multiple", 1))
    if now % multiple:
        return None
    widths = [now + step * multiple for step in range(-STEPS, STEPS + 1)]
    lost = {
        width: sum(_lost(one, pricing, width / now) for one in rows)
        for width in widths
        if width > 0
    }
    least = min(lost.values())
    enough = lost[now] - ALMOST * (lost[now] - least)
    width = min(
        (width for width, seconds in lost.items() if seconds <= enough),
        key=lambda width: (abs(width - now), width),
    )
    return (width, lost[now] - lost[width]) if width != now else None


def _lost(one: _Rows, pricing: Pricing, factor: float) -> float:
    """Seconds that a layer loses to partly filled steps if all widths were ``factor`` times theirs.

    For the current number of pixels."""
    layer, full = one.layer, pricing.filled(one.layer, one.used)
    used = one.used if factor == 1 else columns_used(_wider(layer.instruction, factor), one.array)
    return pricing.together(full / used, layer.transfer) - pricing.together(full, layer.transfer)


def _wider(whole: Instruction, factor: float) -> Instruction:
    n, height, width, channels = whole.out.shape
    shape = (n, height, max(round(width * factor), 1), channels)
    return replace(whole, out=replace(whole.out, shape=shape))
