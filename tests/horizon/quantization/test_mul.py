"""Products of quantised tensors: training, evaluation and conversion on the same integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.ao.nn.quantized import FloatFunctional as TorchFunctional
from torch.nn import functional

from horizon.compiler import compile_program
from horizon.compiler.verify import verify_program
from horizon.errors import InputError
from horizon.hbir import Graph, reference
from horizon.hbm import to_bytes
from horizon.march import load
from horizon.nn import DeQuantStub, FloatFunctional, QuantStub
from horizon.quantization import (
    QTensor,
    get_default_qat_out_qconfig,
    get_default_qat_qconfig,
    prepare_calibration,
)
from horizon.quantization.arithmetic import kernels, native
from horizon.quantization.layers.functional import QATFunctional
from horizon.quantization.qtensor import DTYPES, LIMITS
from horizon.runtime import Model
from tests.horizon.compiler.checks import small
from tests.horizon.compiler.interpreter import from_file, run_program, to_file
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

# Shapes (N, C, H, W) of both factors, in either order.
SHAPES = [
    ((1, 3, 4, 5), (1, 3, 4, 5)),
    ((2, 33, 3, 5), (2, 33, 1, 1)),
    ((1, 31, 1, 4), (1, 1, 1, 4)),
    ((2, 1, 4, 4), (2, 1, 1, 4)),
    ((1, 1, 1, 1), (1, 5, 2, 3)),
    ((2, 3, 4, 1), (1, 1, 1, 1)),
]
INT32 = get_default_qat_out_qconfig(2.0**-12)


def mul(module: Any, x: Any, y: Any) -> Any:
    return module.mul(x, y)


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("bits", [(8, 8), (8, 16), (16, 8), (16, 16)])
@pytest.mark.parametrize("out", [MINMAX, WIDE, INT32])
def test_products_equal_the_reference(shapes, bits, out):
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(shape, generator=generator) for shape in shapes]
    model = Single(FloatFunctional(), [0.013, 0.0017], bits, mul, out)
    graph = assert_is_reference(calibrated(model, inputs), inputs)
    (node,) = graph.nodes
    sizes = [np.prod(graph.tensors[name].shape) for name in node.inputs]
    assert sizes[0] >= sizes[1]
    assert graph.tensors["out"].shape == graph.tensors[node.inputs[0]].shape


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("kind", [torch.int8, torch.int16])
def test_the_kernels_of_cpus_and_gpus(shapes, kind):
    bits = {torch.int8: 8, torch.int16: 16}[kind]
    for seed, out in enumerate((8, 16, 32)):
        x, y = (integers(shape, 1.0, bits, seed).values for shape in shapes)
        if x.numel() < y.numel():
            x, y = y, x
        for multiplier, shift in ((2**23 + 7, 23 + 2 * bits - min(out, 2 * bits)), (2**24, 24)):
            arguments = x, y, (multiplier, shift), LIMITS[out], DTYPES[out]
            total = x.numpy().astype(object) * y.numpy().astype(object) * multiplier
            expected = ((total + 2 ** (shift - 1)) >> shift).clip(*LIMITS[out]).astype(np.int64)
            for found in (native.multiply(*arguments), kernels.multiply(*arguments)):
                assert found.dtype == DTYPES[out]
                assert np.array_equal(found.numpy(), expected)


def layer_of(scale: float, qconfig: Any = MINMAX) -> QATFunctional:
    layer = QATFunctional(FloatFunctional(), qconfig, "product")
    set_scale(layer, scale)
    return layer


@pytest.mark.parametrize("shapes", SHAPES)
def test_training_equals_evaluation(shapes):
    x, y = (integers(shape, scale) for shape, scale in zip(shapes, (0.5, 0.013), strict=True))
    for scale in (0.5 * 0.013 * 128, 0.21, 3.0):
        layer = layer_of(scale)
        found, expected = in_training(layer, x, y, call=mul), in_evaluation(layer, x, y, call=mul)
        assert torch.equal(found.values.long(), expected.values.long())
        assert expected.values.abs().max() > 0


@pytest.mark.parametrize("shapes", SHAPES)
def test_gradients_are_the_float_product_s_where_nothing_is_clipped(shapes):
    layer = layer_of(2.0, WIDE).train()
    x, y = (integers(s, 0.5).values.float().requires_grad_() for s in shapes)
    out = layer.mul(QTensor(x, torch.tensor(0.5), 8), QTensor(y, torch.tensor(0.25), 8))
    weight = torch.randn(out.values.shape, generator=torch.Generator().manual_seed(1))
    (out.dequantize() * weight).sum().backward()
    a, b = (t.detach().clone().requires_grad_() for t in (x, y))
    (a * 0.5 * b * 0.25 * weight).sum().backward()
    for mine, real in ((x, a), (y, b)):
        assert mine.grad.shape == mine.shape
        torch.testing.assert_close(mine.grad, real.grad)


def test_what_is_clipped_has_no_gradient():
    layer = layer_of(1.0).train()
    x = torch.tensor([100.0, 2.0]).view(1, 1, 1, 2).requires_grad_()
    y = torch.tensor([3.0]).view(1, 1, 1, 1).requires_grad_()
    out = layer.mul(QTensor(x, torch.tensor(1.0), 8), QTensor(y, torch.tensor(1.0), 8))
    assert out.values.flatten().tolist() == [127.0, 6.0]
    out.values.sum().backward()
    assert x.grad.flatten().tolist() == [0.0, 3.0]
    assert y.grad.item() == 2.0


def test_a_scale_that_follows_the_products():
    layer = QATFunctional(FloatFunctional(), get_default_qat_qconfig(averaging_constant=1.0), "p")
    set_scale(layer, 1e-3)
    x = integers((1, 2, 3, 3), 0.5)
    result = in_training(layer, x, x, call=mul)
    assert float(result.scale) == pytest.approx(64.0**2 / 127, rel=0.01)


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (integers((1, 2, 3, 4), 1.0), "product: factors of shapes .* and .*each side of one"),
        (integers((1, 1, 3, 4), 1.0, 32), "product: it multiplies an int32 tensor"),
        (integers((1, 3, 3, 4), [1.0, 2.0, 3.0]), "product: .*one scale per channel"),
        (2.0, r"product: .*mul_scalar\(x, 2.0\)"),
        (torch.ones(1, 3, 3, 4), "product: a plain tensor"),
    ],
)
def test_other_factors_are_refused(other, text):
    x = integers((1, 3, 3, 4), 1.0)
    for operands in ((x, other), (other, x)):
        with pytest.raises(InputError, match=text):
            QATFunctional.plan(FloatFunctional(), MINMAX, "product", "mul", *operands)


class Gated(nn.Module):
    """A network around a body of two convolutions ``a`` and ``b`` of 5 channels."""

    def __init__(self, body: Any, channels: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.a, self.b = (nn.Conv2d(2, channels, 3, padding=1) for _ in range(2))
        self.functional, self.torch_s = FloatFunctional(), TorchFunctional()
        self.body = body
        self.qconfig = MINMAX

    def forward(self, x: Any) -> Any:
        x = self.quant(x)
        return self.dequant(self.body(self, self.a(x), self.b(x)))


def in_place(net: Any, x: Any, y: Any) -> Any:
    x *= y
    return x


BODIES = {
    "operator": lambda net, x, y: x * y,
    "in place": in_place,
    "torch.mul": lambda net, x, y: torch.mul(x, y),
    "torch.multiply": lambda net, x, y: torch.multiply(x, other=y),
    "method": lambda net, x, y: x.mul(y),
    "mul_": lambda net, x, y: x.mul_(y),
    "FloatFunctional": lambda net, x, y: net.functional.mul(x, y),
    "torch's FloatFunctional": lambda net, x, y: net.torch_s.mul(x, y),
    "one of one channel": lambda net, x, y: y[:, :1] * x,
    "square": lambda net, x, y: x * x,
    "numbers as well": lambda net, x, y: 0.5 * (x * 2.0 * y) * 3,
    "hardswish": lambda net, x, y: x * functional.relu6(y) / 6,
    "clamped": lambda net, x, y: functional.relu(x * y),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_calls_in_every_stage(body):
    graph = assert_all_stages(Gated(body), images(2, 5, 7))
    assert [node.op for node in graph.nodes].count("mul") == 1


def test_two_products_by_one_functional():
    def body(net: Any, x: Any, y: Any) -> Any:
        return net.functional.mul(net.functional.mul(x, y), y)

    graph = assert_all_stages(Gated(body), images(1, 4, 6))
    assert [node.name for node in graph.nodes if node.op == "mul"] == ["functional", "functional.1"]


def test_a_product_without_an_example_says_what_is_needed():
    model = prepare_calibration(Gated(BODIES["operator"]))
    with pytest.raises(InputError, match=r"'\*' on a quantised tensor needs a scale .*mul"):
        model(images(1, 4, 4))


class SqueezeExcite(nn.Module):
    """A gate for each channel, from the mean of its map, and a mask for each pixel."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.stem = nn.Conv2d(2, channels, 3, padding=1)
        self.mean = nn.Conv2d(channels, channels, size, groups=channels, bias=False)
        nn.init.constant_(self.mean.weight, 1 / (size[0] * size[1]))
        self.squeeze, self.excite = nn.Conv2d(channels, 3, 1), nn.Conv2d(3, channels, 1)
        nn.init.constant_(self.excite.bias, 2.0)
        self.mask = nn.Conv2d(channels, 1, 1)
        self.last = nn.Conv2d(channels, 2, 3, padding=1)
        self.qconfig = MINMAX

    def forward(self, x: Any) -> Any:
        x = functional.relu(self.stem(self.quant(x)))
        gate = functional.relu6(self.excite(functional.relu(self.squeeze(self.mean(x))))) / 6
        x = x * gate
        return self.dequant(self.last(self.mask(x) * x))


@pytest.fixture(scope="module", params=[((6, 9), 33), ((1, 8), 3), ((5, 5), 1)])
def squeeze_excite(request: Any) -> Graph:
    size, channels = request.param
    graph = assert_all_stages(SqueezeExcite(channels, size), images(2, *size))
    assert [node.op for node in graph.nodes].count("mul") == 2
    return graph


@pytest.mark.parametrize("opt", ["O0", "O1", "O2", "O3"])
@pytest.mark.parametrize(
    "machine", [load("host"), load("bayes"), small(8192)], ids=lambda m: m.name
)
def test_squeeze_and_excitation_in_every_executor(squeeze_excite, machine, opt, tmp_path):
    rng = np.random.default_rng(0)
    (name,) = squeeze_excite.inputs
    values = {name: rng.integers(-128, 128, squeeze_excite.tensors[name].shape)}
    expected = reference.run(squeeze_excite, values)
    compiled = compile_program(squeeze_excite, machine, opt)
    verify_program(compiled)
    program = compiled.program
    given = to_file(program, values)
    model = Model(to_bytes(program), threads=2)
    for outputs in (run_program(program, given), model.run(given)):
        for key, found in from_file(program, outputs).items():
            assert np.array_equal(found, expected[key])
