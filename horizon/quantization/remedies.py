"""What to use in the place of a layer or a call that has no fixed-point form."""

from __future__ import annotations

ROWS = "on maps of one row, (N, C, 1, L) instead of (N, C, L)"
FRAMES = "with the frames as channels or as a batch"
NORM = (
    "nn.BatchNorm2d behind a convolution, whose statistics are constant after training; a division "
    "by the statistics of each image has no fixed-point form"
)
# The first entry whose text is part of the class's name applies, so variants are covered.
LAYERS = (
    ("AdaptiveMaxPool", "nn.MaxPool2d with a fixed kernel and stride"),
    ("MaxPool", "nn.MaxPool2d, or nn.Conv2d with stride 2"),
    ("AvgPool", "nn.AvgPool2d or nn.AdaptiveAvgPool2d"),
    ("LPPool", "nn.Conv2d with stride 2"),
    ("MaxUnpool", "nn.ConvTranspose2d"),
    ("Pad", "the padding of the convolution behind it"),
    ("BatchNorm", "nn.BatchNorm2d right behind a convolution, named with it in fuse_model()"),
    ("LayerNorm", NORM),
    ("GroupNorm", NORM),
    ("InstanceNorm", NORM),
    ("LocalResponseNorm", NORM),
    ("Norm", "nn.BatchNorm2d right behind a convolution, fused with it"),
    ("Linear", "nn.Conv2d of 1x1"),
    ("Conv1d", f"nn.Conv2d with a kernel of 1xk, {ROWS}"),
    ("Transpose1d", f"nn.ConvTranspose2d with a kernel of 1xk, {ROWS}"),
    ("Conv3d", f"nn.Conv2d, {FRAMES}"),
    ("Transpose3d", f"nn.ConvTranspose2d, {FRAMES}"),
    ("Softmax", "the logits: end with a DeQuantStub and apply the softmax on the CPU"),
    ("Dropout", "nn.Dropout, which does nothing in evaluation"),
    ("Flatten", "a convolution as large as the map; or end with a DeQuantStub before it"),
)
ACTIVATIONS = ("RReLU",)
ACTIVATION = "nn.ReLU, nn.LeakyReLU, nn.PReLU or nn.ReLU6, fused with the convolution before it"
OTHERWISE = "convolutions and layers of horizon.nn; or end with a DeQuantStub before it"
MATRICES = (
    "for a constant matrix nn.Linear or nn.Conv2d of 1x1; a product of two quantised tensors has a "
    "layer where pixels of a map are one side of each matrix and its channels the other"
)
AXES = "the axes of rows and columns (2, 3) or of channels (1), with keepdim=True"
SHAPE = (
    "a form that keeps batch, channels, rows and columns as the four axes; flatten on the CPU, "
    "behind a DeQuantStub"
)
SCALAR = "the bias of the convolution before or behind it"
PRODUCT = "a number, a constant of one value or one per channel, or a quantised tensor"
QUOTIENT = f"as the divisor {PRODUCT}"
# By the names of functions and methods of torch, without the "_" of in-place methods.
CALLS = {
    **dict.fromkeys(("sum", "mean", "amax"), AXES),
    **dict.fromkeys(("group_norm", "layer_norm", "instance_norm", "local_response_norm"), NORM),
    "normalize": f"{NORM}; divide behind a DeQuantStub",
    "add_scalar": "x + number in forward()",
    **dict.fromkeys(
        (
            *("view", "reshape", "flatten", "permute", "transpose", "squeeze", "unsqueeze"),
            *("expand", "repeat", "stack", "unbind", "movedim", "unflatten", "T", "mT", "flip"),
        ),
        SHAPE,
    ),
    **dict.fromkeys(("conv2d", "conv_transpose2d"), "nn.Conv2d or nn.ConvTranspose2d as a layer"),
    "conv1d": f"nn.Conv2d as a layer, with a kernel of 1xk, {ROWS}",
    "conv_transpose1d": f"nn.ConvTranspose2d as a layer, with a kernel of 1xk, {ROWS}",
    "conv3d": f"nn.Conv2d as a layer, {FRAMES}",
    "conv_transpose3d": f"nn.ConvTranspose2d as a layer, {FRAMES}",
    "linear": "nn.Conv2d of 1x1",
    "batch_norm": "nn.BatchNorm2d right behind a convolution, named with it in fuse_model()",
    "pad": "the padding of the convolution behind it",
    "softmax": "the logits: end with a DeQuantStub and apply the softmax on the CPU",
    "grid_sample": "horizon.nn.GridSample, with offsets in pixels",
    **dict.fromkeys(
        ("sub", "subtract", "rsub"),
        "an addition, with the sign in the weights of the convolution before it",
    ),
    **dict.fromkeys(("mul", "multiply"), PRODUCT),
    **dict.fromkeys(("div", "divide", "true_divide"), QUOTIENT),
    **dict.fromkeys(("matmul", "bmm", "einsum"), MATRICES),
    "rrelu": ACTIVATION,
    "add": "an addition of two quantised tensors of the same shape",
}
EXAMPLE = (
    "pass an example input to prepare_qat or prepare_calibration, which finds such calls and gives "
    "them a scale"
)


def instead_of(kind: str) -> str:
    """What to use in the place of a layer of this class."""
    if kind in ACTIVATIONS:
        return ACTIVATION
    return next((text for part, text in LAYERS if part in kind), OTHERWISE)


def instead_of_call(name: str) -> str:
    """What to use in the place of a function or method of torch."""
    return CALLS.get(name.strip("_"), OTHERWISE)
