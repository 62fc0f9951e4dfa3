"""From a float model to one that calibrates and trains in fixed point, and back to its lists."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from horizon.errors import InputError
from horizon.nn import Correlation, DeQuantStub, FloatFunctional, GridSample, QuantStub
from horizon.quantization.fake_quantize import FakeQuantize, FakeQuantState
from horizon.quantization.fuse import BATCH_NORMS, FusedConv, FusedCorrelation
from horizon.quantization.qat_conv import QATConv
from horizon.quantization.qat_functional import QATFunctional
from horizon.quantization.qat_layer import QATLayer
from horizon.quantization.qat_layers import (
    QATCorrelation,
    QATDeQuantStub,
    QATGridSample,
    QATQuantStub,
    QATReLU,
)
from horizon.quantization.qconfig import QConfig

logger = logging.getLogger(__name__)

PREPARED: tuple[tuple[tuple[type[nn.Module], ...], type], ...] = (
    ((FusedConv, nn.Conv2d, nn.ConvTranspose2d), QATConv),
    ((FusedCorrelation, Correlation), QATCorrelation),
    ((GridSample,), QATGridSample),
    ((FloatFunctional,), QATFunctional),
    ((nn.ReLU,), QATReLU),
    ((QuantStub,), QATQuantStub),
    ((DeQuantStub,), QATDeQuantStub),
)
HARMLESS = (nn.Identity, nn.Dropout, nn.Dropout2d)
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Finding:
    """A layer that fixed point does not cover: ``kind`` is "unfused" or "unquantised"."""

    layer: str
    kind: str
    message: str
    is_error: bool


def check_prepared(model: nn.Module) -> list[Finding]:
    """What fixed point does not cover in ``model``, float (after ``fuse_model``) or prepared."""
    findings = []
    for name, module, qconfig in _walk(model, "", None):
        kind = type(module).__name__
        if isinstance(module, BATCH_NORMS):
            message = (
                f"{kind} that no convolution has taken in; call fuse_model() before, or place it "
                "right behind a convolution"
            )
            findings.append(Finding(name, "unfused", message, True))
        elif isinstance(module, nn.ReLU | QATReLU):
            message = "ReLU by itself: works, and costs a pass that a fused one does not"
            findings.append(Finding(name, "unfused", message, False))
        elif qconfig is None and _replacement(module) is not None:
            message = f"{kind} has qconfig None and stays in float"
            findings.append(Finding(name, "unquantised", message, False))
        elif _is_unknown(module):
            message = (
                f"{kind} has no fixed-point form; use a layer of horizon.nn, ReLU as activation, "
                "or set its qconfig to None and keep it outside of the stubs"
            )
            error = getattr(module, "qconfig", qconfig) is not None
            findings.append(Finding(name, "unquantised", message, error))
    return findings


def prepare_calibration(model: nn.Module, inplace: bool = False, quiet: bool = False) -> nn.Module:
    """Replace the layers by prepared ones that compute in float and observe.

    ``set_qconfig()`` (or an attribute ``qconfig`` on the model or its parts) says how; the nearest
    one above a layer counts. Names, parameters and results stay; :func:`finish_calibration` ends
    it. What works but costs is logged, unless ``quiet``.

    Raises:
        InputError: no qconfig, or layers that have no fixed-point form (all are listed).
    """
    return set_fake_quantize(_prepare(model, inplace, quiet), FakeQuantState.CALIBRATION)


def prepare_qat(model: nn.Module, inplace: bool = False) -> nn.Module:
    """Replace the layers by prepared ones that train on fixed-point arithmetic.

    See :func:`prepare_calibration`; a model that has been prepared already changes its state only.
    Scales that no calibration has found start from the first training batch.
    """
    return set_fake_quantize(_prepare(model, inplace), FakeQuantState.QAT)


def set_fake_quantize(model: nn.Module, state: FakeQuantState) -> nn.Module:
    """Put all prepared layers of ``model`` into ``state``; returns the model.

    Raises:
        InputError: the model has no prepared layer.
    """
    layers = list(prepared_layers(model))
    if not layers:
        raise InputError(
            "set_fake_quantize: the model has no prepared layer; call prepare_calibration or "
            "prepare_qat first"
        )
    for _, layer in layers:
        layer.fake_quant_state = state
    return model


def finish_calibration(model: nn.Module, max_clipped_input: float = 1.0) -> nn.Module:
    """Take the scales from what was observed and freeze them (state VALIDATION).

    Says which inputs do not fit the scale that their QuantStub was given, and which layers no
    batch has reached. With several processes every one calls it.

    Args:
        max_clipped_input: the share of an input that may lie beyond the range of a given scale.

    Raises:
        InputError: more than that does, or nothing was observed; the scales are as before.
    """
    layers = list(prepared_layers(model))
    _check_inputs([layer for _, layer in layers], max_clipped_input)
    observing = [m for m in model.modules() if isinstance(m, FakeQuantize) and m.observer]
    for quant in observing:
        quant.observer.synchronize()  # type: ignore[operator, union-attr]
    if observing and not any(q.observer.observed or q.ready for q in observing):  # type: ignore
        raise InputError(
            "calibration saw no data: run the model on some batches before its scales are taken"
        )
    unreached = [
        name
        for name, layer in layers
        if isinstance(layer, QATConv | QATCorrelation | QATQuantStub)
        and layer.act_quant in observing
        and not layer.act_quant.observer.observed  # type: ignore[union-attr]
    ]
    if unreached:
        logger.warning(
            "no calibration batch reached %s: without a scale the integer network leaves them out "
            "where nothing runs them, and training starts their scales from its first batch",
            ", ".join(unreached),
        )
    for module in model.modules():
        if isinstance(module, FakeQuantize):
            module.finish_calibration()
        elif isinstance(module, QATConv):
            module.calibrate_weights()
    return set_fake_quantize(model, FakeQuantState.VALIDATION)


def _check_inputs(layers: list[QATLayer], max_clipped: float) -> None:
    """Say, or refuse, what does not fit an input's given scale; then count anew."""
    for layer in layers:
        if not isinstance(layer, QATQuantStub) or layer.input_range is None:
            continue
        found = layer.input_range
        found.synchronize()
        layer.forget_range()
        clipping = found.clipping()
        if clipping is not None and found.clipped_share > max_clipped:
            raise InputError(
                f"{clipping}; expected at most {100 * max_clipped:.3g} % (max_clipped_input)"
            )
        for message in (clipping, found.waste() or found.half()):
            if message is not None:
                logger.warning("%s", message)


def prepared_layers(model: nn.Module) -> Iterator[tuple[str, QATLayer]]:
    """Names and prepared layers, in the order of definition."""
    for name, module in model.named_modules():
        if isinstance(module, QATLayer):
            yield name, module


def _prepare(model: nn.Module, inplace: bool, quiet: bool = False) -> nn.Module:
    if not inplace:
        model = copy.deepcopy(model)
    if any(True for _ in prepared_layers(model)):
        return model
    if not any(getattr(m, "qconfig", None) is not None for m in model.modules()):
        raise InputError(
            "no layer has a qconfig: call model.set_qconfig() before, or set model.qconfig = "
            "horizon.quantization.get_default_qat_qconfig()"
        )
    findings = check_prepared(model)
    errors = [f for f in findings if f.is_error]
    if errors:
        lines = "".join(f"\n  {f.layer}: {f.message}" for f in errors)
        raise InputError(f"{len(errors)} layer(s) cannot be quantised:{lines}")
    for finding in findings if not quiet else []:
        logger.warning("%s: %s", finding.layer, finding.message)
    shared: dict[nn.Module, str] = {}
    for name, module, qconfig in list(_walk(model, "", None)):
        kind = _replacement(module)
        if kind is None or qconfig is None:
            continue
        if module in shared:
            raise InputError(
                f"{name} is the same object as {shared[module]}; every place in the network needs "
                "a layer of its own (copy.deepcopy it where the model is built)"
            )
        shared[module] = name
        parent, _, last = name.rpartition(".")
        setattr(
            model.get_submodule(parent), last, kind(module, qconfig, name).train(module.training)
        )
    return model


def _walk(
    module: nn.Module, name: str, qconfig: QConfig | None
) -> Iterator[tuple[str, nn.Module, QConfig | None]]:
    """Leaves and known layers with the qconfig that counts for them."""
    qconfig = getattr(module, "qconfig", qconfig)
    if name and (_replacement(module) is not None or isinstance(module, QATLayer)):
        yield name, module, qconfig
        return
    # Not named_children(): it leaves out the second place of a layer that has two.
    children = [(n, child) for n, child in module._modules.items() if child is not None]
    if name and not children:
        yield name, module, qconfig
    for child_name, child in children:
        yield from _walk(child, f"{name}.{child_name}" if name else child_name, qconfig)


def _replacement(module: nn.Module) -> type | None:
    if isinstance(module, QATLayer):
        return None
    return next((prepared for kinds, prepared in PREPARED if isinstance(module, kinds)), None)


def _is_unknown(module: nn.Module) -> bool:
    """A layer of torch, or one with parameters, that nothing above handles."""
    if isinstance(module, (QATLayer, FakeQuantize, *HARMLESS, *CONTAINERS)):
        return False
    if _replacement(module) is not None:
        return False
    home = type(module).__module__
    of_torch = home.startswith("torch.nn.") and not home.endswith(".loss")
    return of_torch or any(True for _ in module.parameters(recurse=False))
