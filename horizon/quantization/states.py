"""The prepared layers of a model, what they do, and how calibration ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from torch import nn

from horizon.errors import InputError
from horizon.quantization.layers.conv import QATConv
from horizon.quantization.layers.correlation import QATCorrelation
from horizon.quantization.layers.prepared import QATLayer
from horizon.quantization.layers.stubs import QATQuantStub
from horizon.quantization.scales.fake_quantize import FakeQuantize, FakeQuantState

logger = logging.getLogger(__name__)


def prepared_layers(model: nn.Module) -> Iterator[tuple[str, QATLayer]]:
    """Names and prepared layers, in the order of definition."""
    for name, module in model.named_modules():
        if isinstance(module, QATLayer):
            yield name, module


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
        quant.layer
        for _, layer in layers
        if isinstance(layer, QATConv | QATCorrelation | QATQuantStub)
        for quant in layer.act_quants()
        if quant in observing and not quant.observer.observed  # type: ignore[union-attr]
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
        if not isinstance(layer, QATQuantStub):
            continue
        ranges = layer.all_ranges()
        layer.forget_range()
        for found in ranges:
            found.synchronize()
            clipping = found.clipping()
            if clipping is not None and found.clipped_share > max_clipped:
                raise InputError(
                    f"{clipping}; expected at most {100 * max_clipped:.3g} % (max_clipped_input)"
                )
            for message in (clipping, found.waste() or found.half()):
                if message is not None:
                    logger.warning("%s", message)
