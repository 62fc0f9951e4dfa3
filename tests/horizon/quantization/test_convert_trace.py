"""Conversion and recording: whole models of odd sizes, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.hbir import reference
from horizon.nn import DeQuantStub, FloatFunctional, QuantStub
from horizon.quantization import (
    IntegerModel,
    QATLayer,
    convert,
    finish_calibration,
    output_integers,
    prepare_calibration,
    prepare_qat,
    prepared_layers,
    trace,
)
from horizon.quantization.layers.converted import QuantizedLayer
from tests.horizon.quantization.small_models import (
    MINMAX,
    OddNet,
    calibrated,
    images,
    odd_net,
    stub_integers,
    to_nchw,
    to_nhwc,
)

SIZES = [(1, 1), (1, 7), (5, 3), (6, 33)]


def all_layers(model: nn.Module, x: Any) -> dict[str, Tensor]:
    """The integers that every prepared or converted layer gives, by its name."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_: nn.Module, __: Any, result: Any) -> None:
            found[name] = result.values.detach()

        return hook

    handles = [
        layer.register_forward_hook(keep(name))
        for name, layer in model.named_modules()
        if isinstance(layer, QuantizedLayer | QATLayer)
        and name != "dequant"
        and "rescales" not in name
    ]
    model(x)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("options", [{}, {"concat": "requantise"}, {"fold_bn": False}])
@pytest.mark.parametrize("size", SIZES)
def test_a_whole_model_of_odd_sizes(size, options):
    x = images(2, *size)
    model = calibrated(odd_net(**options), x, images(3, *size, seed=1))
    converted = convert(model, x)
    graph = trace(converted, x)
    expected = reference.run(graph, {"img": stub_integers(x, 1 / 128)}, keep_all=True)
    layers = all_layers(converted, x)
    for name, values in layers.items():
        if name in ("quant", "to_pixels", "last"):
            continue
        assert torch.equal(values.long(), to_nchw(expected[name])), name
    assert {n.op for n in graph.nodes} == {
        *("conv2d", "conv_transpose2d", "correlation", "warp", "rescale"),
        *("add", "concat", "slice"),
    }
    for stage in (model, converted):
        (found,) = output_integers(stage, x)
        assert found.dtype == torch.int32
        assert torch.equal(found.long(), to_nchw(expected["flow"]))
    assert torch.equal(converted(x), model(x))


@pytest.mark.parametrize("contrast", [0.02, 1.0, 30.0])
def test_saturation_throughout(contrast):
    """Calibrated with other images than it runs on; 30 leaves the input's range."""
    x = images(2, 6, 7)
    model = calibrated(odd_net(), 0.1 * x)
    converted = convert(model)
    graph = trace(converted, x)
    expected = reference.run(graph, {"img": stub_integers(contrast * x, 1 / 128)})["flow"]
    for stage in (model, converted):
        assert torch.equal(output_integers(stage, contrast * x)[0].long(), to_nchw(expected))


@pytest.mark.parametrize("concat", ["fold", "requantise"])
def test_training_is_close_to_evaluation(concat):
    """Sums below 2**24: only float32 ties differ, and what follows from them."""
    x = images(4, 6, 33)
    model = prepare_qat(calibrated(odd_net(concat=concat), x))
    seen = {training: all_layers(model.train(training), x) for training in (True, False)}
    # The first layers have nearly the same inputs in both: at most 1 tie in 10,000.
    for name in ("quant", "stem", "grouped_add"):
        off = (seen[True][name].double() - seen[False][name].double()).abs()
        assert off.max() <= 1, name
        assert off.mean() <= 1e-4, name
    for name, values in seen[False].items():
        off = (seen[True][name].double() - values.double()).abs()
        assert off.mean() <= 0.01 * values.double().abs().mean() + 0.01, name


def test_the_integers_mean_what_the_float_model_says():
    x = images(4, 6, 7)
    model = odd_net()
    expected = model(x)
    found = convert(calibrated(model, x))(x)
    assert (found - expected).norm() < 0.05 * expected.norm()


def test_conversion_copies_unless_in_place():
    x = images(1, 5, 7)
    model = calibrated(odd_net(), x)
    converted = convert(model, x)
    assert list(prepared_layers(model))
    assert not list(prepared_layers(converted))
    assert not converted.training
    assert convert(model, x, inplace=True) is model
    assert torch.equal(model(x), converted(x))
    assert not list(model.parameters())


def test_the_example_s_values_do_not_matter():
    x = images(1, 5, 7)
    model = calibrated(odd_net(), x)
    a, b = (trace(convert(model, e), x) for e in (x, torch.zeros(2, 2, 4, 4)))
    assert a == b
    default = convert(model)
    assert trace(default, x) == a


def test_the_program_is_named_and_of_the_example_s_size():
    x = images(1, 5, 7)
    model = convert(calibrated(odd_net(size_multiple=2), x), x)
    graph = trace(model, x, name="odd", input_names=["picture"], output_names=["motion"])
    assert (graph.name, graph.inputs, graph.outputs) == ("odd", ("picture",), ("motion",))
    assert graph.attributes == {"size_multiple": 2}
    assert graph.tensors["picture"].shape == (1, 6, 8, 2)
    assert graph.tensors["motion"].shape == (1, 6, 8, 2)
    names = [node.name for node in graph.nodes]
    assert {"stem", "grouped_add", "correlation", "warp", "concat", "sum", "last"} <= set(names)
    assert graph.tensors["grouped_add"].dtype == "int8"
    assert graph.tensors["offset"].dtype == "int16"
    assert graph.tensors["motion"].dtype == "int32"
    assert len(graph.tensors["motion"].scales) == 2
    assert trace(model).tensors["img"].shape == (1, 2, 2, 2)


def test_scales_of_the_program_are_those_of_the_model():
    x = images(1, 5, 7)
    model = calibrated(odd_net(), x)
    graph = trace(convert(model), x)
    for name in ("stem", "narrow", "offset", "sum"):
        (scale,) = graph.tensors[name].scales
        assert scale == float(getattr(model, name).act_quant.current())
    (found,) = output_integers(model, x)
    real = found.double() * torch.tensor(graph.tensors["flow"].scales).view(-1, 1, 1)
    torch.testing.assert_close(real.float(), model(x))


def test_a_factor_before_the_output_is_in_the_output_s_scale():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quant, self.conv = QuantStub(1 / 128), nn.Conv2d(1, 1, 1)
            self.to_pixels, self.dequant = FloatFunctional(), DeQuantStub()
            self.qconfig = MINMAX

        def forward(self, x):
            x = self.to_pixels.mul_scalar(self.conv(self.quant(x)), 20.0)
            return self.dequant(x)

    x = images(1, 2, 3, 1)
    model = calibrated(Net(), x)
    graph = trace(convert(model, x), x)
    assert [node.op for node in graph.nodes] == ["conv2d"]
    expected = 20 * float(model.conv.act_quant.current())
    assert graph.tensors["flow"].scales[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("order", [("flow", "last"), ("last", "flow"), ("img", "flow.1")])
def test_a_layer_may_be_called_like_an_input_or_output(order):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
            self.convs = [nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)]
            self.names = [name.replace(".", "_") for name in order]
            for name, conv in zip(self.names, self.convs, strict=True):
                self.add_module(name, conv)
            self.qconfig = MINMAX

        def forward(self, x):
            x = self.quant(x)
            for name in self.names:
                x = getattr(self, name)(x)
            return self.dequant(x)

    torch.manual_seed(0)
    x = images(1, 2, 3, 1)
    model = calibrated(Net(), x)
    graph = trace(convert(model, x), x)
    assert graph.outputs == ("flow",)
    assert graph.nodes[-1].output == "flow"
    expected = reference.run(graph, {"img": stub_integers(x, 1 / 128)})["flow"]
    assert torch.equal(output_integers(model, x)[0].long(), to_nchw(expected))


class Twice(nn.Module):
    """One convolution, used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.first = QuantStub(1 / 128), nn.Conv2d(1, 1, 3, padding=1)
        self.dequant = DeQuantStub()
        self.qconfig = MINMAX

    def forward(self, x):
        return self.dequant(self.first(self.first(self.quant(x))))


@pytest.mark.parametrize("with_example", [False, True])
def test_a_layer_that_runs_twice_has_two_converted_forms(with_example):
    x = images(1, 4, 4, 1)
    prepared = prepare_calibration(Twice(), x if with_example else None).eval()
    prepared(x)
    finish_calibration(prepared)
    # Without an example both share a scale, as one layer.
    assert len(list(prepared.first.act_quants())) == (2 if with_example else 1)
    graph = trace(convert(prepared, x), x)
    assert [node.name for node in graph.nodes] == ["first", "first.1"]
    (expected,) = output_integers(prepared, x)
    assert torch.equal(IntegerModel(graph).integers(x), expected)


def test_layers_that_do_not_run_stay_out():
    class Net(OddNet):
        def __init__(self) -> None:
            super().__init__()
            self.spare = nn.Conv2d(3, 3, 1)

    x = images(1, 5, 7)
    torch.manual_seed(0)
    model = Net().eval()
    model.fuse_model()
    model.set_qconfig()
    converted = convert(calibrated(model, x), x)
    assert isinstance(converted.spare, nn.Identity)
    assert "spare" not in {node.name for node in trace(converted, x).nodes}


def test_two_inputs_and_two_outputs():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quants = nn.ModuleList([QuantStub(1 / 128), QuantStub(1 / 64)])
            self.sum, self.conv = FloatFunctional(), nn.Conv2d(3, 1, 1)
            self.dequants = nn.ModuleList([DeQuantStub(), DeQuantStub()])
            self.qconfig = MINMAX

        def forward(self, pair):
            x, y = (quant(part) for quant, part in zip(self.quants, pair, strict=True))
            total = self.sum.add(x, y)
            return self.dequants[0](self.conv(total)), self.dequants[1](total)

    pair = [images(1, 4, 5, 3, seed=s) for s in (1, 2)]
    model = calibrated(Net(), pair)
    names = {"input_names": ["a", "b"], "output_names": ["one", "two"]}
    graph = trace(convert(model, pair), pair, **names)
    given = {
        name: stub_integers(x, scale)
        for name, x, scale in zip("ab", pair, (1 / 128, 1 / 64), strict=True)
    }
    expected = reference.run(graph, given)
    for found, name in zip(output_integers(model, pair), ("one", "two"), strict=True):
        assert (to_nhwc(found) == expected[name]).all()
    with pytest.raises(InputError, match="several outputs are called 'one'"):
        trace(convert(model, pair), pair, output_names=["one", "one"])


def test_models_at_the_wrong_stage_are_errors():
    x = images(1, 5, 7)
    with pytest.raises(InputError, match="convert\\(\\) first"):
        trace(calibrated(odd_net(), x), x)
    with pytest.raises(InputError, match="neither prepared nor converted"):
        output_integers(odd_net(), x)
    with pytest.raises(InputError, match="no prepared layer"):
        convert(odd_net(), x)
    plain = nn.Sequential(QuantStub(1.0), nn.Conv2d(1, 1, 1), DeQuantStub())
    plain.qconfig = MINMAX
    with pytest.raises(InputError, match=r"Sequential has no example_input\(\)"):
        convert(calibrated(plain, images(1, 2, 2, 1)))


def test_tracing_leaves_no_trace():
    x = images(1, 5, 7)
    model = convert(calibrated(odd_net(), x))
    expected = model(x)
    assert trace(model, x) == trace(model, x)
    assert torch.equal(model(x), expected)


@pytest.mark.parametrize("training", [False, True])
def test_output_integers_keeps_the_mode(training):
    x = images(1, 5, 7)
    model = prepare_qat(calibrated(odd_net(), x)).train(training)
    (found,) = output_integers(model, x)
    assert model.training == training
    assert found.dtype == torch.int32
