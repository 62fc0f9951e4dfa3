"""Metrics of optical flow, and of any network by name."""

from hat.metrics.base import ResultMetric
from hat.metrics.end_point_error import EndPointError
from hat.metrics.flow_metrics import FlowMetrics
from hat.metrics.loss_show import LossShow
from hat.metrics.network_metrics import NetworkMetrics
from hat.metrics.resize import full_resolution

__all__ = [
    "EndPointError",
    "FlowMetrics",
    "LossShow",
    "NetworkMetrics",
    "ResultMetric",
    "full_resolution",
]
