"""Random programs with every operator, and inputs that go to the limits."""

from __future__ import annotations

from typing import Any

import numpy as np

from horizon.errors import InputError
from horizon.hbir.fixed_point import LIMITS, SHIFT_RANGE, offset_fraction_bits
from horizon.hbir.graph import Graph, verify
from horizon.hbir.node import Node, TensorInfo
from horizon.hbir.operators import OPERATORS
from tests.horizon.hbir.programs import ONE

CHANNELS = (1, 2, 3, 4, 5, 16, 17, 31, 32, 33, 48)
KERNELS = ((1, 1), (3, 3), (3, 3), (1, 3), (4, 2), (5, 5))
BITS = {"int8": 7, "int16": 15, "int32": 31}
LARGEST_SIDE = 40


class Builder:
    """A graph that grows by one random node at a time."""

    def __init__(self, rng: np.random.Generator, inputs: int, batch: int) -> None:
        self.rng = rng
        (self.second,) = rng.spawn(1)  # leaves the draws of the first alone
        self.tensors: dict[str, TensorInfo] = {}
        self.nodes: list[Node] = []
        self.inputs = []
        height, width = (int(side) for side in rng.choice([1, 2, 5, 9, 16, 23], 2))
        for index in range(inputs):
            dtype = "int8" if index == 0 else self.pick(("int8", "int16"))
            shape = (batch, height, width, self.pick(CHANNELS))
            self.inputs.append(self.tensor(f"in{index}", shape, dtype))

    def pick(self, options: Any) -> Any:
        return options[self.rng.integers(len(options))]

    def tensor(self, name: str, shape: Any, dtype: str) -> str:
        self.tensors[name] = TensorInfo(name, tuple(int(s) for s in shape), dtype, (1 / 64,))
        return name

    def add(self, op: str, inputs: tuple[str, ...], dtype: str, attributes: dict[str, Any]) -> str:
        """Append a node; its output is t0, t1 ..."""
        name = f"t{len(self.nodes)}"
        node = Node(op, f"{op}.{len(self.nodes)}", inputs, name, attributes)
        shape = OPERATORS[op].infer(node, [self.tensors[i] for i in inputs])
        self.nodes.append(node)
        return self.tensor(name, shape, dtype)

    def any(self, *dtypes: str) -> str | None:
        """A tensor of one of these types, rather a new one."""
        names = [name for name, info in self.tensors.items() if info.dtype in dtypes]
        return names[-1 - min(int(self.rng.geometric(0.4)) - 1, len(names) - 1)] if names else None

    def like(self, name: str, *dtypes: str) -> str:
        """A tensor of the same shape; of the types if there is one, else a new rescaled one."""
        shape = self.tensors[name].shape
        names = [n for n, i in self.tensors.items() if i.shape == shape and i.dtype in dtypes]
        if names and (len(names) > 1 or names != [name]):
            return str(self.pick(names))
        return self.rescale(name, self.pick(dtypes))

    def ratio(self, bits: int, channels: int | None = None) -> dict[str, Any]:
        """Multiplier and shift; half of the multipliers are 2^23, whose results have ties."""
        size = channels or 1
        multiplier = self.rng.integers(ONE, 2 * ONE, size)
        multiplier[self.rng.random(size) < 0.5] = ONE
        shift = self.rng.integers(bits, bits + 3, size).clip(*SHIFT_RANGE)
        if channels is None:
            return {"multiplier": int(multiplier[0]), "shift": int(shift[0])}
        return {"multiplier": multiplier, "shift": shift}

    def limits(self, dtype: str) -> dict[str, int]:
        low, high = LIMITS[dtype]
        return {"lo": self.pick((low, 0)), "hi": self.pick((high, high, high // 3))}

    def rescale(self, name: str, dtype: str | None = None) -> str:
        info = self.tensors[name]
        dtype = dtype or self.pick(("int8", "int16", "int32"))
        bits = 22 + max(BITS[info.dtype] - BITS[dtype], 0)
        ratio = self.ratio(bits, info.shape[3] if self.rng.random() < 0.5 else None)
        return self.add("rescale", (name,), dtype, {**ratio, **self.limits(dtype)})

    def convolution(self, op: str) -> None:
        name = self.any("int8", "int16")
        assert name is not None  # the first input is int8
        info = self.tensors[name]
        attributes = self.window(op)
        rng = self.rng if op == "conv2d" else self.second
        groups = 2 if info.shape[3] % 2 == 0 and rng.random() < 0.15 else 1
        outputs = groups * self.pick(CHANNELS[: len(CHANNELS) // groups])
        weight = self.weights((outputs, *attributes.pop("kernel"), info.shape[3] // groups), info)
        if op == "conv2d" or groups > 1:
            attributes["groups"] = groups
        dtype = self.pick(("int8", "int8", "int16", "int32"))
        size = int(np.abs(weight).sum((1, 2, 3)).max()).bit_length() + BITS[info.dtype]
        bits = size - {"int8": 10, "int16": 18, "int32": size}[dtype]
        attributes |= {
            "weight": weight.astype(np.int8),
            "bias": self.rng.integers(-5000, 5001, outputs).astype(np.int32),
            **self.ratio(max(23 + bits, 2), outputs),
            **self.limits(dtype),
        }
        try:
            shape = OPERATORS[op].infer(Node(op, "probe", (name,), "", attributes), [info])
        except InputError:  # no room for the kernel
            return
        if max(shape[1:3]) > LARGEST_SIDE:
            return
        inputs: tuple[str, ...] = (name,)
        residuals = [
            n for n, i in self.tensors.items() if i.shape == shape and i.dtype in ("int8", "int16")
        ]
        if residuals and self.rng.random() < 0.5:
            inputs = (name, self.pick(residuals))
            attributes["residual_multiplier"] = self.rng.integers(0, 2 * ONE, outputs)
        self.add(op, inputs, dtype, attributes)

    def window(self, op: str) -> dict[str, Any]:
        """Kernel, stride, dilation and padding, each different along y and x at times."""
        if op == "conv2d":
            kernel, dilation = self.pick(KERNELS), self.pick(((1, 1), (1, 1), (2, 3)))
            stride = self.pick(((1, 1), (1, 1), (2, 2), (2, 1), (3, 2)))
            reach = (kernel[0] * dilation[0], kernel[1] * dilation[1])
            padding = (int(self.rng.integers(0, reach[0])), int(self.rng.integers(0, reach[1])))
            window = {"kernel": kernel, "stride": stride, "padding": padding}
            return {**window, "dilation": dilation}
        padding = (int(self.rng.integers(0, 2)), int(self.rng.integers(0, 2)))
        stride = self.pick(((2, 2), (3, 2), (1, 1)))
        kernel = self.pick(((2, 2), (3, 3), (4, 4), (4, 2)))
        window = {"kernel": kernel, "stride": stride, "padding": padding}
        if self.second.random() < 0.3:
            window["output_padding"] = tuple(int(self.second.integers(0, step)) for step in stride)
        return window

    def weights(self, shape: tuple[int, ...], info: TensorInfo) -> np.ndarray:
        """A third of +-127, at times all; scaled down where int16 inputs could overflow."""
        weight = self.rng.integers(-127, 128, shape)
        weight[self.rng.random(shape) < self.pick((0.3, 0.3, 0.3, 1))] = self.pick((-127, 127))
        budget = 2**27 // -LIMITS[info.dtype][0]
        total = np.abs(weight).sum((1, 2, 3)).max()
        return weight if total <= budget else (weight * (budget / total)).astype(np.int64)

    def correlation(self) -> None:
        first = self.any("int8")
        assert first is not None
        second = self.like(first, "int8", "int8", "int16") if self.rng.random() < 0.7 else first
        channels = self.tensors[first].shape[3]
        wide = self.tensors[second].dtype == "int16"
        if channels * 128 * (32768 if wide else 128) >= 2**28:
            return
        dtype = self.pick(("int8", "int16"))
        bits = 23 + BITS["int8"] + BITS["int16" if wide else "int8"] - BITS[dtype]
        attributes = {
            "max_displacement": int(self.rng.integers(0, 5)),
            **self.ratio(bits),
            **self.limits(dtype),
        }
        self.add("correlation", (first, second), dtype, attributes)

    def warp(self) -> None:
        feature = self.any("int8", "int16")
        assert feature is not None
        shape = self.tensors[feature].shape
        offsets = (*shape[:3], 2)
        known = [n for n, i in self.tensors.items() if i.shape == offsets and i.dtype == "int16"]
        if known and self.rng.random() < 0.5:
            offset = self.pick(known)
        elif shape[3] == 1:
            return
        else:
            start = int(self.rng.integers(0, shape[3] - 1))
            two = self.add(
                "slice",
                (feature,),
                self.tensors[feature].dtype,
                {"axis": 3, "start": start, "stop": start + 2},
            )
            offset = self.rescale(two, "int16")
        bits = offset_fraction_bits(*shape[1:3])
        ratio = self.ratio(bits + int(self.rng.integers(15, 28)))
        attributes = {"offset_multiplier": ratio["multiplier"], "offset_shift": ratio["shift"]}
        self.add("warp", (feature, offset), self.tensors[feature].dtype, attributes)

    def sum(self) -> None:
        a = self.any("int8", "int16", "int32")
        assert a is not None
        b = self.like(a, "int8", "int16", "int32")
        dtype = self.pick(("int8", "int16", "int32"))
        bits = 23 + max(max(BITS[self.tensors[n].dtype] for n in (a, b)) - BITS[dtype], 0)
        attributes = {
            "multiplier_a": int(self.rng.integers(0, 2 * ONE)),
            "multiplier_b": int(self.pick((ONE, 2 * ONE, int(self.rng.integers(0, ONE))))),
            "shift": bits,
            **self.limits(dtype),
        }
        self.add("add", (a, b), dtype, attributes)

    def product(self) -> None:
        """By a tensor of sides that are the first one's or 1; a convolution's if need be."""
        a = self.any("int8", "int16")
        assert a is not None
        shape = self.tensors[a].shape
        fitting = [
            name
            for name, info in self.tensors.items()
            if info.dtype != "int32"
            and info.shape != shape
            and all(s in (1, t) for s, t in zip(info.shape, shape, strict=True))
        ]
        b = str(self.pick(fitting)) if fitting and self.rng.random() < 0.5 else self.spread(a)
        dtype = self.pick(("int8", "int16", "int32"))
        bits = sum(BITS[self.tensors[name].dtype] for name in (a, b))
        ratio = self.ratio(23 + max(bits - BITS[dtype], 0))
        self.add("mul", (a, b), dtype, {**ratio, **self.limits(dtype)})

    def matrices(self) -> None:
        """A tensor with the pixels of another that has its channels; or these, exchanged before."""
        b = self.any("int8")
        assert b is not None
        batch, height, width, channels = self.tensors[b].shape
        heads = self.pick([h for h in (1, 1, 2, 3) if channels % h == 0])
        places = heads * height * width
        if places > 48:  # a convolution of so many channels fits the smallest machine
            return
        fitting = [
            name
            for name, info in self.tensors.items()
            if info.dtype == "int8" and (info.shape[0], info.shape[3]) == (batch, channels)
        ]
        first, transposed, depth = str(self.pick(fitting)), 1, channels // heads
        if self.rng.random() < 0.4:
            values = {"heads": heads, "size": (channels // heads, 1)}
            first, transposed, depth = (
                self.add("transpose", (b,), "int8", values),
                0,
                height * width,
            )
        dtype = self.pick(("int8", "int16", "int32"))
        bits = 14 + depth.bit_length() // 2
        ratio = self.ratio(23 + max(bits - BITS[dtype], 0))
        values = {"heads": heads, "transposed": transposed, **ratio, **self.limits(dtype)}
        self.add("matmul", (first, b), dtype, values)

    def spread(self, name: str) -> str:
        """A convolution that leaves a row or all, a column or all, a channel or all."""
        info = self.tensors[name]
        kernel = [self.pick((1, side)) for side in info.shape[1:3]]
        outputs = self.pick((1, info.shape[3]))
        weight = self.weights((outputs, *kernel, info.shape[3]), info)
        size = int(np.abs(weight).sum((1, 2, 3)).max()).bit_length() + BITS[info.dtype]
        attributes = {
            "stride": (1, 1),
            "padding": (0, 0),
            "dilation": (1, 1),
            "groups": 1,
            "weight": weight.astype(np.int8),
            "bias": np.zeros(outputs, np.int32),
            **self.ratio(max(12 + size, 2), outputs),
            **self.limits("int8"),
        }
        return self.add("conv2d", (name,), "int8", attributes)

    def average(self) -> None:
        """Windows of all kinds, and means over parts of the map or all of it."""
        name = self.any("int8", "int16")
        assert name is not None
        info = self.tensors[name]
        dtype = self.pick(("int8", "int16", "int32"))
        bits = 22 + max(BITS[info.dtype] - BITS[dtype], 0) - int(self.rng.integers(0, 3))
        attributes = {**self.ratio(bits), **self.limits(dtype)}
        if self.rng.random() < 0.4:
            sides = info.shape[1:3]
            size = tuple(self.pick([n for n in range(1, s + 1) if s % n == 0]) for s in sides)
            self.add("adaptive_avg_pool2d", (name,), dtype, {"size": size, **attributes})
            return
        kernel = self.pick(KERNELS)
        padding = tuple(int(self.rng.integers(0, side // 2 + 1)) for side in kernel)
        attributes |= {"kernel": kernel, "stride": self.pick(((1, 1), (2, 2), (3, 1)))}
        attributes |= {"padding": padding, "ceil": self.pick((0, 1))}
        attributes |= {"include_pad": self.pick((0, 1)), "divisor": self.pick((0, 0, 0, 5))}
        try:
            self.add("avg_pool2d", (name,), dtype, attributes)
        except InputError:  # no room for the kernel
            return

    def concat(self) -> None:
        first = self.any("int8", "int16", "int32")
        assert first is not None
        info = self.tensors[first]
        axis = self.pick((3, 3, 3, 0))
        fitting = [
            name
            for name, other in self.tensors.items()
            if other.dtype == info.dtype
            and all(other.shape[i] == info.shape[i] for i in range(4) if i != axis)
        ]
        count = int(self.rng.integers(1, 4))
        names = [first, *(self.pick(fitting) for _ in range(count))]
        if sum(self.tensors[name].shape[axis] for name in names) > (4 if axis == 0 else 160):
            return
        self.rng.shuffle(names)
        self.add("concat", tuple(names), info.dtype, {"axis": axis})

    def slice(self) -> None:
        name = self.any("int8", "int16", "int32")
        assert name is not None
        info = self.tensors[name]
        axis = self.pick((0, 3, 3))
        start = int(self.rng.integers(0, info.shape[axis]))
        stop = int(self.rng.integers(start + 1, info.shape[axis] + 1))
        self.add("slice", (name,), info.dtype, {"axis": axis, "start": start, "stop": stop})


def random_graph(seed: int, count: int = 10) -> Graph:
    """About ``count`` nodes and up to two average poolings; what nobody reads is an output."""
    rng = np.random.default_rng(seed)
    builder = Builder(rng, inputs=int(rng.integers(1, 3)), batch=int(rng.integers(1, 3)))
    builder.convolution("conv2d")
    steps = [
        *[lambda: builder.convolution("conv2d")] * 6,
        *[lambda: builder.convolution("conv_transpose2d")] * 2,
        builder.correlation,
        builder.warp,
        lambda: builder.rescale(str(builder.any("int8", "int16", "int32"))),
        builder.sum,
        builder.product,
        builder.product,
        builder.matrices,
        builder.concat,
        builder.concat,
        builder.slice,
    ]
    while len(builder.nodes) < count:
        builder.pick(steps)()
    for _ in range(2):
        builder.average()
    read = {name for node in builder.nodes for name in node.inputs}
    made = [node.output for node in builder.nodes]
    outputs = tuple(name for name in made if name not in read)
    graph = Graph(
        f"random {seed}",
        builder.tensors,
        tuple(builder.nodes),
        tuple(builder.inputs),
        outputs,
        {"size_multiple": 1},
    )
    verify(graph)
    return graph


def random_inputs(graph: Graph, rng: np.random.Generator, kind: str) -> dict[str, np.ndarray]:
    """Inputs: "any" values, the "extreme" ones of the type, or the "lowest" alone."""
    values = {}
    for name in graph.inputs:
        info = graph.tensors[name]
        low, high = LIMITS[info.dtype]
        if kind == "any":
            values[name] = rng.integers(low, high, info.shape, endpoint=True)
        elif kind == "extreme":
            values[name] = rng.choice([low, high], info.shape)
        else:
            values[name] = np.full(info.shape, low)
    return values
