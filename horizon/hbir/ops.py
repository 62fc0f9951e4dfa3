"""The operators of a program by name."""

from __future__ import annotations

from horizon.hbir.operator import Operator
from horizon.hbir.ops_basic import Add, Concat, Rescale, Slice
from horizon.hbir.ops_conv import Conv2d, ConvTranspose2d
from horizon.hbir.ops_match import Correlation, Warp

OPERATORS: dict[str, Operator] = {
    "conv2d": Conv2d(),
    "conv_transpose2d": ConvTranspose2d(),
    "correlation": Correlation(),
    "warp": Warp(),
    "rescale": Rescale(),
    "add": Add(),
    "concat": Concat(),
    "slice": Slice(),
}
