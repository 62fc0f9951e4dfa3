"""Made-up networks whose layers cover the work that a CPU may get.

Each chain is a small network on maps of one size, with layers drawn at random within limits. As in
a real network, a layer reads what the previous layer has just written, and other layers have used
the caches since its weights were last read. Single layers in a loop would be measured too fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from horizon.hbir import Graph, Node, TensorInfo, verify
from horizon.isa.bounds import MAX_SIDE, MAX_STEP

MAPS = (
    (6, 8),
    (96, 128),
    (12, 16),
    (48, 64),
    (2, 3),
    (24, 32),
    (192, 256),
    (7, 16),
    (14, 32),
    (4, 6),
    (33, 44),
    (256, 384),
    (28, 64),
    (10, 12),
    (66, 90),
    (18, 25),
)
CHANNELS = (3, 8, 12, 16, 24, 32, 40, 48, 64, 81, 96, 128, 160, 196, 256, 320, 420, 600)
LARGEST_OUTPUT = 256
KERNELS = ((1, 1), (3, 3), (3, 3), (3, 3), (3, 3), (5, 5))
DILATIONS = (1, 1, 1, 1, 2, 4, 8, 16)
# Multiply-accumulates of one layer. Larger layers would only take longer.
SMALLEST_MACS, LARGEST_MACS = 2e5, 3e8
LARGEST_ELEMENTS = 4e6
MOST_PAIRED = 512  # pixels, each with each
PER_GRAPH = 12
MULTIPLIER = 3 << 22
SHIFTS = {"int8": 34, "int16": 28, "int32": 26}


def probe_graphs(count: int, seed: int = 0) -> list[Graph]:
    """``count`` chains, several per program. With 80, there is one of every kind on every map."""
    makers = (_convolutions, _narrow, _matching, _convolutions, _elementwise)
    rng = np.random.default_rng(seed)
    graphs: list[Graph] = []
    for first in range(0, count, PER_GRAPH):
        chain = _Chain(rng, f"probes{len(graphs)}")
        for number in range(first, min(first + PER_GRAPH, count)):
            maker = makers[number % len(makers)]
            chain.begin(MAPS[number % len(MAPS)], batch=2 if maker is _matching else 1)
            maker(chain)
        graphs.append(chain.graph())
    return graphs


class _Chain:
    """A graph under construction; ``last`` is the tensor that the next layer reads."""

    def __init__(self, rng: np.random.Generator, name: str) -> None:
        self.rng, self.name = rng, name
        self.tensors: dict[str, TensorInfo] = {}
        self.nodes: list[Node] = []
        self.inputs: list[str] = []
        self.outputs: list[str] = []

    def graph(self) -> Graph:
        graph = Graph(
            self.name, self.tensors, tuple(self.nodes), tuple(self.inputs), tuple(self.outputs), {}
        )
        verify(graph)
        return graph

    def begin(self, size: tuple[int, int], batch: int = 1) -> TensorInfo:
        """Add images, and layers that halve them to maps of ``size``, which become ``last``."""
        halvings = 2 if size[0] * size[1] * 16 * 3 <= LARGEST_ELEMENTS else 1
        height, width = (side << halvings for side in size)
        channels = self.pick((3, 3, 3, 1))
        images = []
        for _ in range(batch):
            images.append(self._tensor((1, height, width, channels), "int8"))
            self.inputs.append(images[-1].name)
        x = images[0] if batch == 1 else self.concat(images, axis=0)
        for _ in range(halvings):
            x = self.convolution(x, self.pick((8, 12, 16, 24)), (3, 3), stride=2)
        return x

    def end(self, info: TensorInfo) -> None:
        self.outputs.append(info.name)

    def pick(self, values: Sequence[Any]) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def add_node(
        self, op: str, inputs: Sequence[TensorInfo], shape: Any, dtype: str, values: dict[str, Any]
    ) -> TensorInfo:
        info = self._tensor(shape, dtype)
        names = tuple(source.name for source in inputs)
        self.nodes.append(Node(op, f"{op}{len(self.nodes)}", names, info.name, values))
        self.last = info
        return info

    def convolution(
        self,
        x: TensorInfo,
        outputs: int,
        kernel: tuple[int, int] = (1, 1),
        *,
        stride: int = 1,
        dilation: int = 1,
        dtype: str = "int8",
        transposed: bool = False,
        residual: TensorInfo | None = None,
    ) -> TensorInfo:
        batch, height, width, channels = x.shape
        if transposed:
            padding = ((kernel[0] - stride) // 2, (kernel[1] - stride) // 2)
            size = [
                (s - 1) * stride - 2 * p + k
                for s, p, k in zip((height, width), padding, kernel, strict=True)
            ]
        else:
            padding = (dilation * (kernel[0] // 2), dilation * (kernel[1] // 2))
            size = [-(-s // stride) for s in (height, width)]
        largest = 127 if x.dtype == "int8" else 2
        weight = self.rng.integers(-largest, largest + 1, (outputs, *kernel, channels))
        full = np.full(outputs, 1, np.int64)
        values: dict[str, Any] = {
            "weight": weight.astype(np.int8),
            "bias": np.zeros(outputs, np.int32),
            "stride": (stride, stride),
            "padding": padding,
            **{key: full * value for key, value in _ratio(dtype).items()},
            **_limits(dtype),
        }
        if not transposed:
            values |= {"dilation": (dilation, dilation), "groups": 1}
        if residual is not None:
            values["residual_multiplier"] = full * MULTIPLIER
        inputs = [x] if residual is None else [x, residual]
        op = "conv_transpose2d" if transposed else "conv2d"
        return self.add_node(op, inputs, (batch, *size, outputs), dtype, values)

    def depthwise(self, x: TensorInfo, kernel: int, stride: int) -> TensorInfo:
        batch, height, width, channels = x.shape
        padding, full = kernel // 2, np.full(channels, 1, np.int64)
        values = {
            "weight": _weights((channels, kernel, kernel, 1)),
            "bias": np.zeros(channels, np.int32),
            "stride": (stride, stride),
            "padding": (padding, padding),
            "dilation": (1, 1),
            "groups": channels,
            **{key: full * value for key, value in _ratio("int8").items()},
            **_limits("int8"),
        }
        size = [(side - 1) // stride + 1 for side in (height, width)]
        return self.add_node("conv2d", [x], (batch, *size, channels), "int8", values)

    def concat(self, parts: Sequence[TensorInfo], axis: int = 3) -> TensorInfo:
        shape = list(parts[0].shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        return self.add_node("concat", parts, shape, parts[0].dtype, {"axis": axis})

    def image(self, x: TensorInfo, number: int) -> TensorInfo:
        """One image of a batch."""
        values = {"axis": 0, "start": number, "stop": number + 1}
        return self.add_node("slice", [x], (1, *x.shape[1:]), x.dtype, values)

    def channel(self, x: TensorInfo) -> TensorInfo:
        """The first channel."""
        values = {"axis": 3, "start": 0, "stop": 1}
        return self.add_node("slice", [x], (*x.shape[:3], 1), x.dtype, values)

    def correlation(self, a: TensorInfo, b: TensorInfo, reach: int) -> TensorInfo:
        values = {"max_displacement": reach, **_ratio("int8"), **_limits("int8")}
        shape = (*a.shape[:3], (2 * reach + 1) ** 2)
        return self.add_node("correlation", [a, b], shape, "int8", values)

    def rescale(
        self, x: TensorInfo, dtype: str, multiplier: int | np.ndarray = MULTIPLIER
    ) -> TensorInfo:
        values = {**_ratio(dtype), "multiplier": multiplier, **_limits(dtype)}
        return self.add_node("rescale", [x], x.shape, dtype, values)

    def mul(self, a: TensorInfo, b: TensorInfo) -> TensorInfo:
        return self.add_node("mul", [a, b], a.shape, "int8", _ratio("int8") | _limits("int8"))

    def matmul(self, a: TensorInfo, b: TensorInfo, transposed: bool) -> TensorInfo:
        batch, height, width, _ = a.shape
        channels = b.shape[1] * b.shape[2] if transposed else b.shape[3]
        values = {"heads": 1, "transposed": int(transposed), **_ratio("int8"), **_limits("int8")}
        return self.add_node("matmul", [a, b], (batch, height, width, channels), "int8", values)

    def exchange(self, x: TensorInfo) -> TensorInfo:
        """Pixels and channels exchanged."""
        batch, height, width, channels = x.shape
        shape = (batch, 1, channels, height * width)
        values = {"heads": 1, "size": (1, channels)}
        return self.add_node("transpose", [x], shape, x.dtype, values)

    def pool(self, x: TensorInfo, kernel: int, stride: int) -> TensorInfo:
        batch, height, width, channels = x.shape
        padding = kernel // 2 if kernel % 2 else 0
        size = [(side + 2 * padding - kernel) // stride + 1 for side in (height, width)]
        values = {"kernel": (kernel, kernel), "stride": (stride, stride), "ceil": 0}
        values["padding"] = (padding, padding)
        return self.add_node("max_pool2d", [x], (batch, *size, channels), x.dtype, values)

    def lookup(self, x: TensorInfo, dtype: str) -> TensorInfo:
        table = (np.arange(-128, 128) // 2).astype(dtype)
        return self.add_node("lookup", [x], x.shape, dtype, {"function": "silu", "table": table})

    def average(self, x: TensorInfo, kernel: int, stride: int) -> TensorInfo:
        batch, height, width, channels = x.shape
        padding = kernel // 2 if kernel % 2 else 0
        size = [(side + 2 * padding - kernel) // stride + 1 for side in (height, width)]
        values: dict[str, Any] = {"multiplier": MULTIPLIER, "shift": 24, **_limits(x.dtype)}
        values |= {"kernel": (kernel, kernel), "stride": (stride, stride)}
        values |= {"padding": (padding, padding), "ceil": 0, "include_pad": 0, "divisor": 0}
        return self.add_node("avg_pool2d", [x], (batch, *size, channels), x.dtype, values)

    def mean(self, x: TensorInfo) -> TensorInfo:
        values = {"size": (1, 1), "multiplier": MULTIPLIER, "shift": 24, **_limits(x.dtype)}
        shape = (x.shape[0], 1, 1, x.shape[3])
        return self.add_node("adaptive_avg_pool2d", [x], shape, x.dtype, values)

    def resize(self, x: TensorInfo, up: int, bilinear: int) -> TensorInfo:
        batch, height, width, channels = x.shape
        values = {"up": (up, up), "down": (1, 1), "align_corners": 0, "exact": 0}
        shape = (batch, up * height, up * width, channels)
        return self.add_node("resize", [x], shape, x.dtype, values | {"bilinear": bilinear})

    def _tensor(self, shape: Any, dtype: str) -> TensorInfo:
        n, height, width, channels = map(int, shape)
        info = TensorInfo(f"t{len(self.tensors)}", (n, height, width, channels), dtype, (1.0,))
        self.tensors[info.name] = info
        return info


def _weights(shape: tuple[int, ...]) -> np.ndarray:
    """Weights that run through all values in turn."""
    return (np.arange(np.prod(shape)) % 255 - 127).astype(np.int8).reshape(shape)


def _ratio(dtype: str) -> dict[str, int]:
    return {"multiplier": MULTIPLIER, "shift": SHIFTS[dtype]}


def _limits(dtype: str) -> dict[str, int]:
    bits = {"int8": 7, "int16": 15, "int32": 31}[dtype]
    return {"lo": -(1 << bits), "hi": (1 << bits) - 1}


def _convolutions(chain: _Chain) -> None:
    """Convolutions of all shapes. About one in three chains is densely connected."""
    dense = chain.rng.random() < 0.35
    x = chain.last
    for _ in range(7):
        kernel, dilation, stride = chain.pick(KERNELS), chain.pick(DILATIONS), 1
        transposed = not dense and chain.rng.random() < 0.1
        if transposed:
            kernel, dilation, stride = (4, 4), 1, 2
        elif not dense and min(x.shape[1:3]) > 12 and chain.rng.random() < 0.2:
            stride = 2
        outputs = chain.pick(_affordable(x, kernel, stride, transposed))
        y = chain.convolution(
            x,
            outputs,
            kernel,
            stride=stride,
            dilation=1 if kernel == (1, 1) else dilation,
            dtype="int16" if not dense and chain.rng.random() < 0.1 else "int8",
            transposed=transposed,
        )
        x = chain.concat([y, x]) if dense else y
    chain.end(chain.convolution(x, 2, (3, 3), dtype="int32"))


def _affordable(x: TensorInfo, kernel: tuple[int, int], stride: int, transposed: bool) -> list[int]:
    """Numbers of outputs that give neither too little nor too much work; 8 if no number does."""
    taps, pixels = kernel[0] * kernel[1], x.shape[1] * x.shape[2]
    spread = stride**2 if transposed else 1 / stride**2
    # int16 takes several times as long.
    most, macs = (64, LARGEST_MACS / 8) if x.dtype == "int16" else (LARGEST_OUTPUT, LARGEST_MACS)
    found = []
    for outputs in CHANNELS[1:]:
        each = pixels * outputs * x.shape[3] * taps * (1 if transposed else spread)
        if outputs > most or pixels * spread * outputs > LARGEST_ELEMENTS:
            continue
        if SMALLEST_MACS <= each <= macs:
            found.append(outputs)
    return found or [8]


def _narrow(chain: _Chain) -> None:
    """Layers of few outputs, with few and with many input channels."""
    x = chain.convolution(chain.last, chain.pick(_fitting(chain, CHANNELS)))
    flow = chain.convolution(x, 2, (3, 3), dtype="int16")
    finer = chain.convolution(x, 2, (3, 3), dtype="int16", residual=flow)
    few = chain.convolution(x, chain.pick((1, 2, 3, 4)), chain.pick(((3, 3), (1, 1))))
    up_flow = chain.convolution(finer, 2, (4, 4), stride=2, transposed=True, dtype="int16")
    up = chain.convolution(x, 2, (4, 4), stride=2, transposed=True)
    wide = chain.convolution(few, chain.pick((16, 64)), (4, 4), stride=2, transposed=True)
    joined = chain.concat([chain.convolution(chain.concat([wide, up]), 8, (3, 3)), up])
    chain.end(chain.convolution(joined, 2, (3, 3), dtype="int32"))
    chain.end(up_flow)
    _depthwise(chain, x)


def _matching(chain: _Chain) -> None:
    """Correlations and warps with the layers around them, on two images of a batch.

    Threads share the batch, so each image comes from another core's cache.
    """
    channels = chain.pick(_fitting(chain, (12, 16, 24, 32, 48, 64, 96, 128, 196)))
    features = chain.convolution(chain.convolution(chain.last, channels), channels, (3, 3))
    a, b = chain.image(features, 0), chain.image(features, 1)
    flow = chain.convolution(b, 2, (3, 3), dtype="int16")
    moved = {"offset_multiplier": MULTIPLIER, "offset_shift": 34}
    warped = chain.add_node("warp", [b, flow], b.shape, "int8", moved)
    small = chain.rescale(flow, "int8")
    volume = chain.correlation(a, warped, chain.pick((4, 4, 4, 3)))
    other = chain.convolution(chain.correlation(a, b, 4), 8)
    joined = chain.concat([volume, a, small, other])
    more = chain.concat([a, chain.convolution(joined, 16)])
    chain.end(chain.convolution(more, 2, (3, 3), dtype="int32"))


def _elementwise(chain: _Chain) -> None:
    """Rescales, sums, products, also of matrices, copies, loads and stores."""
    channels = chain.pick(_fitting(chain, CHANNELS[1:14]))
    few = chain.convolution(chain.last, chain.pick((1, 2, 3, 6)))
    x = chain.convolution(chain.last, channels, dtype=chain.pick(("int8", "int8", "int16")))
    y = chain.rescale(x, chain.pick(("int8", "int8", "int8", "int16")))
    factors = {"multiplier_a": MULTIPLIER, "multiplier_b": MULTIPLIER, "shift": 25}
    z = chain.add_node("add", [x, y], x.shape, x.dtype, factors | _limits(x.dtype))
    each = np.full(channels, MULTIPLIER, np.int64) - np.arange(channels)
    w = chain.rescale(z, "int8", multiplier=each)
    joined = chain.concat([w, few])
    again = chain.concat([few, w, joined])
    for dtype in ("int32", chain.pick(("int8", "int16", "int32"))):
        chain.end(chain.convolution(again, chain.pick((1, 2, 2, 4)), dtype=dtype))
    kind = len(chain.nodes) % 3
    chain.end(chain.resize(w if w.shape[1] * w.shape[2] < 4096 else few, 2, int(kind > 0)))
    chain.end(chain.pool(w, *((2, 2), (3, 2), (3, 1))[kind]))
    chain.end(chain.lookup(w, ("int8", "int16", "int8")[kind]))
    chain.end(chain.mul(w, chain.channel(y) if kind == 0 else y))
    if w.shape[1] * w.shape[2] <= MOST_PAIRED:
        chain.end(chain.matmul(chain.matmul(w, w, transposed=True), w, transposed=False))
    if w.shape[1] * w.shape[2] < MAX_SIDE:
        chain.end(chain.exchange(w))
    chain.end(chain.average(w, *((3, 1), (2, 2), (3, 2))[kind]))
    if max(w.shape[1:3]) <= MAX_STEP:
        chain.end(chain.mean(w))
    if w.dtype == "int8":
        _depthwise(chain, w)


def _depthwise(chain: _Chain, x: TensorInfo) -> None:
    """Depthwise convolutions: mostly 3x3, one after the other as in the blocks of networks."""
    if x.shape[3] < 2:
        return
    kind = len(chain.nodes) % 4
    y = chain.depthwise(x, 3, 2 if kind == 0 and min(x.shape[1:3]) > 4 else 1)
    chain.end(chain.depthwise(y, (3, 5, 3, 7)[kind], 1))


def _fitting(chain: _Chain, channels: Sequence[int]) -> list[int]:
    """The options that are not too large on the maps of ``chain``."""
    pixels = chain.last.shape[1] * chain.last.shape[2]
    return [number for number in channels if pixels * number <= LARGEST_ELEMENTS]
