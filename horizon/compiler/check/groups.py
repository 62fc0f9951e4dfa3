"""Advice about grouped convolutions, which become several convolutions of a few groups each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from horizon.compiler.check.advice import Advice, duration, percent
from horizon.compiler.check.layer import Layer, Pricing, with_channels
from horizon.hbir.node import Node


def groups_advice(node: Node, parts: Sequence[Layer], pricing: Pricing) -> Iterator[Advice]:
    """Compare a grouped convolution with one that mixes all channels.

    Args:
        parts: the layers that the grouped convolution has become.
    """
    convolutions = [part for part in parts if part.task.weighted]
    count = len(convolutions)
    if count < 2 or not all(part.compute for part in convolutions):
        return
    one = convolutions[0].instruction
    array = pricing.array(one)
    assert array is not None
    groups = node.attributes["groups"]
    inputs, outputs = one.a.shape[3], one.out.shape[3]
    dense = with_channels(one, count * inputs, count * outputs)
    if one.b is not None:
        dense = replace(dense, b=dense.out)
    apart = sum(part.compute for part in convolutions)
    together = pricing.compute(dense)
    transfer = sum(part.transfer for part in parts)
    saved = pricing.together(apart, transfer) - pricing.together(together, transfer)
    # Products with the zeros between groups are useless.
    lanes = (
        inputs
        * outputs
        / (groups // count)
        / (-(-inputs // array.inputs) * array.inputs * -(-outputs // array.outputs) * array.outputs)
    )
    found = (
        f"{groups} groups are {count} convolutions of {inputs} inputs and {outputs} outputs, "
        f"which use {percent(lanes)} of the array: {duration(apart)}"
    )
    change = f"one that mixes all channels takes {duration(together)}"
    yield Advice("groups", (node.name,), found, change, max(saved, 0.0))
