"""The scale of one activation: observed, then fixed, followed or learned."""

from __future__ import annotations

import enum
import logging
import math
from typing import Any

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.quantization.qconfig import ActivationConfig
from horizon.quantization.qtensor import LIMITS
from horizon.quantization.scales.observers import FLOOR, make_observer

logger = logging.getLogger(__name__)

SMALLEST_SCALE = 2.0**-21
"""The floor of a tensor that is zero or nearly so: with any finer one, the ratio to the scales
around it may be none that multiplier and shift represent."""


class FakeQuantState(enum.Enum):
    """The state of a prepared layer.

    CALIBRATION: compute in float and observe. QAT: quantise; in training mode the scales change as
    the qconfig says. VALIDATION: quantise with frozen scales and exact arithmetic in any mode.
    SIMULATED: float arithmetic with quantised weights and outputs, for one layer while the others
    are in CALIBRATION (see :mod:`horizon.quantization.profiler`).
    """

    CALIBRATION = "calibration"
    QAT = "qat"
    VALIDATION = "validation"
    SIMULATED = "simulated"


class FakeQuantize(nn.Module):
    """Holds the scale of a layer's output; the layer does the arithmetic.

    Buffers: ``scale``, ``ready`` (0 until it has been found, then the bits that it was found for;
    1 in files that do not say), ``log2_gain`` (what training has
    learned on top: the scale in use is ``scale * 2**log2_gain``).
    """

    scale: Tensor
    ready: Tensor
    log2_gain: Tensor

    def __init__(self, config: ActivationConfig, layer: str) -> None:
        super().__init__()
        self.config = config
        self.bits = config.bits
        self.low, self.high = LIMITS[config.bits]
        self.layer = layer
        given = config.scale is not None
        self.observer: nn.Module | None = None
        if not given and self.bits != 32:
            self.observer = make_observer(config.observer, self.high, **config.observer_kwargs)
        self.register_buffer("scale", torch.tensor(1.0 if config.scale is None else config.scale))
        self.register_buffer("ready", torch.tensor(given * self.bits, dtype=torch.uint8))
        if config.qat_scale == "learned" and self.observer is not None:
            self.log2_gain = nn.Parameter(torch.zeros(()))
        else:
            self.register_buffer("log2_gain", torch.zeros(()))

    @property
    def keeps_accumulators(self) -> bool:
        return self.bits == 32 and self.config.scale is None

    def current(self) -> Tensor:
        """The scale in use, () float32.

        Raises:
            InputError: nobody has found it yet.
        """
        if self.keeps_accumulators:
            raise InputError(
                f"{self.layer}: only a convolution has an int32 output without a step; give "
                "get_default_qat_out_qconfig a scale"
            )
        if not self.ready:
            raise InputError(
                f"{self.layer}: its output has no scale yet; calibrate first "
                "(train.py --stage calibration), or train with quantisation for a few steps"
            )
        return self.scale * torch.exp2(self.log2_gain)

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Let the observer see real values.

        Raises:
            InputError: a value is not finite.
        """
        if self.observer is None:
            return
        try:
            self.observer.observe(x)  # type: ignore[operator]
        except ValueError as error:
            raise InputError(
                f"{self.layer}: calibration cannot use this output: {error}; check the input and "
                "the float checkpoint"
            ) from error

    @torch.no_grad()
    def finish_calibration(self) -> None:
        """Take the observer's scale, merged over all processes, and forget what it saw."""
        if self.observer is None:
            return
        self.observer.synchronize()  # type: ignore[operator]
        if not self.observer.observed:
            return
        if self.observer.is_zero:
            logger.warning(
                "%s: its output was zero, or nearer to it than %.1g, in the whole calibration; it "
                "gets the smallest scale, and whatever it gives later will be clipped; if it is "
                "that small, multiply it by a number, which changes the scale only",
                self.layer,
                FLOOR,
            )
        self._set(float(self.observer.scale()))  # type: ignore[operator]
        self.observer.reset()  # type: ignore[operator]

    @torch.no_grad()
    def follow(self, largest: Tensor) -> None:
        """In training: move to, or start from, a batch whose largest value is ``largest``, ()."""
        if self.observer is None or (self.ready and self.config.qat_scale != "moving_average"):
            return
        value = float(largest)
        if not math.isfinite(value):
            return  # the loss will not be finite either, and the step is skipped
        margin = self.config.observer_kwargs.get("margin", 1.0)
        target = max(margin * value / self.high, SMALLEST_SCALE)
        if self.ready:
            target = float(self.scale) + self.config.averaging_constant * (
                target - float(self.scale)
            )
        self._set(target)

    @property
    def follows(self) -> bool:
        """Whether :meth:`follow` has an effect."""
        if self.observer is None:
            return False
        return self.config.qat_scale == "moving_average" or not bool(self.ready)

    def _set(self, scale: float) -> None:
        self.scale.fill_(max(scale, SMALLEST_SCALE))
        self.log2_gain.zero_()
        self.ready.fill_(self.bits)

    def quantize(self, x: Tensor) -> Tensor:
        """Real numbers to integer values of the same float type (float32 at least)."""
        return (x / self.current() + 0.5).floor_().clamp_(self.low, self.high)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        """Refuse a scale that another qconfig led to: it would be taken for one of this.

        Raises:
            InputError: it was found for other bits, or is not the one that the qconfig gives.
        """
        ready, scale = state_dict.get(f"{prefix}ready"), state_dict.get(f"{prefix}scale")
        advice = "use the qconfig that the checkpoint was made with, or calibrate again with this"
        if ready is not None and int(ready) > 1 and int(ready) != self.bits:
            raise InputError(
                f"{self.layer}: the checkpoint's scale was found for int{int(ready)}, and the "
                f"qconfig says int{self.bits}; {advice}"
            )
        given = self.config.scale
        if given is not None and scale is not None and float(scale) != float(self.scale):
            raise InputError(
                f"{self.layer}: the checkpoint has the scale {float(scale):.6g}, and the model "
                f"gives {given:.6g}; {advice}"
            )
        super()._load_from_state_dict(state_dict, prefix, *arguments)
