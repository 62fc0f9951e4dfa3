"""How a layer is to be quantised: types, observers, what training does with the scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from horizon.errors import InputError

BITS = {"int8": 8, "int16": 16, "int32": 32}
QAT_SCALES = ("moving_average", "fixed", "learned")
WEIGHT_OBSERVERS = ("minmax", "mse")
CONCATS = ("fold", "requantise")


def _one_of(what: str, value: object, known: Any) -> None:
    if value not in known:
        raise InputError(f"qconfig: {what} {value!r}; expected one of {', '.join(known)}")


@dataclass(frozen=True)
class ActivationConfig:
    """How the output of a layer is quantised.

    Args:
        dtype: "int8", "int16" or, for outputs of the network, "int32".
        observer: how calibration chooses the scale, see ``scales/observers.py``.
        observer_kwargs: its arguments.
        qat_scale: what quantisation-aware training does with the scale: "moving_average" follows
            the largest value of each batch, "fixed" keeps what calibration found, "learned" trains
            it (Esser et al., "Learned step size quantization", 2020; here in the logarithm).
        averaging_constant: weight of the newest batch in the moving average.
        scale: a scale that is given and never changes; None: observed. An int32 output without
            one keeps the accumulators of its convolution, one scale per channel.
    """

    dtype: str = "int8"
    observer: str = "percentile"
    observer_kwargs: Mapping[str, Any] = field(default_factory=dict)
    qat_scale: str = "moving_average"
    averaging_constant: float = 0.01
    scale: float | None = None

    def __post_init__(self) -> None:
        _one_of("activation dtype", self.dtype, BITS)
        _one_of("qat_scale", self.qat_scale, QAT_SCALES)
        if not 0 < self.averaging_constant <= 1:
            raise InputError(
                f"qconfig: averaging_constant must lie in (0, 1], found {self.averaging_constant}"
            )
        if self.scale is not None and not self.scale > 0:
            raise InputError(f"qconfig: scale must be positive, found {self.scale}")

    @property
    def bits(self) -> int:
        return BITS[self.dtype]


@dataclass(frozen=True)
class WeightConfig:
    """How weights are quantised: int8, -127..127.

    Args:
        observer: "minmax", the largest weight is 127; "mse", calibration looks for the clipping
            that minimises the squared error.
        per_channel: one scale per output channel; otherwise all channels share the largest.
    """

    observer: str = "minmax"
    per_channel: bool = True

    def __post_init__(self) -> None:
        _one_of("weight observer", self.observer, WEIGHT_OBSERVERS)


@dataclass(frozen=True)
class QConfig:
    """A layer's quantisation.

    Args:
        activation, weight: see there.
        concat: of a concatenation: "fold" leaves the integers alone, the result has one scale per
            channel, and the convolution behind folds these into its weights; "requantise" brings
            all inputs to one scale.
    """

    activation: ActivationConfig = ActivationConfig()
    weight: WeightConfig = WeightConfig()
    concat: str = "fold"

    def __post_init__(self) -> None:
        _one_of("concat", self.concat, CONCATS)


def get_default_qat_qconfig(
    dtype: str = "int8",
    observer: str = "percentile",
    qat_scale: str = "moving_average",
    averaging_constant: float = 0.01,
    weight_observer: str = "minmax",
    per_channel: bool = True,
    concat: str = "fold",
    **observer_kwargs: Any,
) -> QConfig:
    """The usual qconfig of a layer; further arguments go to the observer.

    Raises:
        InputError: an unknown name or a value out of range.
    """
    activation = ActivationConfig(dtype, observer, observer_kwargs, qat_scale, averaging_constant)
    return QConfig(activation, WeightConfig(weight_observer, per_channel), concat)


def get_default_qat_out_qconfig(
    scale: float | None = None, weight_observer: str = "minmax", per_channel: bool = True
) -> QConfig:
    """The qconfig of a layer that gives an output of the network, in int32.

    Args:
        scale: step of the output. A fused addition needs one; a convolution without addition
            keeps its accumulators, one scale per channel, if there is none.
    """
    activation = ActivationConfig("int32", scale=scale, qat_scale="fixed")
    return QConfig(activation, WeightConfig(weight_observer, per_channel))
