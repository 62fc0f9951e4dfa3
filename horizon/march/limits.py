"""Names of the limits that a machine may set to an operator of the graph."""

from __future__ import annotations

INPUT_TYPES = "input_types"
TYPES = ("int8", "int16", "int32")

MAP = ("height", "width", "pixels")
CONVOLUTION = (
    "kernel",
    "stride",
    "input_channels",
    "output_channels",
    "weights_per_output",
    *MAP,
)
# ``pixels`` is height times width, of the first input as are height and width;
# ``weights_per_output`` is kernel height times width times input channels.
LIMITS: dict[str, tuple[str, ...]] = {
    "conv2d": (*CONVOLUTION, "dilation"),
    "conv_transpose2d": CONVOLUTION,
    "correlation": ("displacement", "input_channels", *MAP),
    "warp": ("input_channels", *MAP),
    "rescale": ("input_channels", *MAP),
    "add": ("input_channels", *MAP),
    "concat": ("output_channels", *MAP),
    "slice": ("input_channels", *MAP),
}
# The unit that carries an operator out; concats and slices are views unless they cannot be.
UNIT_OF_OPERATOR = {
    "conv2d": "tensor",
    "conv_transpose2d": "tensor",
    "correlation": "tensor",
    "warp": "aux",
    "rescale": "vector",
    "add": "vector",
}
