"""Average pooling and means: training, evaluation and conversion on the same integers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import Node, TensorInfo
from horizon.hbir.operators import OPERATORS
from horizon.nn import DeQuantStub, QuantStub
from horizon.quantization import QTensor, get_default_qat_out_qconfig, prepare_qat
from horizon.quantization.layers.avg_pool import QATAvgPool2d
from tests.horizon.quantization.small_models import (
    MINMAX,
    WIDE,
    Single,
    assert_all_stages,
    images,
    in_evaluation,
    in_training,
    integers,
)

POOLS = [
    nn.AvgPool2d(2),
    nn.AvgPool2d(3, 2, 1),
    nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    nn.AvgPool2d(3, 1, 1, ceil_mode=True, count_include_pad=False),
    nn.AvgPool2d((2, 3), (2, 4), (1, 1), ceil_mode=True),
    nn.AvgPool2d(2, 2, ceil_mode=True),
    nn.AvgPool2d(3, 1, 1, divisor_override=5),
    nn.AdaptiveAvgPool2d(1),
    nn.AdaptiveAvgPool2d((2, 3)),
    nn.AdaptiveAvgPool2d((None, 1)),
]


def prepared(source: nn.Module, scale: float, config: Any = MINMAX) -> QATAvgPool2d:
    layer = QATAvgPool2d(source, config, "pool")
    layer.act_quant._set(scale)
    return layer


def reference(layer: QATAvgPool2d, x: QTensor) -> np.ndarray:
    """The definition, on the attributes that the layer converts to."""
    converted = layer.eval().lowered(x, layer.geometry(x))
    batch, channels, height, width = x.shape
    node = Node(converted.operator, "pool", ("x",), "y", converted.attributes())
    info = TensorInfo("x", (batch, height, width, channels), "int8", (1.0,))
    operator = OPERATORS[converted.operator]
    assert operator.infer(node, [info])[1:3] == tuple(layer.source(x.values.double()).shape[2:])
    return operator.run(node, [x.values.permute(0, 2, 3, 1).long().numpy()]).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize(("bits", "config"), [(8, MINMAX), (16, WIDE), (8, WIDE), (16, MINMAX)])
@pytest.mark.parametrize("shape", [(1, 1, 4, 6), (2, 33, 6, 9), (1, 31, 2, 3)])
def test_training_evaluation_and_reference_agree(pool, bits, config, shape):
    x = integers(shape, 0.5 if bits == 8 else 0.5 / 256, bits)
    layer = prepared(pool, 0.3 if config is MINMAX else 0.3 / 256, config)
    trained, evaluated = in_training(layer, x), in_evaluation(layer, x)
    expected = reference(layer, x)
    assert np.array_equal(trained.values.long().numpy(), expected)
    assert np.array_equal(evaluated.values.long().numpy(), expected)
    real = pool(x.values.double() * x.scale.double())
    step = float(layer.act_quant.current())
    low, high = layer.act_quant.low * step, layer.act_quant.high * step
    assert np.abs(real.clamp(low, high).numpy() - expected * step).max() <= 0.5001 * step


def test_ties_are_rounded_up_in_training_too():
    """Sums of 2 x 3 elements by a sixth: whether they are ties depends on the multiplier."""
    x = integers((4, 33, 8, 12), 0.25)
    layer = prepared(nn.AvgPool2d((2, 3)), 0.25)
    assert np.array_equal(in_training(layer, x).values.long().numpy(), reference(layer, x))


def test_the_gradient_is_that_of_the_mean():
    values = integers((1, 2, 4, 4), 0.5).values.float().clamp(-20, 20).requires_grad_()
    layer = prepared(nn.AvgPool2d(2), 0.25).train()
    layer(QTensor(values, torch.tensor(0.5), 8)).values.sum().backward()
    torch.testing.assert_close(values.grad, torch.full_like(values, 0.5))


class Classifier(nn.Module):
    """A pooled branch added to another one, then a mean over the map, by modules or functions."""

    def __init__(self, functions: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.a, self.b = nn.Conv2d(2, 31, 3, 2, 1), nn.Conv2d(2, 31, 1)
        self.last = nn.Conv2d(31, 3, 1)
        self.pool = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        self.whole = nn.AdaptiveAvgPool2d((1, 1))
        self.functions = functions
        self.qconfig = MINMAX

    def forward(self, x: Any) -> Any:
        x = self.quant(x)
        if self.functions:
            low = functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
            y = functional.relu(self.a(x) + self.b(low))
            y = functional.adaptive_avg_pool2d(y, (2, 3))
            y = torch.mean(y, dim=-1, keepdim=True).mean((-2, 3), keepdim=True)
        else:
            y = self.whole(functional.relu(self.a(x) + self.b(self.pool(x))))
        return self.dequant(self.last(y))


@pytest.mark.parametrize("functions", [False, True])
def test_a_classifier_in_every_stage(functions):
    graph = assert_all_stages(Classifier(functions), images(2, 8, 12))
    names = [node.op for node in graph.nodes]
    assert names.count("avg_pool2d") == 1
    assert names.count("adaptive_avg_pool2d") == (3 if functions else 1)


def test_the_mean_as_the_output_of_a_network():
    net = Single(nn.AdaptiveAvgPool2d(1))
    net.layer.qconfig = get_default_qat_out_qconfig(2.0**-12)
    graph = assert_all_stages(net, [images(2, 6, 10)], trains=False)
    assert graph.tensors[graph.outputs[0]].dtype == "int32"


def planned(source: nn.Module, shape: Any, bits: int = 8, scale: Any = 1.0) -> None:
    QATAvgPool2d.plan(source, MINMAX, "pool", integers(shape, scale, bits))


@pytest.mark.parametrize(
    ("source", "shape", "bits", "text"),
    [
        (nn.AdaptiveAvgPool2d((2, 2)), (1, 1, 5, 4), 8, "a map of 5 x 4 averaged to 2 x 2"),
        (nn.AdaptiveAvgPool2d(8), (1, 1, 4, 4), 8, "choose such a size, pad or resize"),
        (nn.AdaptiveAvgPool2d(1), (1, 1, 64, 128), 16, r"64 x 128 int16 .* 268435456; .*int8 out"),
        (nn.AdaptiveAvgPool2d(1), (1, 1, 2, 257), 8, "windows of 2 x 257; .*average twice"),
        (nn.AvgPool2d(2, divisor_override=-1), (1, 1, 4, 4), 8, "divisor_override -1"),
    ],
)
def test_what_cannot_be_is_refused(source, shape, bits, text):
    with pytest.raises(InputError, match=f"pool: .*{text}"):
        planned(source, shape, bits)


def test_int32_and_several_scales_are_refused():
    with pytest.raises(InputError, match=r"pool: it averages an int32 tensor"):
        planned(nn.AvgPool2d(2), (1, 1, 4, 4), 32)
    with pytest.raises(InputError, match=r"pool: .*concat='requantise'"):
        planned(nn.AvgPool2d(2), (1, 2, 4, 4), 8, [0.5, 0.25])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: x.mean((1, 2), keepdim=True), r"torch.mean over dim \(1, 2\) .*expected rows"),
        (lambda x: x.mean(), "torch.mean over everything"),
        (lambda x: x.mean((2, 3)), "use keepdim=True"),
        (lambda x: x.mean((0, 2, 3), keepdim=True), "expected rows"),
    ],
)
def test_other_means_are_refused(call, text):
    net = Single(nn.Conv2d(2, 2, 1), call=lambda layer, x: call(layer(x)))
    with pytest.raises(InputError, match=text):
        prepare_qat(net, [images(1, 4, 4, 2)])


def test_a_mean_keeps_more_integers_in_a_scale_of_its_own():
    """Over 64 elements of alternating sign: the input's scale would leave a tenth of them."""
    x: Tensor = integers((1, 16, 8, 8), 1 / 128, seed=3)
    layer = QATAvgPool2d(nn.AdaptiveAvgPool2d(1), MINMAX, "pool")
    in_training(layer, x)  # takes the scale of the first batch
    real = layer.source(x.values.double()) / 128
    own = in_evaluation(layer, x)
    shared = in_evaluation(prepared(layer.source, 1 / 128), x)
    errors = [
        float(((each.values.double() * float(each.scale) - real) ** 2).mean())
        for each in (own, shared)
    ]
    assert errors[0] < errors[1] / Fraction(16)
