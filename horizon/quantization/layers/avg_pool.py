"""Average pooling, means and sums over rows and columns: one rounding, to a scale of its own.

Means reach less far than what they are taken of (over a whole map often a tenth), so that the
input's scale would leave most of the output's integers unused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import Graph, Node
from horizon.hbir.fixed_point import ACCUMULATOR_LIMIT, quantize_ratio
from horizon.hbir.operators import OPERATORS
from horizon.hbir.operators.pool_windows import PoolWindows
from horizon.hbm import Opcode
from horizon.hbm.weights import channel_table
from horizon.isa.bounds import MAX_STEP
from horizon.quantization.arithmetic import native
from horizon.quantization.arithmetic.training import activation_dtype, round_ratio, round_ste
from horizon.quantization.layers.converted import QuantizedLayer, bits_of, scale_of
from horizon.quantization.layers.max_pool import pair
from horizon.quantization.layers.prepared import QATLayer, refuse_accumulators, refuse_plain
from horizon.quantization.layers.reductions import Sum2d
from horizon.quantization.layers.twin import Bound, Twin
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import DTYPES, LIMITS, QTensor
from horizon.quantization.scales.fake_quantize import FakeQuantize

WINDOWED, ADAPTIVE = "avg_pool2d", "adaptive_avg_pool2d"


class QATAvgPool2d(QATLayer):
    """nn.AvgPool2d, nn.AdaptiveAvgPool2d, and means and sums over rows and columns."""

    def __init__(self, source: nn.Module, qconfig: QConfig, layer: str) -> None:
        super().__init__(layer)
        assert isinstance(source, nn.AvgPool2d | nn.AdaptiveAvgPool2d)
        if isinstance(source, nn.AvgPool2d) and (source.divisor_override or 1) < 1:
            raise InputError(
                f"{layer}: divisor_override {source.divisor_override}; expected a positive number; "
                "put a sign into the weights of the convolution behind it"
            )
        self.source = source
        self.add_module("act_quant", FakeQuantize(qconfig.activation, layer))

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: Any
    ) -> tuple[Tensor | None, int]:
        (x,) = inputs
        refuse_plain(layer, x)
        refuse_accumulators(layer, x, verb="averages")
        x.one_scale(layer)
        check_windows(cls(source, qconfig, layer).windows(x), x.bits, layer)
        return None, qconfig.activation.bits

    def geometry(self, x: QTensor) -> tuple[str, dict[str, Any]]:
        """The operator, and the attributes that say where its windows lie."""
        source = self.source
        if isinstance(source, nn.AdaptiveAvgPool2d):
            given = source.output_size
            both = given if isinstance(given, tuple | list) else (given, given)
            rows, columns = (
                side if n is None else int(n) for n, side in zip(both, x.shape[-2:], strict=True)
            )
            check_divides(self.layer, x, (rows, columns))
            undivided = {"divisor": source.divisor} if isinstance(source, Sum2d) else {}
            return ADAPTIVE, {"size": (rows, columns), **undivided}
        return WINDOWED, {
            "kernel": pair(source.kernel_size),
            "stride": pair(source.stride or source.kernel_size),
            "padding": pair(source.padding),
            "ceil": int(source.ceil_mode),
            "include_pad": int(source.count_include_pad),
            "divisor": int(source.divisor_override or 0),
        }

    def windows(self, x: QTensor) -> PoolWindows:
        """The windows on an input of this size."""
        return windows_of(self.layer, *self.geometry(x), x)

    def forward(self, x: QTensor) -> QTensor:
        self.check(x)
        if self.exact:
            result: QTensor = self.lowered(x, self.geometry(x))(x)
            return result
        quant = self.act_quant
        if self.in_float:
            return self.real_result(self.source(x.values), quant.bits)
        windows = self.windows(x)
        kind = torch.float32 if x.bits == 8 else torch.float64
        total = sums(x.values.to(kind), windows)
        divisors = torch.from_numpy(windows.divisors()).to(total)
        scale = x.one_scale(self.layer)
        if quant.follows:
            quant.follow((total / divisors).detach().abs().max().float() * scale.detach())
        out = quant.current()
        # float64, in which every product and sum is exact.
        ratio = round_ratio(round_ratio(scale / out).double() / divisors)
        values = round_ste(total.double() * ratio).clamp(quant.low, quant.high)
        return QTensor(values.to(activation_dtype(quant.bits, values.device)), out, quant.bits)

    def lower(self, x: QTensor, geometry: tuple[str, dict[str, Any]]) -> QuantizedAvgPool2d:
        quant = self.act_quant
        out = quant.current()
        refuse_accumulators(self.layer, x, verb="averages")
        check_windows(windows_of(self.layer, *geometry, x), x.bits, self.layer)
        own = float(x.one_scale(self.layer).double())
        multiplier, shift = quantize_ratio(own / float(out.double()), self.layer)
        low, high = LIMITS[quant.bits]
        operator, values = geometry
        ratio = {"multiplier": multiplier, "shift": shift, "lo": low, "hi": high}
        scale = out.detach().clone()
        return QuantizedAvgPool2d(self.layer, operator, values | ratio, scale, quant.bits)


class QuantizedAvgPool2d(QuantizedLayer):
    """The converted average pooling.

    Args:
        operator: of the program's node. values: its attributes.
    """

    def __init__(
        self, layer: str, operator: str, values: Mapping[str, Any], scale: Tensor, bits: int
    ) -> None:
        super().__init__(layer)
        self.operator, self.values, self.bits = operator, dict(values), bits
        self.register_buffer("scale", scale)

    def forward(self, x: QTensor) -> QTensor:
        windows = windows_of(self.layer, self.operator, self.values, x)
        node, shape = _node(self.layer, self.operator, self.values), _nhwc(x)
        definition, dtype = OPERATORS[self.operator], DTYPES[self.bits]
        columns = definition.table(node, [shape])
        limits = self.values["lo"], self.values["hi"]
        if x.device.type == "cpu":
            fields = definition.fields(node, [shape], (0,) * 4, [(0,) * 4])
            fields |= dict(zip(("lo", "hi"), limits, strict=True))
            table = channel_table(**columns)
            values = native.compute(
                Opcode.avg_pool, x.integers(), windows.size, fields, table, dtype
            )
        else:
            divisors = torch.from_numpy(windows.divisors()).to(x.device)
            first = torch.tensor(self.values["multiplier"] * 2.0 ** -self.values["shift"])
            ratio = round_ratio(first.double().to(x.device) / divisors).double()
            total = sums(x.integers().double(), windows)
            values = (total * ratio + 0.5).floor_().clamp_(*limits).to(dtype)
        return self.emit(self.operator, [x], values, self.scale, self.bits)

    def attributes(self) -> dict[str, Any]:
        return dict(self.values)


def sums(x: Tensor, windows: PoolWindows) -> Tensor:
    """The sum of each window of ``x`` (N, C, H, W); outside of it is 0."""
    padded = windows.padding
    reach = [
        (size - 1) * stride + kernel - side - 2 * padding
        for size, stride, kernel, side, padding in zip(
            windows.size, windows.stride, windows.kernel, windows.sides, padded, strict=True
        )
    ]
    ceil = max(reach) > 0  # a last window beyond the padding
    return functional.avg_pool2d(
        x, windows.kernel, windows.stride, padded, ceil, divisor_override=1
    )


def _node(layer: str, operator: str, values: Mapping[str, Any]) -> Node:
    return Node(operator, layer, ("x",), "y", dict(values))


def _nhwc(x: QTensor) -> tuple[int, int, int, int]:
    batch, channels, height, width = x.shape
    return batch, height, width, channels


def windows_of(layer: str, operator: str, values: Mapping[str, Any], x: QTensor) -> PoolWindows:
    """The windows of a node on an input of this size."""
    windows: PoolWindows = OPERATORS[operator].windows(  # type: ignore[attr-defined]
        _node(layer, operator, values), _nhwc(x)
    )
    return windows


def check_divides(layer: str, x: QTensor, size: tuple[int, int]) -> None:
    """InputError where parts of the map would differ in size."""
    if min(size) < 1 or any(side % n for side, n in zip(x.shape[-2:], size, strict=True)):
        height, width = x.shape[-2:]
        raise InputError(
            f"{layer}: a map of {height} x {width} averaged to {size[0]} x {size[1]}; expected "
            "sizes that divide the map, so that all windows are equal: choose such a size, pad or "
            "resize the map before, or use nn.AvgPool2d"
        )


def check_windows(windows: PoolWindows, bits: int, layer: str) -> None:
    """InputError for windows that a program cannot have."""
    rows, columns = windows.kernel
    if max(*windows.kernel, *windows.stride) > MAX_STEP:
        raise InputError(
            f"{layer}: windows of {rows} x {columns}; expected at most {MAX_STEP} rows and "
            "columns: average twice, first over smaller windows (nn.AvgPool2d)"
        )
    bound = windows.largest * -LIMITS[bits][0]
    if bound >= ACCUMULATOR_LIMIT:
        raise InputError(
            f"{layer}: the sum of a window of {rows} x {columns} int{bits} numbers could reach "
            f"{bound}; expected below 2**28: give the layer before it an int8 output, or average "
            "twice, first over smaller windows (nn.AvgPool2d)"
        )


def average_of(node: Node, graph: Graph) -> QuantizedAvgPool2d:
    """The converted layer of a node."""
    output = graph.tensors[node.output]
    return QuantizedAvgPool2d(
        node.name, node.op, node.attributes, scale_of(output), bits_of(output)
    )


def bind_avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Bound:
    """``F.avg_pool2d`` as a layer."""
    numbers = pair(kernel_size), pair(stride or kernel_size), pair(padding)
    options = bool(ceil_mode), bool(count_include_pad), divisor_override
    config = (*numbers, *options)
    return Bound("avg_pool2d", config, lambda: nn.AvgPool2d(*numbers, *options), (input,))


def bind_adaptive(input: Any, output_size: Any) -> Bound:
    """``F.adaptive_avg_pool2d`` as a layer."""
    size = output_size if isinstance(output_size, list | tuple) else (output_size, output_size)
    rows, columns = (None if n is None else int(n) for n in size)
    source = lambda: nn.AdaptiveAvgPool2d((rows, columns))  # noqa: E731
    return Bound("adaptive_avg_pool2d", (rows, columns), source, (input,))


TWIN = Twin(
    (nn.AvgPool2d, nn.AdaptiveAvgPool2d),
    QATAvgPool2d,
    dict.fromkeys((WINDOWED, ADAPTIVE), average_of),
    {
        functional.avg_pool2d: bind_avg_pool2d,
        **dict.fromkeys(
            (functional.adaptive_avg_pool2d, torch._C._nn.adaptive_avg_pool2d), bind_adaptive
        ),
    },
)
