"""Which places of a float network have no fixed-point form, and what to use instead."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from torch import nn

from horizon.errors import InputError
from horizon.quantization.prepare import check_prepared
from horizon.quantization.remedies import instead_of
from horizon.quantization.same_output import check_fusing
from horizon.quantization.survey import Finding

NO_FORM = "it has no fixed-point form"


@dataclass(frozen=True)
class Unquantised:
    """A place in a network that cannot be brought to fixed point.

    Attributes:
        layer: its name.
        kind: its class.
        reason: why not.
        instead: what to use.
    """

    layer: str
    kind: str
    reason: str
    instead: str


def list_unquantised(model: nn.Module, example: Any = None) -> list[Unquantised]:
    """All places of a float model that keep ``prepare_calibration`` and ``prepare_qat`` from it.

    The model is not changed; ``fuse_model`` and ``set_qconfig`` run on a copy of it.

    Args:
        example: an input; with it the calls between the layers are looked at as well, without it
            only the layers.

    Raises:
        InputError: the model cannot be fused, for another reason than such a layer, or computes
            something else once it is fused (tried with ``example`` or the model's own).
    """
    prepared: Any = copy.deepcopy(model)
    refusal = None
    if hasattr(prepared, "fuse_model"):
        try:
            shown = example
            if shown is None and hasattr(model, "example_input"):
                shown = prepared.example_input()
            if shown is not None:
                check_fusing(prepared, shown)
            prepared.fuse_model()
        except InputError as error:
            refusal = error
            prepared = copy.deepcopy(model)
    if hasattr(prepared, "set_qconfig"):
        prepared.set_qconfig()
    found = [
        _unquantised(prepared, finding)
        for finding in check_prepared(prepared, example)
        # What has not been fused, because fusing failed, says nothing.
        if finding.is_error and not (refusal and finding.kind == "unfused")
    ]
    if refusal and not found:
        raise refusal
    return found


def find_refusal(model: nn.Module, example: Any) -> Unquantised | None:
    """The first of :func:`list_unquantised`; None if there is none.

    Whatever the float network itself raises is raised.
    """
    return next(iter(list_unquantised(model, example)), None)


def _unquantised(model: nn.Module, finding: Finding) -> Unquantised:
    kind = type(model.get_submodule(finding.layer)).__name__
    where = finding.layer or "the network itself"
    if finding.kind == "call":
        line = f" ({finding.line})" if finding.line else ""
        instead = finding.instead or instead_of(kind)
        return Unquantised(where, kind, f"in forward(){line}: {finding.message}", instead)
    reason = "no convolution has taken it in" if finding.kind == "unfused" else NO_FORM
    if finding.kind != "unfused" and not finding.instead:
        reason = finding.message
    return Unquantised(where, kind, reason, finding.instead or instead_of(kind))
