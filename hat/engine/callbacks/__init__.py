"""Callbacks of the training loop."""

from hat.engine.callbacks.base import Callback
from hat.engine.callbacks.checkpoint import Checkpoint
from hat.engine.callbacks.lr_updaters import CosLrUpdater, PolyLrUpdater, StepDecayLrUpdater
from hat.engine.callbacks.metric_updater import MetricUpdater
from hat.engine.callbacks.stats_monitor import StatsMonitor
from hat.engine.callbacks.training_log import ProgressBar, TrainingLog
from hat.engine.callbacks.validation import Validation
from hat.engine.callbacks.zero_flow_watch import ZeroFlowWatch

__all__ = [
    "Callback",
    "Checkpoint",
    "CosLrUpdater",
    "MetricUpdater",
    "PolyLrUpdater",
    "ProgressBar",
    "StatsMonitor",
    "StepDecayLrUpdater",
    "TrainingLog",
    "Validation",
    "ZeroFlowWatch",
]
