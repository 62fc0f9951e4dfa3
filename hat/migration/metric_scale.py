"""Which scale a config's ``metric_update_func`` gives to the flow, found by trying it.

In the original tool kit the network's flow comes in other units, and the functions of its configs
multiply it. :class:`hat.models.PwcnetTask` gives flow in pixels of the full-resolution image: a
function that multiplies it by 4 would report the error of a flow four times too long. The function
is called on one pair with a constant flow, and what reaches the metrics says the factor.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

UpdateFunction = Callable[[list, dict, Any], None]

SIZE = 64  # of the images; the flow has a quarter of that
FLOW = (3.0, -2.0)
TRUTH = (5.0, 7.0)
LEVELS = 5
MOST_METRICS = 4
CLOSE = 1e-3


class ScaledUpdate:
    """``function`` with the flow and the true flow in the units that it expects.

    Args:
        function: a ``metric_update_func``.
        flow, truth: what it multiplies the two by.
    """

    def __init__(self, function: UpdateFunction, flow: float, truth: float) -> None:
        self.function, self.flow, self.truth = function, flow, truth

    def __call__(self, metrics: list, batch: dict, model_outs: Any) -> None:
        outputs = (
            {**model_outs, "pred_flows": model_outs["pred_flows"] / self.flow}
            if isinstance(model_outs, dict)
            else model_outs / self.flow
        )
        scaled = {
            key: _divided(value, self.truth)
            for key, value in batch.items()
            if key in ("gt_flow", "gt_flow_levels", "gt_ori_flow")
        }
        self.function(metrics, {**batch, **scaled}, outputs)

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", self.function)
        return f"{name} on flow / {self.flow:g} and true flow / {self.truth:g}"


def factors(function: UpdateFunction) -> tuple[float, float] | None:
    """By what ``function`` multiplies the network's flow and the true flow.

    None where that cannot be told: it fails on the trial, hands on no pair of flows, or does
    something else than multiply.
    """
    found = {
        (round(flow, 4), round(truth, 4))
        for batch, outputs in _trials()
        for metrics in _metric_lists()
        for flow, truth in _observed(function, metrics, batch, outputs)
    }
    return found.pop() if len(found) == 1 else None


def is_unclear(function: UpdateFunction) -> bool:
    """Whether ``function`` may change units without :func:`factors` seeing it: it fails on every
    trial, or hands to metrics what is no pair of flows by a factor.
    """
    if factors(function) is not None:
        return False
    ran = [
        metrics
        for batch, outputs in _trials()
        for metrics in _metric_lists()
        if _tried(function, metrics, batch, outputs)
    ]
    return not ran or any(metric.pairs for metrics in ran for metric in metrics)


def _observed(
    function: UpdateFunction, metrics: list[_Recorder], batch: dict, outputs: Any
) -> Iterator[tuple[float, float]]:
    if not _tried(function, metrics, batch, outputs):
        return
    for metric in metrics:
        for labels, preds in metric.pairs:
            flow, truth = _factor(preds, FLOW), _factor(labels, TRUTH)
            if flow and truth:
                yield flow, truth


def _tried(function: UpdateFunction, metrics: list[_Recorder], batch: dict, outputs: Any) -> bool:
    """Whether the function ran: a user's may fail on a trial in any way."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(metrics, batch, outputs)
    except Exception:
        return False
    return True


def _factor(value: Any, constant: Sequence[float]) -> float | None:
    """``value`` (B, 2, H, W) over a constant flow; None unless it is one number everywhere."""
    if getattr(value, "ndim", 0) != 4 or value.shape[1] != 2:
        return None
    u, v = (value[:, index].double() / constant[index] for index in (0, 1))
    low = float(min(u.min(), v.min()))
    high = float(max(u.max(), v.max()))
    return high if low > 0 and math.isclose(low, high, rel_tol=CLOSE) else None


class _Recorder:
    """Keeps what a metric is updated with."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Any, Any]] = []

    def update(self, *values: Any, **named: Any) -> None:
        if {"labels", "preds"} <= named.keys():
            values = (named["labels"], named["preds"])
        if len(values) >= 2:
            self.pairs.append((values[0], values[1]))


def _metric_lists() -> Iterator[list[_Recorder]]:
    """Functions unpack the list of metrics: one of these has the right length."""
    for count in range(1, MOST_METRICS + 1):
        yield [_Recorder() for _ in range(count)]


def _trials() -> Iterator[tuple[dict, Any]]:
    """Batches with the network's outputs, as training and as validation give them."""
    import torch

    def constant(values: Sequence[float], side: int) -> Any:
        return torch.tensor(values).reshape(1, 2, 1, 1).expand(1, 2, side, side).clone()

    levels = [constant(TRUTH, max(1, SIZE >> (2 + level))) for level in range(LEVELS)]
    truth = constant(TRUTH, SIZE)
    flow = constant(FLOW, SIZE // 4)
    batch = {
        "img": torch.zeros(1, 6, SIZE, SIZE),
        "gt_flow": truth,
        "gt_ori_flow": truth,
        "img_name": ["trial"],
    }
    losses = [torch.ones(()) for _ in levels]
    training = {**batch, "gt_flow": levels, "gt_flow_levels": levels}
    yield training, {"losses": losses, "pred_flows": flow}
    yield batch, flow


def _divided(value: Any, divisor: float) -> Any:
    return [item / divisor for item in value] if isinstance(value, list) else value / divisor
