"""Matrix products of quantised tensors: training, conversion and every executor on one result."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.ao.nn.quantized import FloatFunctional as TorchFunctional
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import Graph
from horizon.nn import DeQuantStub, FloatFunctional, QuantStub
from horizon.nn.map_product import map_product
from horizon.quantization import (
    IntegerModel,
    QTensor,
    convert,
    get_default_qat_out_qconfig,
    prepare_calibration,
    trace,
)
from horizon.quantization.arithmetic import kernels, native
from horizon.quantization.layers.matmul import MatrixProduct, QATMatrixProduct
from horizon.quantization.qtensor import DTYPES, LIMITS
from tests.horizon.quantization.everywhere import program_of, trained
from tests.horizon.quantization.executors import check_exports, check_programs
from tests.horizon.quantization.small_models import (
    MINMAX,
    WIDE,
    Single,
    assert_all_stages,
    assert_is_reference,
    calibrated,
    images,
    in_evaluation,
    in_training,
    integers,
    set_scale,
)

# Heads, whether the second is transposed, and the shapes (N, C, H, W) of both factors.
FORMS = {
    "one channel": (1, True, (1, 1, 4, 5), (1, 1, 3, 2)),
    "31 channels": (1, True, (2, 31, 1, 4), (2, 31, 2, 2)),
    "three heads of 33": (3, True, (1, 99, 2, 3), (1, 99, 1, 5)),
    "one pixel": (2, True, (1, 6, 1, 1), (1, 6, 1, 1)),
    "mixed pixels": (1, False, (1, 6, 4, 5), (1, 3, 2, 3)),
    "two heads of mixed pixels": (2, False, (2, 10, 1, 3), (2, 66, 1, 5)),
    "one mixed pixel": (3, False, (1, 3, 2, 2), (1, 3, 1, 1)),
}
INT32 = get_default_qat_out_qconfig(2.0**-12)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("bits", [(8, 8), (8, 16), (16, 8)])
@pytest.mark.parametrize("out", [MINMAX, WIDE, INT32], ids=["int8", "int16", "int32"])
def test_products_equal_the_reference(form, bits, out):
    heads, transposed, *shapes = form
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(shape, generator=generator) for shape in shapes]
    model = Single(MatrixProduct(heads, transposed), [0.013, 0.0017], bits, None, out)
    graph = assert_is_reference(calibrated(model, inputs), inputs)
    assert [node.op for node in graph.nodes] == ["matmul"]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("bits", [8, 16])
def test_the_kernels_of_cpus_and_gpus(form, bits):
    heads, transposed, *shapes = form
    for seed, out in enumerate((8, 16, 32)):
        x = integers(shapes[0], 1.0, bits, seed).values
        y = integers(shapes[1], 1.0, 8, seed + 5).values
        for multiplier, shift in ((2**23 + 7, 23 + bits + 8 - min(out, bits + 8)), (2**24, 24)):
            ratio, limits = (multiplier, shift), LIMITS[out]
            arguments = x, y, heads, transposed, ratio, limits, DTYPES[out]
            sums = map_product(x.double(), y.double(), heads, transposed).long()
            expected = ((sums * multiplier + 2 ** (shift - 1)) >> shift).clamp(*limits)
            for found in (native.matrix_product(*arguments), kernels.matrix_product(*arguments)):
                assert found.dtype == DTYPES[out]
                assert torch.equal(found.long(), expected)


def test_the_lowest_values_everywhere():
    x, y = (torch.full((1, 1032, 1, 3), -128, dtype=torch.int8) for _ in range(2))
    arguments = x, y, 1, True, (2**23, 23), LIMITS[32], torch.int32
    for found in (native.matrix_product(*arguments), kernels.matrix_product(*arguments)):
        assert (found == 1032 * 128 * 128).all()


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_training_equals_evaluation(form):
    heads, transposed, *shapes = form
    x, y = (integers(shape, scale) for shape, scale in zip(shapes, (0.5, 0.013), strict=True))
    for scale in (0.5 * 0.013 * 128, 3.0, 40.0):
        layer = QATMatrixProduct(MatrixProduct(heads, transposed), MINMAX, "product")
        set_scale(layer, scale)
        found, expected = in_training(layer, x, y), in_evaluation(layer, x, y)
        assert torch.equal(found.values.long(), expected.values.long())
        assert expected.values.abs().max() > 0


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_gradients_are_the_float_product_s_where_nothing_is_clipped(form):
    heads, transposed, *shapes = form
    layer = QATMatrixProduct(MatrixProduct(heads, transposed), WIDE, "product").train()
    set_scale(layer, 20.0)
    x, y = (integers(shape, 0.5).values.float().requires_grad_() for shape in shapes)
    out = layer(QTensor(x, torch.tensor(0.5), 8), QTensor(y, torch.tensor(0.25), 8))
    weight = torch.randn(out.values.shape, generator=torch.Generator().manual_seed(1))
    (out.dequantize() * weight).sum().backward()
    a, b = (t.detach().clone().requires_grad_() for t in (x, y))
    (map_product(a * 0.5, b * 0.25, heads, transposed) * weight).sum().backward()
    for mine, real in ((x, a), (y, b)):
        torch.testing.assert_close(mine.grad, real.grad)


def test_sums_that_could_overflow_are_refused():
    layer = QATMatrixProduct(MatrixProduct(1, True), MINMAX, "product")
    set_scale(layer, 1.0)
    x, y = integers((1, 64, 1, 2), 1.0, 16), integers((1, 64, 1, 2), 1.0)
    with pytest.raises(InputError, match=r"product: a sum of 64 products of int16 and int8"):
        in_evaluation(layer, x, y)


class Two(nn.Module):
    """Two maps of 6 channels, what is done with them, and a convolution."""

    def __init__(self, body: Callable[..., Any], channels: int = 6) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.a, self.b = (nn.Conv2d(2, channels, 3, padding=1) for _ in range(2))
        self.packed = nn.Conv2d(channels, 12, 1)
        self.functional, self.torch_s = FloatFunctional(), TorchFunctional()
        self.act, self.table, self.last = nn.ReLU(), nn.Sigmoid(), nn.LazyConv2d(3, 1)
        self.body = body
        self.qconfig = MINMAX

    def forward(self, x: Any) -> Any:
        x = self.quant(x)
        return self.dequant(self.last(self.body(self, self.a(x), self.b(x))))


def rows(x: Any) -> Any:
    """(N, C, H, W) as matrices (N, H * W, C)."""
    return x.flatten(2).transpose(1, 2)


def to_map(scores: Any, x: Any) -> Any:
    """(N, H * W, K) as a map (N, K, H, W)."""
    return scores.transpose(1, 2).unflatten(2, x.shape[2:])


def heads_of(x: Any, heads: int = 2) -> Any:
    n, c, h, w = x.shape
    return x.reshape(n, heads, c // heads, h * w)


def attention(net: Any, x: Any, y: Any) -> Any:
    q, k = heads_of(x), heads_of(y)
    scores = net.table((q.transpose(-2, -1) @ k) * 0.5)
    return (scores @ k.transpose(-2, -1)).transpose(-2, -1).reshape(x.shape)


def heads_in_the_batch(net: Any, x: Any, y: Any) -> Any:
    n, c, h, w = x.shape
    q, k = (part.reshape(n * 2, c // 2, h * w) for part in (x, y))
    scores = functional.relu(torch.bmm(q.transpose(1, 2), k)) / (h * w)
    return torch.bmm(k, scores.transpose(1, 2)).reshape(n, c, h, w)


def packed(net: Any, x: Any, y: Any) -> Any:
    """Queries, keys and values from one map."""
    n, _, h, w = x.shape
    q, k, v = net.packed(x).reshape(n, 3, 2, 2, h * w).unbind(1)
    return (v @ net.act(k.transpose(-2, -1) @ q)).reshape(n, 4, h, w)


BODIES: dict[str, Callable[..., Any]] = {
    "operator": lambda net, x, y: to_map(rows(x) @ y.flatten(2), x),
    "torch.matmul": lambda net, x, y: to_map(torch.matmul(rows(x), y.flatten(2)), x),
    "method": lambda net, x, y: to_map(rows(x).matmul(y.flatten(2)), x),
    "bmm": lambda net, x, y: to_map(torch.bmm(rows(x), y.flatten(2)), x),
    "mat2": lambda net, x, y: to_map(torch.bmm(rows(x), mat2=y.flatten(2)), x),
    "FloatFunctional": lambda net, x, y: to_map(net.functional.matmul(rows(x), y.flatten(2)), x),
    "torch's FloatFunctional": lambda net, x, y: to_map(
        net.torch_s.matmul(rows(x), y.flatten(2)), x
    ),
    "einsum": lambda net, x, y: torch.einsum("bchw,bcij->bijhw", x, y).flatten(1, 2),
    "einsum of a list": lambda net, x, y: to_map(
        torch.einsum("bcm, bcn -> bmn", [x.flatten(2), y.flatten(2)]), x
    ),
    "attention": attention,
    "heads in the batch": heads_in_the_batch,
    "packed": packed,
    "fewer keys": lambda net, x, y: to_map(
        rows(x) @ functional.max_pool2d(y, (1, 2)).flatten(2), x
    ),
    "a head for each channel": lambda net, x, y: (
        (heads_of(x, 6).transpose(-2, -1) @ heads_of(y, 6))
        .transpose(-2, -1)
        .flatten(1, 2)
        .unflatten(2, x.shape[2:])
    ),
    "rows of the result as channels": lambda net, x, y: (rows(x) @ y.flatten(2)).unflatten(
        2, x.shape[2:]
    ),
    "over channels of both": lambda net, x, y: (
        net.table(x.flatten(2) @ rows(y)) @ x.flatten(2)
    ).reshape(x.shape),
    "linear attention": lambda net, x, y: to_map(
        net.act(rows(x)) @ (net.act(y.flatten(2)) @ rows(x)), x
    ),
    "one matrix for all heads": lambda net, x, y: (
        (heads_of(x).transpose(-2, -1) @ heads_of(y)[:, :1])
        .transpose(-2, -1)
        .flatten(1, 2)
        .unflatten(2, x.shape[2:])
    ),
    "for each row": lambda net, x, y: torch.einsum("bchw,bchv->bhwv", x, y).permute(0, 3, 1, 2),
    "for each channel": lambda net, x, y: x @ y.transpose(2, 3),
    "moved alike": lambda net, x, y: to_map(
        rows(x) + functional.relu(rows(x) @ y.flatten(2)) @ rows(y), x
    ),
    "numbers": lambda net, x, y: to_map(
        torch.exp(-(rows(x) @ y.flatten(2)).clamp(-1, 1) / 3 + 0.1), x
    ),
}


@pytest.mark.parametrize("size", [(2, 4), (1, 6)], ids=str)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_calls_in_every_stage(body, size):
    data = images(2, *size)
    network = Two(body)
    with torch.no_grad():
        network(data)
    graph = assert_all_stages(network, data)
    assert any(node.op == "matmul" for node in graph.nodes)


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def test_both_products_of_an_attention_are_nodes_without_movements():
    network, data = Two(attention), images(2, 4, 5)
    network(data)
    graph = assert_all_stages(network, data)
    assert ops(graph) == ["conv2d", "conv2d", "matmul", "lookup", "matmul", "conv2d"]
    assert [n.attributes["heads"] for n in graph.nodes if n.op == "matmul"] == [2, 2]


class Attention(nn.Module):
    """Two heads, a sigmoid of the scores, a residual; plain torch."""

    def __init__(self, channels: int, act: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.q, self.k, self.v = (nn.Conv2d(channels, channels, 1) for _ in range(3))
        self.out, self.act = nn.Conv2d(channels, channels, 1), act

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        n, c, h, w = x.shape
        q, k, v = (layer(x).view(n, 2, c // 2, h * w) for layer in (self.q, self.k, self.v))
        scores = q.transpose(-2, -1) @ k * (c // 2) ** -0.5
        scores = torch.relu(scores) / (h * w) if self.act == "relu" else scores.sigmoid()
        mixed = (scores @ v.transpose(-2, -1)).transpose(-2, -1).reshape(n, c, h, w)
        return self.out(mixed + x)


@pytest.mark.parametrize(("channels", "size"), [(2, (1, 5)), (6, (5, 3)), (66, (2, 2))])
@pytest.mark.parametrize("act", ["relu", "sigmoid"])
def test_an_attention_block_in_every_executor(channels, size, act, tmp_path):
    graph = program_of(Attention(channels, act), torch.randn(2, 3, *size))
    assert ops(graph).count("matmul") == 2
    check_exports(graph, tmp_path)


class AllPairs(nn.Module):
    """The correlation of all pairs of pixels, as RAFT has it, at the end of a network."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.features = nn.Sequential(nn.Conv2d(3, 33, 3, 2, 1), nn.ReLU(), nn.Conv2d(33, 31, 1))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        a, b = self.features(first), self.features(second)
        n, c, h, w = a.shape
        pairs = torch.matmul(a.view(n, c, h * w).transpose(1, 2), b.view(n, c, h * w))
        return pairs.view(n, h, w, 1, h, w) / c**0.5


def test_all_pairs_in_every_executor(tmp_path):
    torch.manual_seed(0)
    example = torch.randn(2, 3, 7, 10), torch.randn(2, 3, 7, 10)
    training = trained(AllPairs(), example)
    with torch.no_grad():
        expected = training(*example)
    converted = convert(training, example)
    assert torch.equal(converted(*example), expected)
    graph = trace(converted, example)
    assert graph.nodes[-1].op == "matmul"
    found = IntegerModel(graph)(example)  # (n, h2 * w2, h1, w1)
    n, h, w = expected.shape[:3]
    assert torch.equal(found.permute(0, 2, 3, 1).reshape(n, h, w, 1, h, w), expected)
    check_programs(graph)
    check_exports(graph, tmp_path)


def windows(x: Any) -> Any:
    """2x2 pixels of a map as matrices in the batch, (N * H / 2 * W / 2, 4, C)."""
    n, c, h, w = x.shape
    x = x.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1)
    return x.reshape(-1, 4, c)


def refused(body: Callable[..., Any]) -> str:
    network = Two(body)
    network.last = nn.Identity()
    with pytest.raises(InputError) as error:
        prepare_calibration(network, images(2, 4, 6))
    return str(error.value)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (lambda net, x, y: rows(x) @ torch.ones(6, 4), "constant matrix by nn.Conv2d of 1x1"),
        (lambda net, x, y: windows(x) @ windows(y).transpose(1, 2), "one side of each matrix"),
        (lambda net, x, y: torch.einsum("bchw->bhwc", x), "expected a matrix product"),
        (lambda net, x, y: torch.einsum("bchw,bchw->bchw", x, y), "expected a matrix product"),
        (lambda net, x, y: torch.softmax(rows(x) @ y.flatten(2), -1) @ rows(y), "softmax"),
        (lambda net, x, y: rows(x) + y.flatten(2)[:, :1, :6], "expected a map"),
    ],
)
def test_other_products_say_what_to_use(body, text):
    assert re.search(text, refused(body)), refused(body)


def test_a_product_without_an_example_says_what_is_needed():
    network = Two(BODIES["operator"])
    network(images(1, 4, 4))
    model = prepare_calibration(network)
    with pytest.raises(InputError, match=r"torch.matmul on a quantised tensor needs a scale"):
        model(images(1, 4, 4))
