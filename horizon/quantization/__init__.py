"""Quantisation: calibration, training on fixed-point arithmetic, conversion to integers.

model.fuse_model()
model.set_qconfig()
horizon.quantization.prepare_qat(model, inplace=True)
"""

from horizon.quantization.convert import convert, output_integers
from horizon.quantization.equalise import channel_ranges, equalise_channels
from horizon.quantization.fuse import fuse_modules
from horizon.quantization.layers.prepared import QATLayer
from horizon.quantization.plain import quantisable
from horizon.quantization.prepare import check_prepared, prepare_calibration, prepare_qat
from horizon.quantization.program import IntegerModel, program_graph, program_state
from horizon.quantization.qconfig import (
    ActivationConfig,
    QConfig,
    WeightConfig,
    get_default_qat_out_qconfig,
    get_default_qat_qconfig,
)
from horizon.quantization.qtensor import QTensor
from horizon.quantization.same_output import check_fusing, check_same_output
from horizon.quantization.scales.fake_quantize import FakeQuantize, FakeQuantState
from horizon.quantization.scales.observers import OBSERVERS, make_observer
from horizon.quantization.states import (
    finish_calibration,
    prepared_layers,
    set_fake_quantize,
)
from horizon.quantization.survey import Finding
from horizon.quantization.trace import trace

__all__ = [
    "OBSERVERS",
    "ActivationConfig",
    "FakeQuantState",
    "FakeQuantize",
    "Finding",
    "IntegerModel",
    "QATLayer",
    "QConfig",
    "QTensor",
    "WeightConfig",
    "channel_ranges",
    "check_fusing",
    "check_prepared",
    "check_same_output",
    "convert",
    "equalise_channels",
    "finish_calibration",
    "fuse_modules",
    "get_default_qat_out_qconfig",
    "get_default_qat_qconfig",
    "make_observer",
    "output_integers",
    "prepare_calibration",
    "prepare_qat",
    "prepared_layers",
    "program_graph",
    "program_state",
    "quantisable",
    "set_fake_quantize",
    "trace",
]
