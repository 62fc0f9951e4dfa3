"""The operators of ``benchmarks.operators`` as calls of torch, each between two convolutions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Call = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Operator:
    """A call of torch.

    Attributes:
        kind: its row of ``docs/operators.md``.
        make: makes the call for a number of channels; a layer, or a function of two maps.
        multiple: the number of channels must be a multiple of it.
        even: whether rows and columns must be even.
    """

    kind: str
    name: str
    make: Callable[[int], Call | nn.Module]
    multiple: int = 1
    even: bool = False


def _call(kind: str, name: str, call: Call, multiple: int = 1, even: bool = False) -> Operator:
    return Operator(kind, name, lambda channels: call, multiple, even)


def _layer(kind: str, name: str, make: Callable[[int], nn.Module], even: bool = False) -> Operator:
    return Operator(kind, name, make, 1, even)


ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.SiLU, nn.GELU, nn.Hardswish),
    *(nn.Hardsigmoid, nn.ELU, nn.Softplus, nn.Mish, nn.SELU, nn.CELU, nn.LogSigmoid, nn.Softsign),
)
FUNCTIONS: dict[str, Call] = {
    "exp": lambda x, y: torch.exp(x),
    "x ** 2": lambda x, y: x**2,
    "x ** 1.5": lambda x, y: x.relu() ** 1.5,
    "sqrt": lambda x, y: x.relu().sqrt(),
    "rsqrt": lambda x, y: (x.relu() + 1).rsqrt(),
    "log": lambda x, y: torch.log(x.abs() + 1),
    "1 / x": lambda x, y: 1 / (x.abs() + 1),
    "sin": lambda x, y: torch.sin(x),
    "cos": lambda x, y: torch.cos(x),
    "erf": lambda x, y: torch.erf(x),
}
ARITHMETIC: dict[str, Call] = {
    "x + y": lambda x, y: x + y,
    "x - y": lambda x, y: x - y,
    "x * y": lambda x, y: x * y,
    "x / y": lambda x, y: x / (y.abs() + 1),
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "x + y of one pixel": lambda x, y: x + F.adaptive_avg_pool2d(y, 1),
    "x - y of one channel": lambda x, y: x - y[:, :1],
    "x * y of one row": lambda x, y: x * y.mean(2, keepdim=True),
    "-x": lambda x, y: -x,
    "abs": lambda x, y: x.abs(),
    "x * c + d": lambda x, y: x * -0.7 + 0.3,
    "c - x": lambda x, y: 1 - x,
    "clamp": lambda x, y: x.clamp(-0.5, 0.25),
}


def _rows(x: Tensor) -> Tensor:
    """(N, C, H, W) as matrices (N, H * W, C)."""
    return x.flatten(2).transpose(1, 2)


def _attention(x: Tensor, y: Tensor) -> Tensor:
    """Of two heads, by a sigmoid."""
    n, c, h, w = x.shape
    q, k = (part.reshape(n, 2, c // 2, h * w) for part in (x, y))
    scores = torch.sigmoid(q.transpose(-2, -1) @ k)
    return (k @ scores.transpose(-2, -1)).reshape(n, c, h, w)


MATRICES: dict[str, Call] = {
    "all pairs": lambda x, y: (_rows(x) @ y.flatten(2)).transpose(1, 2).unflatten(2, x.shape[2:]),
    "all pairs, other order": lambda x, y: (_rows(x) @ y.flatten(2)).unflatten(2, x.shape[2:]),
    "einsum": lambda x, y: torch.einsum("bchw,bcij->bijhw", x, y).flatten(1, 2),
    "linear attention": lambda x, y: (
        (x.flatten(2) @ _rows(y)).transpose(1, 2) @ x.flatten(2)
    ).unflatten(2, x.shape[2:]),
}
POOLING: dict[str, Call] = {
    "max_pool2d": lambda x, y: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
    "avg_pool2d": lambda x, y: F.avg_pool2d(x, 3, 2, 1),
    "avg_pool2d without padding": lambda x, y: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    "adaptive_avg_pool2d": lambda x, y: F.adaptive_avg_pool2d(x, 1),
    "adaptive_max_pool2d": lambda x, y: F.adaptive_max_pool2d(x, 1),
    "mean over space": lambda x, y: x.mean((2, 3), keepdim=True),
    "sum over space": lambda x, y: x.sum((2, 3), keepdim=True),
    "mean over channels": lambda x, y: x.mean(1, keepdim=True),
    "sum over channels": lambda x, y: x.sum(1, keepdim=True),
    "amax over space": lambda x, y: x.amax((2, 3), keepdim=True),
    "amax over channels": lambda x, y: x.amax(1, keepdim=True),
}
RESIZING: dict[str, Call] = {
    "nearest": lambda x, y: F.interpolate(x, scale_factor=2),
    "bilinear": lambda x, y: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "align_corners": lambda x, y: F.interpolate(
        x, scale_factor=2, mode="bilinear", align_corners=True
    ),
}
MOVEMENT: dict[str, Call] = {
    "cat of channels": lambda x, y: torch.cat([x, y], 1),
    "cat of rows": lambda x, y: torch.cat([x, y], 2),
    "cat of columns": lambda x, y: torch.cat([x, y], 3),
    "stack": lambda x, y: torch.stack([x, y], 2).flatten(1, 2),
    "slice of columns": lambda x, y: x[..., 1:-1],
    "every second column": lambda x, y: x[..., ::2],
    "split": lambda x, y: torch.cat(x.split([1, x.shape[3] - 1], 3)[::-1], 3),
    "pad with zeros": lambda x, y: F.pad(x, (1, 2, 0, 1)),
    "pad, replicate": lambda x, y: F.pad(x, (1, 2, 0, 1), mode="replicate"),
    "pad, reflect": lambda x, y: F.pad(x, (1, 2, 0, 0), mode="reflect"),
    "pad, circular": lambda x, y: F.pad(x, (1, 2, 0, 1), mode="circular"),
    "flip": lambda x, y: x.flip(3),
    "roll": lambda x, y: torch.roll(x, 1, 3),
    "repeat": lambda x, y: x.repeat(1, 2, 1, 1),
    "repeat_interleave": lambda x, y: x.repeat_interleave(2, 3),
    "flip of channels": lambda x, y: x.flip(1),
    "permute there and back": lambda x, y: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2),
}
LAYERS: dict[str, Callable[[int], nn.Module]] = {
    "Conv2d, same": lambda c: nn.Conv2d(c, c, 4, padding="same"),
    "Conv2d, stride and dilation": lambda c: nn.Conv2d(c, c, 3, (1, 2), (4, 2), (4, 2)),
    "Conv2d, depthwise": lambda c: nn.Conv2d(c, c, 3, padding=1, groups=c),
    "Conv2d, reflect": lambda c: nn.Conv2d(c, c, (1, 3), padding=(0, 1), padding_mode="reflect"),
    "Conv2d, replicate": lambda c: nn.Conv2d(c, c, 3, padding=1, padding_mode="replicate"),
    "ConvTranspose2d": lambda c: nn.ConvTranspose2d(c, c, 4, 2, 1),
    "ConvTranspose2d, output_padding": lambda c: nn.ConvTranspose2d(c, c, 3, 2, 1, 1),
    "ConvTranspose2d, depthwise": lambda c: nn.ConvTranspose2d(c, c, 4, 2, 1, groups=c),
    "ConvTranspose2d, dilation": lambda c: nn.ConvTranspose2d(c, c, 3, 1, 1, dilation=2),
    "BatchNorm2d": nn.BatchNorm2d,
    "PReLU": nn.PReLU,
    "LeakyReLU": lambda c: nn.LeakyReLU(0.2),
}
OPERATORS = (
    *(_call("pooling and reductions", name, call) for name, call in POOLING.items()),
    *(_call("resizing", name, call) for name, call in RESIZING.items()),
    _call(
        "resizing", "area", lambda x, y: F.interpolate(x, scale_factor=0.5, mode="area"), 1, True
    ),
    *(_layer("activations", kind.__name__, lambda c, kind=kind: kind()) for kind in ACTIVATIONS),
    _call("activations", "glu", lambda x, y: F.glu(x, 1), 2),
    *(_call("functions by table", name, call) for name, call in FUNCTIONS.items()),
    *(_call("arithmetic", name, call) for name, call in ARITHMETIC.items()),
    *(_call("matrix products", name, call) for name, call in MATRICES.items()),
    _call("matrix products", "attention", _attention, 2),
    *(_call("movement", name, call) for name, call in MOVEMENT.items()),
    _call("movement", "pixel_shuffle", lambda x, y: F.pixel_shuffle(x, 2), 4),
    _call("movement", "pixel_unshuffle", lambda x, y: F.pixel_unshuffle(x, 2), 1, True),
    _call("movement", "channel_shuffle", lambda x, y: torch.channel_shuffle(x, 2), 2),
    *(_layer("layers", name, make) for name, make in LAYERS.items()),
)


class Between(nn.Module):
    """Two convolutions, an operator, and a convolution that reads its result, with int32 output."""

    def __init__(self, operator: Operator, channels: int) -> None:
        super().__init__()
        self.left = nn.Conv2d(2, channels, 3, padding=1)
        self.right = nn.Conv2d(2, channels, 1)
        made = operator.make(channels)
        self.layer = made if isinstance(made, nn.Module) else None
        self.call = made
        self.after = nn.LazyConv2d(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x, y = self.left(x), self.right(x)
        return self.after(self.call(x, y) if self.layer is None else self.layer(x))
