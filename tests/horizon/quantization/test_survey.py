"""Networks of many forms: what an example input finds at prepare, and what becomes of it."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import torch
from torch import nn
from torch.ao.nn.quantized import FloatFunctional as TorchFunctional
from torch.ao.quantization import DeQuantStub as TorchDeQuantStub
from torch.ao.quantization import QuantStub as TorchQuantStub
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from horizon.errors import InputError
from horizon.nn import DeQuantStub, FloatFunctional, QuantStub
from horizon.quantization import (
    check_prepared,
    convert,
    finish_calibration,
    get_default_qat_qconfig,
    prepare_calibration,
    prepare_qat,
    prepared_layers,
    trace,
)
from tests.horizon.quantization.small_models import MINMAX, assert_all_stages, images


class Base(nn.Module):
    """Stubs, and convolutions ``a`` and ``b`` of 4 channels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.a, self.b = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.qconfig = MINMAX

    def forward(self, x: Any) -> Any:
        return self.dequant(self.body(self.stem(self.quant(x))))

    def body(self, x: Any) -> Any:
        return x


class BasicBlock(Base):
    """ResNet's: functional ReLU, ``+=``, a projection in the second round."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Conv2d(4, 4, 1)

    def body(self, x: Any) -> Any:
        identity = x
        x = functional.relu(self.a(x))
        x = self.b(x)
        x += identity
        x = torch.relu(x)
        return functional.relu(self.project(x) + self.b(x), inplace=True)


class UNet(Base):
    """Down and up again, with skip connections by torch.cat."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1)
        self.merge = nn.Conv2d(8, 4, 3, padding=1)

    def body(self, x: Any) -> Any:
        skip = self.a(x).relu()
        low = functional.relu(self.down(skip))
        x = torch.cat([self.up(low), skip], dim=1)
        return self.merge(x)


class Pieces(Base):
    """Cuts, joins along the batch with and without one scale, factors."""

    def body(self, x: Any) -> Any:
        first, second = x.split([1, 3], dim=1)
        x = torch.cat((second, first), 1)
        pair = torch.cat([x, self.a(x)])
        pair = 0.5 * self.b(pair)
        one, two = torch.chunk(pair, 2)
        return torch.concat([one[:, :2] / 2, two[:, 2:]], dim=-3)


class Loop(Base):
    """A call that stands once and runs several times."""

    def body(self, x: Any) -> Any:
        for _ in range(3):
            x = functional.relu(self.a(x) + x)
        return x


class TorchStubs(Base):
    """torch's own stubs and FloatFunctional."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = TorchQuantStub(), TorchDeQuantStub()
        self.sum, self.both, self.join = TorchFunctional(), TorchFunctional(), TorchFunctional()
        self.times = TorchFunctional()

    def body(self, x: Any) -> Any:
        y = self.sum.add_relu(self.a(x), x)
        z = self.both.add(y, self.b(y))
        return self.times.mul_scalar(self.stem(self.join.cat([y, z], dim=1)[:, 3:5]), 2.0)


class Dropped(Base):
    def __init__(self) -> None:
        super().__init__()
        self.drop, self.drop2d = nn.Dropout(0.2), nn.Dropout2d(0.2)

    def body(self, x: Any) -> Any:
        x = functional.dropout(self.drop(self.a(x)), 0.3, self.training)
        return self.b(self.drop2d(x))


@pytest.mark.parametrize("kind", [BasicBlock, UNet, Pieces, Loop, TorchStubs, Dropped])
def test_networks_of_many_forms(kind):
    graph = assert_all_stages(kind(), images(2, 8, 12))
    assert (graph.inputs, graph.outputs) == (("img",), ("flow",))


def test_calls_get_layers_of_stable_names_where_they_stand():
    prepared = prepare_calibration(BasicBlock(), images(1, 8, 8))
    names = [name for name, _ in prepared_layers(prepared)]
    assert [name for name in names if name.startswith("quantised")] == [
        "quantised_relu",
        "quantised_add",
        "quantised_relu_1",
        "quantised_add_1",
        "quantised_relu_2",
    ]
    assert "quantised_add.act_quant.scale" in prepared.state_dict()
    prepared(images(1, 8, 8))
    finish_calibration(prepared)
    other = prepare_qat(BasicBlock(), images(1, 4, 4))
    other.load_state_dict(prepared.state_dict())
    graph = trace(convert(prepared, images(1, 8, 8)), images(1, 8, 8))
    assert "quantised_add_1" in {node.name for node in graph.nodes}


class TwoByTwo(Base):
    """Two inputs of different sizes and scales, two outputs, one larger than its input."""

    def __init__(self) -> None:
        super().__init__()
        self.small = QuantStub()
        self.enter = nn.Conv2d(3, 4, 1)
        self.up = nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1)
        self.second = DeQuantStub()

    def forward(self, data: Any) -> Any:
        large, small = data
        x = self.stem(self.quant(large))
        y = functional.relu(self.enter(self.small(small)))
        x = x + self.up_to(y)
        return self.dequant(self.up(x)), self.second(y * 3)

    def up_to(self, y: Any) -> Any:
        return self.twice(y)

    def twice(self, y: Any) -> Any:
        return self.a(torch.cat([self.up(y), self.up(y)], 1))


def test_two_inputs_and_two_outputs():
    data = images(2, 8, 12), images(2, 4, 6, 3, seed=1) * 0.3
    graph = assert_all_stages(TwoByTwo(), data)
    assert graph.inputs == ("input0", "input1")
    assert graph.outputs == ("output0", "output1")


def test_every_place_is_named_at_once_and_nothing_is_changed():
    class Broken(Base):
        def __init__(self) -> None:
            super().__init__()
            self.soft = nn.Softmax(1)
            self.table = nn.Parameter(torch.ones(1, 4, 8, 8))
            self.grey = weight_norm(nn.Conv2d(4, 4, 3, padding=1))

        def body(self, x: Any) -> Any:
            x = self.soft(self.a(x))
            x = functional.relu(x) * self.table
            x = self.grey(x) + x.sum(dim=(1, 2, 3), keepdim=True)
            x = x / 0
            x = functional.max_pool2d(x.permute(0, 2, 3, 1).contiguous(), 1).permute(0, 3, 1, 2)
            x = functional.pad(x, (1, 1), value=2.0)
            return -torch.tan(x)

    model = Broken()
    before = copy.deepcopy(model)
    with pytest.raises(InputError) as error:
        prepare_qat(model, images(1, 8, 8), inplace=True)
    text = str(error.value)
    lines = text.splitlines()
    assert lines[0] == f"{len(lines) - 1} place(s) cannot be quantised:"
    for part in (
        "soft (",
        "Softmax has no fixed-point form",
        "'*' of a quantised tensor (1, 4, 8, 8) and a plain tensor (1, 4, 8, 8)",
        "grey: cannot be quantised: the convolution's weight is no parameter",
        "torch.sum over dim (1, 2, 3) of a quantised tensor",
        "a quantised tensor is divided by 0",
        "of which permute made (1, 8, 8, 4)",
        "torch.pad(value=2.0)",
        "torch.tan",
    ):
        assert part in text, part
    assert text.count("test_survey.py:") >= 7
    assert [type(m) for m in model.modules()] == [type(m) for m in before.modules()]
    assert list(model.state_dict()) == list(before.state_dict())
    assert model.training is before.training
    found = check_prepared(model, images(1, 8, 8))
    assert len([f for f in found if f.is_error]) == len(lines) - 2  # the constructor's is later


def refused(body: Any, *, layers: Any = None, example: Any = None) -> str:
    """What prepare says of a network with this body."""

    class Net(Base):
        def body(self, x: Any) -> Any:
            return body(self, x)

    model = Net()
    for name, layer in (layers or {}).items():
        setattr(model, name, layer)
    with pytest.raises(InputError) as error:
        prepare_calibration(model, images(1, 8, 8) if example is None else example)
    return str(error.value)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (lambda m, x: m.b(m.quant(m.dequant(m.a(x)))[:, :4]), "a second one would begin"),
        (lambda m, x: x + m.other(torch.ones(1, 4, 8, 8)), "a constant .* enters a QuantStub"),
        (lambda m, x: x + m.other(m.table), "a constant .* enters a QuantStub"),
        (lambda m, x: x + m.table, "a plain tensor"),
        (lambda m, x: torch.cat([x, m.table], 1), "a plain tensor"),
        (lambda m, x: m.a(torch.zeros(1, 4, 8, 8)) + x, "plain tensor"),
        (lambda m, x: x * m.table, "'\\*' of a quantised tensor .* and a plain"),
        (lambda m, x: 2**x, r"torch.exp\(x \* math.log\(number\)\)"),
        (lambda m, x: x**x, "expected a number as the exponent"),
        (lambda m, x: x ** float("nan"), "expected a finite number"),
        (lambda m, x: x * float("inf"), "inf: not finite"),
        (lambda m, x: x / 0, "divided by 0"),
        (lambda m, x: x / torch.zeros(4, 1, 1), "a constant with zeros in it"),
        (lambda m, x: x + torch.full((1, 4, 1, 1), float("nan")), "a constant that is not finite"),
        (lambda m, x: x + m.dequant(x).mean(), "plain tensor that is not a constant"),
        (lambda m, x: functional.glu(x, 2), "torch.glu along axis 2"),
        (lambda m, x: functional.group_norm(x, 2), "nn.BatchNorm2d behind a convolution"),
        (lambda m, x: nn.LayerNorm(8)(x), "nn.BatchNorm2d behind a convolution"),
        (lambda m, x: functional.normalize(x), "divide behind a DeQuantStub"),
        (lambda m, x: x.amax((2, 3)), "torch.amax.* keepdim=True"),
        (lambda m, x: functional.adaptive_max_pool2d(x, 3), "a map of 8 x 8 pooled to 3 x 3"),
        (lambda m, x: functional.interpolate(x, size=3, mode="area"), "one over an integer"),
        (lambda m, x: x > 0, "torch.gt"),
        (lambda m, x: m.a(x.view(1, 4, 16, 4)), r"reshape made \(1, 4, 16, 4\)"),
        (lambda m, x: functional.avg_pool2d(x.flatten(2), 2), r"flatten made \(1, 4, 64\)"),
        (lambda m, x: x.T, "torch.T"),
        (lambda m, x: functional.conv2d(x, m.a.weight), "nn.Conv2d or"),
        (lambda m, x: functional.avg_pool2d(x, 2, divisor_override=-1), "divisor_override -1"),
        (lambda m, x: torch.sort(x)[0], "torch.sort"),
        (lambda m, x: m.linear(x), "Linear of a tensor .* use nn.Conv2d of 1x1"),
        (lambda m, x: x.numpy(), "torch.numpy"),
        (lambda m, x: m.f.mul(x, 2.0), r"mul_scalar\(x, 2.0\)"),
        (lambda m, x: m.tf.add_scalar(x, 2.0), "FloatFunctional.add_scalar"),
        (lambda m, x: m.tf.matmul(x, m.table), "constant matrix by nn.Conv2d of 1x1"),
        (lambda m, x: torch.add(x, x, alpha=2), "alpha=2"),
        (lambda m, x: torch.max_pool2d(x, 3, dilation=2), "dilation"),
        (lambda m, x: functional.interpolate(x, scale_factor=1.5), "resize by another factor"),
        (lambda m, x: functional.interpolate(x, size=11), "pad the input to a size that has one"),
        (lambda m, x: functional.interpolate(x, scale_factor=2, mode="bicubic"), "bicubic"),
        (lambda m, x: m.float_conv(x), "qconfig None"),
    ],
)
def test_what_has_no_form_says_what_to_use(body, text):
    layers = {
        "other": QuantStub(1.0),
        "table": nn.Parameter(torch.ones(1, 4, 8, 8)),
        "linear": nn.Linear(8, 8),
        "f": FloatFunctional(),
        "tf": TorchFunctional(),
        "float_conv": nn.Conv2d(4, 4, 1),
    }
    layers["float_conv"].qconfig = None
    message = refused(body, layers=layers)
    assert "place(s) cannot be quantised" in message
    assert re.search(text, message), message


def test_a_network_that_hands_out_a_quantised_tensor():
    class Open(Base):
        def forward(self, x: Any) -> Any:
            return self.stem(self.quant(x))

    with pytest.raises(InputError, match="returns a quantised tensor; send its outputs"):
        prepare_qat(Open(), images(1, 4, 4))


class Kept(Base):
    """``+=`` changes what ``identity`` names as well, in float only."""

    def body(self, x: Any) -> Any:
        identity = x
        x += self.a(x)
        return self.b(x) + identity


class Unused(Base):
    """The result of a call in place is not used."""

    def body(self, x: Any) -> Any:
        functional.relu(x, inplace=True)
        return self.a(x)


class Shared(Base):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU(inplace=True)

    def body(self, x: Any) -> Any:
        return self.a(x) + self.act(x) + x


@pytest.mark.parametrize("kind", [Kept, Unused, Shared])
def test_what_is_changed_in_place_under_two_names_is_refused(kind):
    with pytest.raises(InputError, match="changed in place"):
        prepare_qat(kind(), images(1, 4, 4))


def test_a_network_without_stubs():
    class Bare(Base):
        def forward(self, x: Any) -> Any:
            return self.stem(x)

    with pytest.raises(InputError, match="reached no QuantStub"):
        prepare_qat(Bare(), images(1, 4, 4))


def test_without_an_example_the_message_says_how_to_give_one():
    prepared = prepare_calibration(BasicBlock())
    with pytest.raises(InputError, match="pass an example input to prepare_qat"):
        prepared(images(1, 4, 4))
    chain = nn.Sequential(QuantStub(), nn.Softmax(1))
    chain.qconfig = MINMAX
    with pytest.raises(InputError, match=r"define example_input\(\) on the model"):
        prepare_qat(chain)


def test_what_the_float_network_raises_is_raised():
    class Wrong(Base):
        def body(self, x: Any) -> Any:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        prepare_qat(Wrong(), images(1, 4, 4))


def test_layers_outside_of_the_quantised_part_stay_in_float(caplog):
    class Around(Base):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.after = nn.Conv2d(2, 2, 1), nn.Sequential(nn.Softmax(1), nn.ReLU())

        def forward(self, x: Any) -> Any:
            return self.after(super().forward(self.before(x).clamp(-1, 1)))

    prepared = prepare_calibration(Around(), images(1, 4, 4))
    assert type(prepared.before) is nn.Conv2d
    assert type(prepared.after[1]) is nn.ReLU
    assert "before: Conv2d gets no quantised tensor and stays in float" in caplog.text
    prepared(images(1, 4, 4))


def test_a_place_that_runs_only_sometimes_is_an_error():
    class Sometimes(Base):
        more = False

        def body(self, x: Any) -> Any:
            x = functional.relu(x)
            return x + x if self.more else x

    prepared = prepare_calibration(Sometimes(), images(1, 4, 4))
    prepared.more = True
    with pytest.raises(InputError, match=r"Sometimes: '\+' at a place that the example"):
        prepared(images(1, 4, 4))


def test_a_copy_of_a_prepared_network_has_calls_of_its_own():
    x = images(1, 4, 4)
    prepared = prepare_calibration(BasicBlock(), x).eval()
    prepared(x)
    twin = copy.deepcopy(prepared)
    finish_calibration(prepared)
    finish_calibration(twin)
    assert twin.quantised_add is not prepared.quantised_add
    twin.quantised_add.act_quant.scale.mul_(2)
    assert not torch.equal(twin(x), prepared(x))


def test_wide_types_are_checked_at_prepare():
    class Summed(Base):
        def __init__(self) -> None:
            super().__init__()
            self.a.qconfig = get_default_qat_qconfig("int16")

        def body(self, x: Any) -> Any:
            return self.a(x) + x

    assert_all_stages(Summed(), images(1, 4, 4), trains=False)
