"""Tools for finding what went wrong: where and how a quantised network leaves its float model.

All of them run the models on batches and leave them in evaluation mode.
"""

from horizon.quantization.profiler.layers import layers_of
from horizon.quantization.profiler.sensitivity import (
    LayerSensitivity,
    Sensitivity,
    rank_sensitivity,
)
from horizon.quantization.profiler.similarity import (
    LayerSimilarity,
    compare_alone,
    compare_end_to_end,
)
from horizon.quantization.profiler.statistics import (
    Histogram,
    LayerStatistics,
    layer_statistics,
)
from horizon.quantization.profiler.weights import LayerWeights, compare_weights

__all__ = [
    "Histogram",
    "LayerSensitivity",
    "LayerSimilarity",
    "LayerStatistics",
    "LayerWeights",
    "Sensitivity",
    "compare_alone",
    "compare_end_to_end",
    "compare_weights",
    "layer_statistics",
    "layers_of",
    "rank_sensitivity",
]
