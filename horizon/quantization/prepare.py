"""From a float model to one that calibrates and trains in fixed point."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from typing import Any

from torch import nn

from horizon.errors import InputError
from horizon.quantization import expansions
from horizon.quantization.calls import watch_passes
from horizon.quantization.fuse import BATCH_NORMS
from horizon.quantization.layers import prepared_form
from horizon.quantization.layers.functional import stand_ins
from horizon.quantization.layers.prepared import QATLayer
from horizon.quantization.layers.rescale import QATReLU
from horizon.quantization.plain import is_plain, quantisable
from horizon.quantization.qconfig import QConfig
from horizon.quantization.remedies import instead_of
from horizon.quantization.scales.fake_quantize import FakeQuantize, FakeQuantState
from horizon.quantization.sites import add_site, site_name, watch_sites
from horizon.quantization.states import prepared_layers, set_fake_quantize
from horizon.quantization.survey import TRANSPARENT, Finding, Survey, survey

logger = logging.getLogger(__name__)

HOW_TO_GIVE = (
    "; no example input was given, so that only modules were looked at: hand example=... to the "
    "call, or define example_input() on the model"
)


def prepare_calibration(
    model: nn.Module, example: Any = None, inplace: bool = False, quiet: bool = False
) -> nn.Module:
    """Replace the layers by prepared ones that compute in float and observe.

    ``set_qconfig()`` (or an attribute ``qconfig`` on the model or its parts) says how; the nearest
    one above a layer counts. Names, parameters and results stay; :func:`finish_calibration` ends
    it. What works but costs is logged, unless ``quiet``. A network that has neither stubs nor a
    qconfig is traced, and gets both (:func:`~horizon.quantization.plain.quantisable`).

    Args:
        model: float, fused; or plain, with an example.
        example: an input of the model, of any size; default ``model.example_input()`` if it has
            that. The float model runs on it once: calls between the layers (``x + y``,
            ``torch.cat``, ``F.relu``) get prepared layers too, a module that runs several times
            gets scales for each time, and every place that cannot be quantised is found. Without
            one only modules are looked at.
        inplace: change ``model`` itself.

    Raises:
        InputError: no qconfig, or places that have no fixed-point form (all are listed, and
            nothing is changed).
    """
    prepared = _prepare(model, example, inplace, quiet)
    return set_fake_quantize(prepared, FakeQuantState.CALIBRATION)


def prepare_qat(model: nn.Module, example: Any = None, inplace: bool = False) -> nn.Module:
    """Replace the layers by prepared ones that train on fixed-point arithmetic.

    See :func:`prepare_calibration`; a model that has been prepared already changes its state only.
    Scales that no calibration has found start from the first training batch.
    """
    return set_fake_quantize(_prepare(model, example, inplace), FakeQuantState.QAT)


def check_prepared(model: nn.Module, example: Any = None) -> list[Finding]:
    """What fixed point does not cover in ``model``, float (after ``fuse_model``) or prepared.

    Args:
        example: see :func:`prepare_calibration`; without one only modules are looked at.
    """
    if example is None or any(True for _ in prepared_layers(model)):
        return _check_modules(model, Survey(), surveyed=False)
    if is_plain(model):
        model = quantisable(model, example)
    with stand_ins(model):
        found = survey(model, example)
    return [*_check_modules(model, found, surveyed=True), *found.findings]


def _prepare(model: Any, example: Any, inplace: bool, quiet: bool = False) -> nn.Module:
    if isinstance(example, bool):
        raise InputError(
            f"prepare: the example is {example!r}; expected an input of the model; write "
            f"inplace={example!r} by its name"
        )
    if example is None and hasattr(model, "example_input"):
        example = model.example_input()
    if any(True for _ in prepared_layers(model)):
        return model if inplace else copy.deepcopy(model)
    if is_plain(model) and example is not None:
        if inplace:
            raise InputError(
                f"prepare: {type(model).__name__} has neither stubs nor a qconfig; they are found "
                "in its graph, which gives a new network: leave inplace=True out and use what the "
                "call returns"
            )
        model = quantisable(model, example)
    elif not inplace:
        model = copy.deepcopy(model)
    if not any(getattr(m, "qconfig", None) is not None for m in model.modules()):
        raise InputError(
            "no layer has a qconfig: call model.set_qconfig() before, or set model.qconfig = "
            "horizon.quantization.get_default_qat_qconfig(); a network without stubs and qconfigs "
            "needs nothing but example=..."
        )
    surveyed = example is not None
    found = Survey()
    if surveyed:
        with stand_ins(model):
            found = survey(model, example)
    findings = [*_check_modules(model, found, surveyed), *found.findings]
    layers = _prepared_forms(model, found, findings)
    errors = [f for f in findings if f.is_error]
    if errors:
        lines = "".join(f"\n  {_place(f)}: {f.message}" for f in errors)
        hint = "" if surveyed else HOW_TO_GIVE
        raise InputError(f"{len(errors)} place(s) cannot be quantised:{lines}{hint}")
    for finding in findings if not quiet else []:
        logger.warning("%s: %s", finding.layer, finding.message)
    _replace(model, layers)
    if surveyed:
        for layer in layers.values():
            layer.set_uses(layer.uses or 1)
        _add_sites(model, found)
    watch_passes(model)
    return model


def _place(finding: Finding) -> str:
    where = finding.layer or "the network itself"
    return f"{where} ({finding.line})" if finding.line else where


def _prepared_forms(
    model: nn.Module, found: Survey, findings: list[Finding]
) -> dict[nn.Module, QATLayer]:
    """The prepared layer for each float one; adds to ``findings`` why one cannot be."""
    layers: dict[nn.Module, QATLayer] = {}
    for name, module, qconfig in _walk(model, "", None):
        kind = prepared_form(module)
        if kind is None or qconfig is None or module in layers:
            continue
        if found.plain[module] and not found.uses[module]:
            message = f"{type(module).__name__} gets no quantised tensor and stays in float"
            findings.append(Finding(name, "unquantised", message, False))
            continue
        if found.plain[module]:
            message = (
                f"{type(module).__name__} gets quantised tensors in one place and plain ones in "
                "another; give every place a layer of its own"
            )
            findings.append(Finding(name, "unquantised", message, True))
        try:
            layers[module] = kind(module, qconfig, name).train(module.training)
            layers[module].uses = found.uses[module] or None
        except InputError as error:
            reason = str(error).removeprefix(f"{name}: ")
            findings.append(Finding(name, "unquantised", reason, True))
    return layers


def _replace(model: nn.Module, layers: dict[nn.Module, QATLayer]) -> None:
    """Put the prepared layers into every place where a float one stands."""
    for parent in list(model.modules()):
        if isinstance(parent, QATLayer) or parent in layers:
            continue
        for name, child in list(parent._modules.items()):
            if child in layers:
                setattr(parent, name, layers[child])


def _add_sites(model: nn.Module, found: Survey) -> None:
    if not found.sites:
        return
    names: dict[nn.Module, set[str]] = {}
    for (module, site), use in found.sites.items():
        taken = names.setdefault(module, set())
        name = site_name(module, site[0], taken)
        taken.add(name)
        path = f"{use.path}.{name}" if use.path else name
        form = prepared_form(use.source)
        assert form is not None
        layer = form(use.source, use.qconfig, path).train(module.training)
        layer.set_uses(use.uses)
        add_site(module, site, layer, name)
    inside = {m for _, layer in prepared_layers(model) for m in layer.modules()}
    for module in model.modules():
        if module not in inside:
            watch_sites(module)


def _check_modules(model: nn.Module, found: Survey, surveyed: bool) -> list[Finding]:
    """Findings about the modules. Modules that a survey reached have been judged there."""
    findings = []
    for name, module, qconfig in _walk(model, "", None):
        kind = type(module).__name__
        if isinstance(module, BATCH_NORMS):
            if found.plain[module] and not found.uses[module]:
                continue
            found.findings[:] = [f for f in found.findings if f.layer != name]
            message = (
                f"{kind} that no convolution has taken in; call fuse_model() before, or place it "
                "right behind a convolution"
            )
            findings.append(Finding(name, "unfused", message, True, "", kind))
        elif isinstance(module, nn.ReLU | QATReLU):
            message = "ReLU by itself: works, and costs a pass that a fused one does not"
            findings.append(Finding(name, "unfused", message, False))
        elif qconfig is None and prepared_form(module) is not None:
            message = f"{kind} has qconfig None and stays in float"
            findings.append(Finding(name, "unquantised", message, False))
        elif _is_unknown(module, surveyed) and not found.reached(module):
            message = (
                f"{kind} has no fixed-point form; use {instead_of(kind)}, or set its qconfig to "
                "None and keep it outside of the stubs"
            )
            error = getattr(module, "qconfig", qconfig) is not None
            instead = instead_of(kind)
            findings.append(Finding(name, "unquantised", message, error, "", kind, instead))
    return findings


def _walk(
    module: nn.Module, name: str, qconfig: QConfig | None
) -> Iterator[tuple[str, nn.Module, QConfig | None]]:
    """Leaves and known layers with the qconfig that counts for them."""
    qconfig = getattr(module, "qconfig", qconfig)
    if name and (prepared_form(module) is not None or isinstance(module, QATLayer)):
        yield name, module, qconfig
        return
    # Not named_children(): it leaves out the second place of a layer that has two.
    children = [(n, child) for n, child in module._modules.items() if child is not None]
    if name and not children:
        yield name, module, qconfig
    for child_name, child in children:
        yield from _walk(child, f"{name}.{child_name}" if name else child_name, qconfig)


def _is_unknown(module: nn.Module, surveyed: bool) -> bool:
    """A layer of torch, or one with parameters, that nothing above handles.

    After a survey only those of torch: what another one does was seen where it ran.
    """
    if isinstance(module, (QATLayer, FakeQuantize, *TRANSPARENT)):
        return False
    if prepared_form(module) is not None or (surveyed and isinstance(module, expansions.MODULES)):
        return False
    home = type(module).__module__
    of_torch = home.startswith("torch.nn.") and not home.endswith(".loss")
    return of_torch or (not surveyed and any(True for _ in module.parameters(recurse=False)))
