"""Random small programs of all operators, with odd sizes, tails, and tensors with many readers."""

from __future__ import annotations

from typing import Any

import numpy as np

from horizon.hbir.fixed_point import LIMITS
from horizon.hbir.graph import Graph, verify
from horizon.hbir.node import Node, TensorInfo
from horizon.hbir.operators import OPERATORS

ONE = 1 << 23
SHIFTS = {"int8": 32, "int16": 26, "int32": 23}
CHANNELS = (1, 2, 3, 4, 5, 15, 16, 17, 33, 40)


class RandomGraph:
    """Adds random nodes whose inputs are random earlier tensors."""

    def __init__(self, seed: int, nodes: int = 9) -> None:
        self.rng = np.random.default_rng(seed)
        self.second = np.random.default_rng((seed, 1))  # leaves the draws of the first alone
        self.tensors: dict[str, TensorInfo] = {}
        self.nodes: list[Node] = []
        self.inputs: list[str] = []
        batch = self.pick((1, 1, 2, 3))
        height, width = self.pick((1, 5, 8, 13)), self.pick((1, 6, 9, 16))
        for _ in range(self.pick((1, 1, 2))):
            shape = (batch, height, width, self.pick((2, 3, 6, 17)))
            dtype = self.pick(("int8", "int16")) if self.inputs else "int8"
            self.inputs.append(self.tensor(shape, dtype))
        makers = (
            [self.conv] * 4
            + [self.depthwise]
            + [self.transposed, self.correlation, self.warp, self.rescale, self.clamp, self.add]
            + [self.pool, self.average, self.adaptive, self.resize, self.lookup]
            + [self.mul, self.mul, self.matmul, self.transpose]
            + [self.concat, self.concat, self.slice, self.repeat]
        )
        while len(self.nodes) < nodes:
            makers[self.rng.integers(len(makers))]()

    def graph(self) -> Graph:
        """The program, with up to three outputs: the last tensor and any that nodes make."""
        made = [node.output for node in self.nodes]
        outputs = {made[-1]: None} | dict.fromkeys(self.rng.choice(made, self.pick((0, 1, 2))))
        names = tuple(str(name) for name in outputs)
        result = Graph("random", self.tensors, tuple(self.nodes), tuple(self.inputs), names, {})
        verify(result)
        return result

    def pick(self, values: Any) -> Any:
        return values[self.rng.integers(len(values))]

    def tensor(self, shape: Any, dtype: str) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors[name] = TensorInfo(name, tuple(int(s) for s in shape), dtype, (1 / 64,))
        return name

    def node(self, op: str, inputs: list[str], shape: Any, dtype: str, values: dict) -> str:
        if self.rng.random() < 0.3:
            values = values | self.slopes(op, values)
        output = self.tensor(shape, dtype)
        self.nodes.append(Node(op, f"n{len(self.nodes)}", tuple(inputs), output, values))
        return output

    def any(self, *dtypes: str) -> TensorInfo:
        found = [info for info in self.tensors.values() if info.dtype in dtypes]
        # Recent tensors are more likely, so that programs become deep.
        return found[max(self.rng.integers(len(found), size=2))]

    def like(self, info: TensorInfo, *dtypes: str) -> TensorInfo:
        same = [t for t in self.tensors.values() if t.shape == info.shape and t.dtype in dtypes]
        return self.pick(same)

    def limits(self, dtype: str) -> dict[str, int]:
        low, high = LIMITS[dtype]
        return {"lo": self.pick((low, 0)), "hi": self.pick((high, high // 2))}

    def slopes(self, op: str, values: dict) -> dict[str, Any]:
        """Multipliers of negative sums, where the operator can have them."""
        return {
            below: self.rng.integers(-2 * ONE, 2 * ONE, len(values[above]))
            if isinstance(values[above], np.ndarray)
            else int(self.rng.integers(-2 * ONE, 2 * ONE))
            for above, below in OPERATORS[op].slopes.items()
            if above in values
        }

    def weights(self, x: TensorInfo, kernel: tuple[int, int], inputs: int) -> dict[str, Any]:
        channels = self.pick(CHANNELS)
        limit = 127 if x.dtype == "int8" else 3
        dtype = self.pick(("int8", "int8", "int16", "int32"))
        shift = SHIFTS[dtype] + (0 if x.dtype == "int8" else 2)
        weight = self.rng.integers(-limit, limit + 1, (channels, *kernel, inputs)).astype(np.int8)
        return {
            "dtype": dtype,
            "values": {
                "weight": weight,
                "bias": self.rng.integers(-5000, 5001, channels).astype(np.int32),
                "multiplier": self.rng.integers(ONE, 2 * ONE, channels),
                "shift": self.rng.integers(shift, shift + 3, channels),
                **self.limits(dtype),
            },
        }

    def ends(self, padding: tuple[int, int]) -> tuple[int, int]:
        """Zeros below and at the right: mostly as many as above and at the left."""
        if self.rng.random() < 0.7:
            return padding
        return self.pick((0, 1, 2)), self.pick((0, 1, 2))

    def conv(self) -> None:
        x = self.any("int8", "int16")
        n, height, width, channels = x.shape
        kernel = self.pick(((1, 1), (3, 3), (3, 3), (2, 5)))
        stride, dilation = self.pick(((1, 1), (1, 1), (2, 2), (1, 3))), self.pick((1, 1, 2, 4))
        padding = (self.pick((0, 1, 2, 4)), self.pick((0, 1, 3)))
        ends = self.ends(padding)
        sides = [
            (side + p + e - dilation * (k - 1) - 1) // s + 1
            for side, p, e, k, s in zip((height, width), padding, ends, kernel, stride, strict=True)
        ]
        if min(sides) < 1 or max(sides) > 24:
            return
        made = self.weights(x, kernel, channels)
        values = made["values"] | {"stride": stride, "padding": padding}
        values |= {"dilation": (dilation, dilation), "groups": 1}
        if ends != padding or self.rng.random() < 0.1:
            values["end_padding"] = ends
        outputs = len(values["bias"])
        if self.rng.random() < 0.15 and channels % 2 == 0 == outputs % 2:
            values |= {"groups": 2, "weight": values["weight"][..., : channels // 2].copy()}
        shape = (n, *sides, outputs)
        inputs = [x.name]
        same = [t for t in self.tensors.values() if t.shape == shape and t.dtype != "int32"]
        if same and self.rng.random() < 0.5:
            inputs.append(self.pick(same).name)
            high = self.pick((2, 2 * ONE))  # 0 and 1 now and then
            values["residual_multiplier"] = self.rng.integers(0, high, outputs)
        self.node("conv2d", inputs, shape, made["dtype"], values)

    def depthwise(self) -> None:
        """Each output reads one input, or a few outputs do."""
        x = self.any("int8", "int16")
        n, height, width, channels = x.shape
        kernel = self.pick(((1, 1), (3, 3), (3, 3), (5, 2)))
        stride, dilation = self.pick(((1, 1), (1, 1), (2, 2), (1, 3))), self.pick((1, 1, 2))
        padding = (self.pick((0, 1, 2)), self.pick((0, 1, 3)))
        ends = self.ends(padding)
        sides = [
            (side + p + e - dilation * (k - 1) - 1) // s + 1
            for side, p, e, k, s in zip((height, width), padding, ends, kernel, stride, strict=True)
        ]
        if min(sides) < 1 or max(sides) > 24 or channels > 90:
            return
        made = self.weights(x, kernel, 1)
        values = made["values"] | {"stride": stride, "padding": padding}
        values |= {"dilation": (dilation, dilation), "groups": channels}
        if ends != padding:
            values["end_padding"] = ends
        outputs = channels * self.pick((1, 1, 1, 2))
        for key in ("weight", "bias", "multiplier", "shift"):
            values[key] = np.resize(values[key], (outputs, *values[key].shape[1:]))
        shape = (n, *sides, outputs)
        inputs = [x.name]
        same = [t for t in self.tensors.values() if t.shape == shape and t.dtype != "int32"]
        if same and self.rng.random() < 0.5:
            inputs.append(self.pick(same).name)
            values["residual_multiplier"] = self.rng.integers(0, 2 * ONE, outputs)
        self.node("conv2d", inputs, shape, made["dtype"], values)

    def transposed(self) -> None:
        x = self.any("int8", "int16")
        n, height, width, channels = x.shape
        kernel, stride = self.pick(((4, 4), (2, 3), (1, 1))), self.pick(((2, 2), (1, 3)))
        padding = self.pick(((0, 0), (1, 1)))
        more = tuple(int(self.second.choice((0, 0, step - 1))) for step in stride)
        sides = [
            (side - 1) * s - 2 * p + k + m
            for side, s, p, k, m in zip((height, width), stride, padding, kernel, more, strict=True)
        ]
        if min(sides) < 1 or max(sides) > 30:
            return
        made = self.weights(x, kernel, channels)
        values = made["values"] | {"stride": stride, "padding": padding}
        if any(more):
            values["output_padding"] = more
        outputs = len(values["bias"])
        if self.second.random() < 0.3 and channels % 2 == 0 == outputs % 2:
            values |= {"groups": 2, "weight": values["weight"][..., : channels // 2].copy()}
        shape = (n, *sides, outputs)
        self.node("conv_transpose2d", [x.name], shape, made["dtype"], values)

    def correlation(self) -> None:
        a = self.any("int8")
        b = self.like(a, "int8")
        reach = self.pick((0, 1, 2, 4))
        shape = (*a.shape[:3], (2 * reach + 1) ** 2)
        values = {"max_displacement": reach, "multiplier": ONE + 12345, "shift": 33}
        self.node("correlation", [a.name, b.name], shape, "int8", values | self.limits("int8"))

    def warp(self) -> None:
        feature = self.any("int8", "int16")
        shape = (*feature.shape[:3], 2)
        found = [t for t in self.tensors.values() if t.shape == shape and t.dtype == "int16"]
        if found:
            values = {"offset_multiplier": ONE + 777, "offset_shift": self.pick((31, 36))}
            inputs = [feature.name, self.pick(found).name]
            self.node("warp", inputs, feature.shape, feature.dtype, values)
            return
        made = self.weights(feature, (1, 1), feature.shape[3])["values"]
        for key in ("weight", "bias", "multiplier", "shift"):
            made[key] = np.resize(made[key], (2, *made[key].shape[1:]))
        made |= {"shift": np.array([26, 27]), "lo": -32768, "hi": 32767, "stride": (1, 1)}
        made |= {"padding": (0, 0), "dilation": (1, 1), "groups": 1}
        self.node("conv2d", [feature.name], shape, "int16", made)

    def rescale(self) -> None:
        x = self.any("int8", "int16", "int32")
        dtype = self.pick(("int8", "int16", "int32"))
        shift = self.pick((22, 23, 24)) if dtype != "int8" or x.dtype == "int8" else 30
        values: dict[str, Any] = {"multiplier": ONE + 4321, "shift": shift, **self.limits(dtype)}
        if self.rng.random() < 0.5:
            values["multiplier"] = self.rng.integers(ONE, 2 * ONE, x.shape[3])
        self.node("rescale", [x.name], x.shape, dtype, values)

    def clamp(self) -> None:
        x = self.any("int8", "int16", "int32")
        values = {"multiplier": ONE, "shift": 23, **self.limits(x.dtype)}
        self.node("rescale", [x.name], x.shape, x.dtype, values)

    def add(self) -> None:
        a = self.any("int8", "int16", "int32")
        b = self.like(a, "int8", "int16", "int32")
        dtype = self.pick(("int8", "int16", "int32"))
        values = {"multiplier_a": self.pick((0, ONE + 99)), "multiplier_b": ONE // 3, "shift": 24}
        self.node("add", [a.name, b.name], a.shape, dtype, values | self.limits(dtype))

    def mul(self) -> None:
        """By a tensor as large, by one factor for each channel, pixel, row or image, or by one."""
        a = self.any("int8", "int16")
        sides = [side if self.rng.random() < 0.5 else 1 for side in a.shape]
        found = [t for t in self.tensors.values() if t.dtype != "int32" and list(t.shape) == sides]
        if not found and max(a.shape[1:3]) > 16:
            return  # larger kernels than machines have
        b = self.pick(found) if found else self.made_small(a, sides)
        dtype = self.pick(("int8", "int16", "int32"))
        bits = {"int8": 7, "int16": 15, "int32": 30}
        shift = max(24 + bits[a.dtype] + bits[b.dtype] - bits[dtype] - self.pick((0, 2)), 1)
        values = {"multiplier": ONE + 99, "shift": shift} | self.limits(dtype)
        self.node("mul", [a.name, b.name], a.shape, dtype, values)

    def matmul(self) -> None:
        """Pixels of one tensor with all of another of its batch, in one head or several."""
        b = self.any("int8", "int8", "int16")
        batch, height, width, channels = b.shape
        heads = self.pick([g for g in (1, 1, 2, 3, channels) if channels % g == 0])
        transposed, places = self.pick((0, 1)), heads * height * width
        depth = channels // heads if transposed else height * width
        wanted = channels if transposed else places
        found = [
            t
            for t in self.tensors.values()
            if t.shape[0] == batch and t.shape[3] >= wanted and t.dtype != "int32"
        ]
        if not found or places > 81:  # as many channels as a correlation gives
            return
        a = self.pick(found)
        bits = {"int8": 7, "int16": 15, "int32": 30}
        if depth << (bits[a.dtype] + bits[b.dtype]) >= 1 << 28:
            return
        source, shape = a.name, (*a.shape[:3], places if transposed else channels)
        if a.shape[3] > wanted:
            values = {"axis": 3, "start": a.shape[3] - wanted, "stop": a.shape[3]}
            source = self.node("slice", [source], (*a.shape[:3], wanted), a.dtype, values)
        dtype = self.pick(("int8", "int16", "int32"))
        shift = max(24 + bits[a.dtype] + bits[b.dtype] - bits[dtype] + self.pick((0, 2)), 1)
        values = {"heads": heads, "transposed": transposed, "multiplier": ONE + 99}
        values |= {"shift": shift} | self.limits(dtype)
        self.node("matmul", [source, b.name], shape, dtype, values)

    def transpose(self) -> None:
        """Pixels and channels of a small map exchanged, in one head or several."""
        x = self.any("int8", "int16", "int32")
        batch, height, width, channels = x.shape
        heads = self.pick([h for h in (1, 1, 2, 3) if channels % h == 0])
        if heads * height * width > 81:
            return
        size = self.pick([(1, channels // heads), (channels // heads, 1)])
        shape = (batch, *size, heads * height * width)
        self.node("transpose", [x.name], shape, x.dtype, {"heads": heads, "size": size})

    def made_small(self, x: TensorInfo, sides: list[int]) -> TensorInfo:
        """A tensor of these sides, which are those of ``x`` or 1: its first image, convolved."""
        source = x.name
        if sides[0] != x.shape[0]:
            values = {"axis": 0, "start": 0, "stop": 1}
            source = self.node("slice", [source], (1, *x.shape[1:]), x.dtype, values)
        kernel = [side if small == 1 else 1 for side, small in zip(x.shape, sides, strict=True)][
            1:3
        ]
        most = 3 if x.dtype == "int8" else 1  # so that the sums of all of a map stay below 2^28
        shape = (sides[3], *kernel, x.shape[3])
        weight = self.rng.integers(-most, most + 1, shape).astype(np.int8)
        if x.dtype == "int16":
            weight[:, :, :, 16:] = 0
        values = {"weight": weight, "bias": np.zeros(sides[3], np.int32)}
        bits = 28 if x.dtype == "int8" else 36
        values |= {"multiplier": np.full(sides[3], ONE), "shift": np.full(sides[3], bits)}
        values |= {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
        output = self.node("conv2d", [source], sides, "int8", values | self.limits("int8"))
        return self.tensors[output]

    def pool(self) -> None:
        x = self.any("int8", "int16", "int32")
        kernel, stride = self.pick(((2, 2), (3, 3), (3, 1))), self.pick(((2, 2), (1, 1), (3, 2)))
        padding = self.pick(((0, 0), (kernel[0] // 2, kernel[1] // 2)))
        values = {"kernel": kernel, "stride": stride, "padding": padding, "ceil": self.pick((0, 1))}
        if all(s + 2 * p >= k for s, p, k in zip(x.shape[1:3], padding, kernel, strict=True)):
            node = Node("max_pool2d", "pool", (x.name,), "y", values)
            self.node(
                "max_pool2d", [x.name], OPERATORS["max_pool2d"].infer(node, [x]), x.dtype, values
            )

    def lookup(self) -> None:
        x, dtype = self.any("int8"), self.pick(("int8", "int8", "int16"))
        table = self.rng.integers(*LIMITS[dtype], 256, dtype, endpoint=True)
        values = {"function": self.pick(("silu", "elu(0.5)")), "table": table}
        self.node("lookup", [x.name], x.shape, dtype, values)

    def average(self) -> None:
        x = self.any("int8", "int16")
        kernel, stride = self.pick(((2, 2), (3, 3), (4, 1))), self.pick(((2, 2), (1, 1), (3, 2)))
        padding = self.pick(((0, 0), (kernel[0] // 2, kernel[1] // 2)))
        dtype = self.pick(("int8", "int16", "int32"))
        values = {"kernel": kernel, "stride": stride, "padding": padding, "ceil": self.pick((0, 1))}
        values |= {"include_pad": self.pick((0, 1)), "divisor": self.pick((0, 0, 7))}
        values |= self.mean(x.dtype, dtype)
        if all(s + 2 * p >= k for s, p, k in zip(x.shape[1:3], padding, kernel, strict=True)):
            node = Node("avg_pool2d", "average", (x.name,), "y", values)
            shape = OPERATORS["avg_pool2d"].infer(node, [x])
            self.node("avg_pool2d", [x.name], shape, dtype, values)

    def adaptive(self) -> None:
        x = self.any("int8", "int16")
        _, height, width, _ = x.shape
        size = tuple(
            self.pick([n for n in range(1, side + 1) if side % n == 0]) for side in (height, width)
        )
        shape = (x.shape[0], *size, x.shape[3])
        if self.pick((False, False, True)):
            self.node("adaptive_max_pool2d", [x.name], shape, x.dtype, {"size": size})
            return
        dtype = self.pick(("int8", "int16", "int32"))
        values = {"size": size, **self.mean(x.dtype, dtype)}
        values |= self.pick(({}, {"divisor": 1}))
        self.node("adaptive_avg_pool2d", [x.name], shape, dtype, values)

    def mean(self, dtype: str, out: str) -> dict[str, int]:
        """A ratio around that of the types' largest numbers, and limits."""
        bits = {"int8": 8, "int16": 16, "int32": 24}
        shift = 23 + bits[dtype] - bits[out] + self.pick((-1, 0, 1))
        return {"multiplier": ONE + self.pick((0, 12345)), "shift": shift, **self.limits(out)}

    def resize(self) -> None:
        x = self.any("int8", "int16")
        factors = self.pick(
            (((2, 2), (1, 1)), ((1, 3), (1, 1)), ((1, 1), (2, 2)), ((2, 1), (1, 3)))
        )
        flags = self.pick(((0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 1, 0)))
        values = dict(zip(("up", "down"), factors, strict=True))
        values |= dict(zip(("bilinear", "align_corners", "exact"), flags, strict=True))
        node = Node("resize", "resize", (x.name,), "y", values)
        sides = [s * u // d for s, u, d in zip(x.shape[1:3], *factors, strict=True)]
        if min(sides) >= 1 and max(sides) <= 40:
            self.node("resize", [x.name], OPERATORS["resize"].infer(node, [x]), x.dtype, values)

    def concat(self) -> None:
        axis = self.pick((0, 1, 2, 3, 3, 3))
        first = self.any("int8", "int16", "int32")
        others = [
            t
            for t in self.tensors.values()
            if t.dtype == first.dtype
            and all(t.shape[i] == first.shape[i] for i in range(4) if i != axis)
        ]
        parts = [first, *(self.pick(others) for _ in range(self.pick((0, 1, 2, 3))))]
        self.rng.shuffle(parts)  # type: ignore[arg-type]
        shape = list(first.shape)
        shape[axis] = sum(t.shape[axis] for t in parts)
        if shape[axis] <= (90 if axis == 3 else 24):
            names = [t.name for t in parts]
            self.node("concat", names, shape, first.dtype, {"axis": axis})

    def slice(self) -> None:
        x = self.any("int8", "int16", "int32")
        axis = self.pick((0, 1, 2, 3))
        start, stop = sorted(int(v) for v in self.rng.integers(0, x.shape[axis] + 1, 2))
        if start < stop:
            shape = list(x.shape)
            shape[axis] = stop - start
            values = {"axis": axis, "start": start, "stop": stop}
            self.node("slice", [x.name], shape, x.dtype, values)

    def repeat(self) -> None:
        """A node once more under another name."""
        if self.nodes:
            node = self.pick(self.nodes)
            info = self.tensors[node.output]
            self.node(node.op, list(node.inputs), info.shape, info.dtype, dict(node.attributes))


def random_graph(seed: int, nodes: int = 9) -> Graph:
    return RandomGraph(seed, nodes).graph()


def random_inputs(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    infos = [graph.tensors[name] for name in graph.inputs]
    return {t.name: rng.integers(*LIMITS[t.dtype], t.shape, endpoint=True) for t in infos}
