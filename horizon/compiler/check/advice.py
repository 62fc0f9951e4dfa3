"""Advice: what makes a program slow on a machine, and the change that helps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Advice:
    """One finding.

    Attributes:
        kind: the subject, of ``KINDS``.
        layers: layers of the program, the largest gain first.
        found: the finding, with figures.
        change: the change that helps.
        gain: seconds of a frame that the change would save, without overlap between layers.
        gains: the gain of each layer; empty if there is only one.
    """

    kind: str
    layers: tuple[str, ...]
    found: str
    change: str
    gain: float
    gains: tuple[float, ...] = ()

    @property
    def by_layer(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for layer, gain in zip(self.layers, self.gains or (self.gain,), strict=True):
            found[layer] = found.get(layer, 0.0) + gain
        return found


KINDS = {
    "inputs": "input channels that leave lanes of the array empty",
    "outputs": "output channels that leave lanes of the array empty",
    "groups": "convolutions in groups",
    "rows": "rows that are no multiple of the array's pixels",
    "int16": "int16 inputs of products",
    "kernel": "large kernels",
    "stride": "strides that skip what was loaded",
    "halo": "tiles that overlap",
    "inputs again": "inputs that are loaded more than once",
    "weights again": "weights that are loaded more than once",
    "offsets again": "maps of warps that are cut by channels",
    "copies": "tensors that are copied",
    "passes": "layers that only rescale or add",
    "memory": "layers that wait for memory",
}


def merged(advice: Iterable[Advice]) -> list[Advice]:
    """Merge findings that say the same of several layers, and add up their gains."""
    together: dict[tuple[str, str, str], list[Advice]] = {}
    for one in advice:
        together.setdefault((one.kind, one.found, one.change), []).append(one)
    result = []
    for same in together.values():
        gains: defaultdict[str, float] = defaultdict(float)
        for one in same:
            for layer, gain in one.by_layer.items():
                gains[layer] += gain
        layers = tuple(sorted(gains, key=lambda name: -gains[name]))
        each = tuple(gains[name] for name in layers)
        result.append(replace(same[0], layers=layers, gain=sum(each), gains=each))
    return sorted(result, key=lambda one: -one.gain)


def percent(share: float) -> str:
    """A share for people, with two digits if it is small."""
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.2g} %"


def duration(seconds: float) -> str:
    """Seconds for people."""
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"


def memory(count: float) -> str:
    """Bytes for people."""
    return f"{count / 1e6:.3g} MB" if count >= 1e6 else f"{count / 1e3:.3g} kB"
