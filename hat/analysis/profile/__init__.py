"""What the model profiler measured, as tables, plots and sentences."""

from hat.analysis.profile.finding import Finding
from hat.analysis.profile.layers import sensitivity, unquantised, weights
from hat.analysis.profile.similarity import similarity
from hat.analysis.profile.statistics import statistics

__all__ = ["Finding", "sensitivity", "similarity", "statistics", "unquantised", "weights"]
