"""Layers that the tool chain can quantise, beside torch's own."""

from horizon.nn.correlation import Correlation
from horizon.nn.dilated_conv import DilatedConv2d
from horizon.nn.functional import FloatFunctional
from horizon.nn.grid_sample import GridSample
from horizon.nn.narrow_conv import NarrowConv2d, NarrowConvTranspose2d
from horizon.nn.stubs import DeQuantStub, QuantStub

__all__ = [
    "Correlation",
    "DeQuantStub",
    "DilatedConv2d",
    "FloatFunctional",
    "GridSample",
    "NarrowConv2d",
    "NarrowConvTranspose2d",
    "QuantStub",
]
