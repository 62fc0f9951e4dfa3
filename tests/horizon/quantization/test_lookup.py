"""Activations by table: training, evaluation and conversion on the same integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import horizon.march
from horizon.compiler import compile_program
from horizon.errors import InputError
from horizon.hbir import run
from horizon.hbir.activations import activation_table
from horizon.hbm import to_bytes
from horizon.nn import DeQuantStub, QuantStub
from horizon.quantization import (
    fuse_modules,
    get_default_qat_out_qconfig,
    get_default_qat_qconfig,
    prepare_qat,
)
from horizon.quantization.layers import bound_call, prepared_form
from horizon.quantization.layers import functions as other_functions
from horizon.quantization.layers.functions import Function
from horizon.quantization.layers.lookup import FUNCTIONS, REAL, QATLookup, activation_of
from horizon.runtime import Model
from tests.horizon.compiler.interpreter import from_file, to_file
from tests.horizon.quantization.small_models import (
    MINMAX,
    WIDE,
    assert_all_stages,
    images,
    in_evaluation,
    in_training,
    integers,
    set_scale,
)

MODULES: list[nn.Module] = [
    *(nn.Sigmoid(), nn.Tanh(), nn.SiLU(inplace=True), nn.Mish(), nn.Hardswish(inplace=True)),
    *(nn.Hardsigmoid(), nn.GELU(), nn.GELU("tanh"), nn.ELU(), nn.ELU(0.5), nn.CELU(2.0)),
    *(nn.SELU(), nn.Softplus(), nn.Softplus(2.0, 1.5), nn.LogSigmoid(), nn.Softsign()),
    *(nn.Tanhshrink(), nn.Hardshrink(), nn.Softshrink(0.75), nn.Threshold(0.25, -1.0)),
    *(Function(name) for name in ("exp", "erf", "sin", "cos", "square", "sqrt", "rsqrt", "log")),
    *(Function("reciprocal", 1.0), Function("reciprocal", -0.5), Function("pow", 3.0)),
    *(Function("pow", -3.0), Function("pow", 1.7), Function("pow", -0.3)),
]
ACTIVATIONS = [module for module in MODULES if not isinstance(module, Function)]
each_module = pytest.mark.parametrize("module", MODULES, ids=str)


def real_result(layer: QATLookup, module: nn.Module, x: Any, values: Tensor) -> Tensor:
    """The function of real numbers; one that is not finite at 0 has the step of ``x`` as floor."""
    return layer.real(values, *layer.floor(x)) if isinstance(module, Function) else module(values)


@each_module
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("shape", [(1, 1, 1, 7), (2, 33, 3, 4), (1, 3, 5, 31)])
def test_an_activation(module: nn.Module, bits: int, shape: Any) -> None:
    layer = QATLookup(module, MINMAX if bits == 8 else WIDE, "layer")
    scale = 0.013 if bits == 8 else 0.0001
    set_scale(layer, scale)
    x = integers(shape, 0.04)
    trained, evaluated = in_training(layer, x), in_evaluation(layer, x)
    assert torch.equal(trained.values.long(), evaluated.values.long())
    assert evaluated.values.dtype == (torch.int8 if bits == 8 else torch.int16)
    scales = float(x.scale), float(np.float32(scale))  # type: ignore[arg-type]
    table = activation_table(activation_of(module, scales[0]), *scales, f"int{bits}")
    expected = table[x.values.long().numpy() + 128]
    assert np.array_equal(evaluated.values.numpy(), expected)
    # And what it stands for, within half a step.
    low, high = (limit * scale for limit in (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
    real = real_result(layer, module, x, x.dequantize()).clamp(low, high)
    torch.testing.assert_close(evaluated.dequantize(), real, atol=0.5001 * scale + 1e-6, rtol=0)


@each_module
def test_the_gradient_is_that_of_the_function(module: nn.Module) -> None:
    layer = QATLookup(module, MINMAX, "layer").train()
    set_scale(layer, 0.013)
    x = integers((1, 5, 6, 7), 0.04)
    values = x.values.float().requires_grad_()
    out = layer(type(x)(values, x.scale, 8))
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(0))
    (out.values * out.scale * weights).sum().backward()
    real = (x.values.float() * x.scale).requires_grad_()
    y = real_result(layer, module, x, real.clone())
    inside = (y / 0.013 > -128.5) & (y / 0.013 < 127.5)
    (y * weights * inside).sum().backward()
    assert int(inside.sum()) > 0
    assert values.grad is not None
    assert real.grad is not None
    torch.testing.assert_close(values.grad, real.grad * x.scale, atol=1e-6, rtol=1e-4)


def test_scales_that_move_and_that_are_learned() -> None:
    x = integers((1, 3, 4, 5), 0.04)
    moving = get_default_qat_qconfig(observer="minmax", qat_scale="moving_average")
    layer = QATLookup(nn.SiLU(), moving, "layer").train()
    layer(x)
    largest = float(functional.silu(x.dequantize()).abs().max())
    assert float(layer.act_quant.scale) == pytest.approx(largest / 127)
    learned = get_default_qat_qconfig(observer="minmax", qat_scale="learned")
    layer = QATLookup(nn.SiLU(), learned, "layer").train()
    set_scale(layer, 0.02)
    out = layer(x)
    (out.values * out.scale).square().sum().backward()
    gain = layer.act_quant.log2_gain.grad
    assert gain is not None
    assert float(gain.abs()) > 0


class Everything(nn.Module):
    """Each activation behind a convolution, by ``calls`` or as modules."""

    def __init__(self, acts: list[Callable[[Tensor], Tensor]]) -> None:
        super().__init__()
        self.quant, self.dequant = QuantStub(1 / 64), DeQuantStub()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in acts)
        self.acts = acts if not isinstance(acts[0], nn.Module) else nn.ModuleList(acts)
        self.qconfig = get_default_qat_qconfig(observer="minmax", qat_scale="fixed")

    def forward(self, x: Tensor) -> Tensor:
        x = self.quant(x)
        parts = [act(conv(x)) for conv, act in zip(self.convs, self.acts, strict=True)]
        return self.dequant(torch.cat(parts, 1))


CALLS: list[Callable[[Any], Any]] = [
    torch.sigmoid,
    lambda x: x.sigmoid(),
    functional.tanh,
    lambda x: x.tanh_(),
    functional.silu,
    lambda x: functional.gelu(x),
    lambda x: functional.gelu(x, approximate="tanh"),
    lambda x: functional.elu(x, 0.5),
    lambda x: functional.softplus(x, beta=2, threshold=3),
    lambda x: functional.hardswish(x, inplace=True),
    functional.hardsigmoid,
    functional.mish,
    functional.selu,
    lambda x: functional.celu(x, alpha=0.5),
    functional.logsigmoid,
    functional.softsign,
    functional.tanhshrink,
    torch.special.expit,
    lambda x: x.hardshrink(0.25),
    lambda x: functional.softshrink(x, 0.25),
    lambda x: functional.threshold(x, 0.1, -0.5),
    torch.exp,
    lambda x: x.exp_(),
    lambda x: x**2,
    lambda x: x.pow(3),
    lambda x: torch.pow(x.sigmoid(), -2),
    lambda x: torch.square(x),
    lambda x: functional.relu(x).sqrt(),
    lambda x: (x.sigmoid() + 0.5).rsqrt(),
    lambda x: torch.log(x.sigmoid()),
    lambda x: 1 / x.sigmoid(),
    lambda x: -3 / x.sigmoid(),
    lambda x: x.sigmoid().reciprocal(),
    torch.sin,
    lambda x: x.cos(),
    torch.erf,
    lambda x: x.sigmoid() ** 0.7,
]
OTHERS = 7
"""Sigmoids that stand before functions of positive numbers."""


@pytest.mark.parametrize("acts", [CALLS, ACTIVATIONS], ids=["calls", "modules"])
def test_networks_through_all_stages(acts: Any) -> None:
    torch.manual_seed(0)
    model = Everything(list(acts)).eval()
    graph = assert_all_stages(model, images(2, 6, 5, channels=3))
    tables = len(acts) + (OTHERS if acts is CALLS else 0)
    assert [node.op for node in graph.nodes].count("lookup") == tables
    x = np.random.default_rng(0).integers(-128, 128, (1, 6, 5, 3))
    inputs = {name: np.resize(x, graph.tensors[name].shape) for name in graph.inputs}
    expected = run(graph, inputs)
    for name in ("host", "bayes"):
        compiled = compile_program(graph, horizon.march.load(name))
        model_file = Model(to_bytes(compiled.program))
        found = model_file.run(to_file(compiled.program, inputs))
        for key, values in from_file(compiled.program, found).items():
            assert np.array_equal(values, expected[key])


def test_every_function_is_bound_and_every_module_has_a_form() -> None:
    x = integers((1, 2, 3, 4), 0.1)
    extra = {"threshold": (0.5, 0.1)}
    for functions in (*FUNCTIONS.values(), *other_functions.FUNCTIONS.values()):
        for function in functions:
            name = function.__name__.strip("_")
            bound = bound_call(function, (x, *extra.get(name, ())), {})
            assert bound is not None
            assert prepared_form(bound.source()) is QATLookup
            assert activation_of(bound.source()).startswith(bound.kind)
    assert {activation_of(module).partition("(")[0] for module in MODULES} == set(REAL)


def refused(model: nn.Module, example: Tensor) -> str:
    with pytest.raises(InputError) as error:
        prepare_qat(model, example)
    return str(error.value)


def test_what_a_table_cannot_do_says_what_to_use() -> None:
    model = Everything([nn.SiLU()])
    model.convs[0].qconfig = WIDE  # type: ignore[assignment]
    text = refused(model, images(1, 4, 4, channels=3))
    assert "acts.0 (" in text
    assert "takes int8, and its input is int16" in text
    assert "dtype='int8'" in text
    model = Everything([nn.SiLU()])
    model.acts[0].qconfig = get_default_qat_out_qconfig(0.1)  # type: ignore
    assert "gives int8 or int16" in refused(model, images(1, 4, 4, channels=3))

    class Joined(Everything):
        def forward(self, x: Tensor) -> Tensor:
            x = self.quant(x)
            return self.dequant(self.acts[0](torch.cat([x, self.convs[0](x)], 1)))

    assert "one scale per channel" in refused(Joined([nn.SiLU()]), images(1, 4, 4, channels=3))
    with pytest.raises(InputError, match=r"other activations go by table.*leave them out"):
        fuse_modules(Everything([nn.SiLU()]), ["convs.0", "acts.0"])
