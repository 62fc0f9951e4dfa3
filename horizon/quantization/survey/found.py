"""The findings of a survey of a float network."""

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
"""Modules of torch that need no fixed-point form of their own; the survey looks at their calls."""


@dataclass(frozen=True)
class Finding:
    """A place of a network that has no fixed-point form, or a costly one.

    Attributes:
        layer: name of the module.
        kind: "unfused", "unquantised" or, for a call, "call".
        message: what was found and what to do.
        is_error: whether the network cannot be prepared because of it.
        line: the source line, if a run on an example input found the place.
        found, instead: the class or function, and its replacement.
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
    """A call that needs a layer: its float layer, its module's path, and the number of its runs."""

    source: nn.Module
    path: str
    qconfig: QConfig
    uses: int = 0


@dataclass
class Survey:
    """The results of a survey.

    Attributes:
        uses: how often each module got quantised tensors.
        plain: how often each module got only plain tensors.
        sites: the calls that need layers, by the module that makes them.
    """

    findings: list[Finding] = field(default_factory=list)
    uses: Counter[nn.Module] = field(default_factory=Counter)
    plain: Counter[nn.Module] = field(default_factory=Counter)
    sites: dict[tuple[nn.Module, Site], SiteUse] = field(default_factory=dict)

    def reached(self, module: nn.Module) -> bool:
        return bool(self.uses[module] or self.plain[module])


def is_opaque(module: nn.Module) -> bool:
    """Whether a module is a layer: one of torch's own, or one with a twin, but not a container."""
    if isinstance(module, (*TRANSPARENT, *expansions.MODULES)) or type(module) is nn.Module:
        return False
    of_torch = type(module).__module__.startswith("torch.nn.modules.")
    return of_torch or prepared_form(module) is not None
