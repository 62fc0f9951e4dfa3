"""What a survey of a float network finds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from torch import nn

from horizon.quantization import expansions
from horizon.quantization.layers import prepared_form
from horizon.quantization.qconfig import QConfig
from horizon.quantization.sites import Site

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
HARMLESS = (nn.Identity, nn.Dropout, nn.Dropout2d)
MOVING = (
    *(nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle, nn.Flatten, nn.Unflatten),
    *(nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d),
)
TRANSPARENT = (*HARMLESS, *MOVING, *CONTAINERS)
"""Modules of torch that need no fixed-point form of their own: it is seen what they call."""


@dataclass(frozen=True)
class Finding:
    """A place that fixed point does not cover.

    Attributes:
        layer: name of the module.
        kind: "unfused", "unquantised" or, for a call, "call".
        message: what was found and what to do.
        is_error: whether the network cannot be prepared.
        line: the source line, where an example input showed it.
        found, instead: what it is, and what to use in its place.
    """

    layer: str
    kind: str
    message: str
    is_error: bool
    line: str = ""
    found: str = ""
    instead: str = ""


@dataclass
class SiteUse:
    """A call that needs a layer: what makes the float one, where it stands, how often it runs."""

    source: nn.Module
    path: str
    qconfig: QConfig
    uses: int = 0


@dataclass
class Survey:
    """The results of a survey.

    Attributes:
        uses: how often each module got quantised tensors.
        plain: modules that got only plain tensors.
        sites: the calls that need layers, by the module that makes them.
    """

    findings: list[Finding] = field(default_factory=list)
    uses: Counter[nn.Module] = field(default_factory=Counter)
    plain: Counter[nn.Module] = field(default_factory=Counter)
    sites: dict[tuple[nn.Module, Site], SiteUse] = field(default_factory=dict)

    def reached(self, module: nn.Module) -> bool:
        return bool(self.uses[module] or self.plain[module])


def is_opaque(module: nn.Module) -> bool:
    """Whether a module is a layer: one of torch's own or one that has a twin, no container."""
    if isinstance(module, (*TRANSPARENT, *expansions.MODULES)) or type(module) is nn.Module:
        return False
    of_torch = type(module).__module__.startswith("torch.nn.modules.")
    return of_torch or prepared_form(module) is not None
