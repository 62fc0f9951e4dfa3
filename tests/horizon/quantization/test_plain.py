"""Networks without stubs and qconfigs: traced, fused, prepared, and equal in every executor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hat.deploy.build import compile_model
from horizon import hbm
from horizon.errors import InputError
from horizon.nn import QuantStub
from horizon.quantization import (
    IntegerModel,
    QATLayer,
    convert,
    finish_calibration,
    prepare_calibration,
    prepare_qat,
    quantisable,
    trace,
)
from horizon.quantization.fuse import ACTIVATIONS, FusedAdd, FusedConv
from horizon.quantization.layers import lookup
from horizon.quantization.layers.functions import Function
from horizon.runtime import Model


class Block(nn.Module):
    """A residual block whose one ReLU runs twice."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.down: nn.Module | None = None
        if stride > 1:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.down = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x if self.down is None else self.down(x)
        return self.relu(y)


class Classifier(nn.Module):
    """As classifiers are written: a functional ReLU, dropout, flatten, linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.pool = nn.MaxPool2d(2)
        self.blocks = nn.Sequential(Block(8, 8, 1), Block(8, 16, 2))
        self.fc1 = nn.Linear(16 * 4 * 4, 24)
        self.drop = nn.Dropout()
        self.fc2 = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.blocks(self.pool(self.stem(x))), 1)
        return self.fc2(self.drop(functional.relu(self.fc1(x))))


def settled(model: nn.Module) -> nn.Module:
    """With batch statistics as after a training."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    return model.eval()


def integer_model(model: nn.Module, example: Any) -> IntegerModel:
    prepared = prepare_calibration(model, example, quiet=True)
    prepared(*example) if isinstance(example, tuple) else prepared(example)
    return IntegerModel(trace(convert(finish_calibration(prepared))))


@pytest.fixture(scope="module")
def classifier() -> nn.Module:
    torch.manual_seed(1)
    return settled(Classifier())


@pytest.fixture
def image() -> Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1


def test_all_that_can_be_is_fused(classifier: nn.Module, image: Tensor) -> None:
    found = quantisable(classifier, image)
    kinds = [type(m).__name__ for m in found.modules()]
    assert not {"BatchNorm2d", "ReLU", "Linear", "TakenIn"} & {
        type(m).__name__ for m in found.children()
    }
    fused = [m for m in found.modules() if isinstance(m, FusedConv)]
    assert len(fused) == 1 + 2 + 3 + 1  # stem, both blocks, the first linear layer
    assert sum(m.act is not None for m in fused) == 6  # not that beside the second block
    assert not any(isinstance(m, FusedAdd) for m in found.modules())
    assert kinds.count("QuantStub") == kinds.count("DeQuantStub") == 1
    assert not any(hasattr(m, "qconfig") for m in classifier.modules())  # is left alone


def test_it_trains_and_every_executor_gives_the_same(classifier: nn.Module, image: Tensor) -> None:
    prepared = prepare_calibration(classifier, image, quiet=True)
    prepared(image)
    training = prepare_qat(finish_calibration(prepared)).train()
    optimizer = torch.optim.SGD(training.parameters(), lr=1e-3)
    training(image).square().mean().backward()
    assert all(p.grad is not None for p in training.parameters())
    optimizer.step()
    converted = convert(training.eval())
    with torch.no_grad():
        torch.testing.assert_close(converted(image), training(image), rtol=0, atol=0)
    integers = IntegerModel(trace(converted))
    program = compile_model(integers, (32, 32), march="host").program
    model = Model(hbm.to_bytes(program))
    (tensor,) = model.inputs
    for one in image:
        expected = integers.integers(one[None]).numpy()
        steps = np.floor(one[None].numpy() / np.float32(tensor.scales[0]) + np.float32(0.5))
        found = model.run({tensor.name: (steps.clip(-128, 127) + 128).astype(np.uint8)})
        np.testing.assert_array_equal(found[model.outputs[0].name], expected)


def test_integers_are_close_to_the_float_network(classifier: nn.Module, image: Tensor) -> None:
    with torch.no_grad():
        wanted = classifier(image)
        found = integer_model(classifier, image)(image).flatten(1)  # a program gives maps
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < 0.05 * wanted.abs().max()


class Several(nn.Module):
    """Two inputs, one of them in a mapping's place, two outputs, of which one ends in a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(2, 8, 3, padding=1)
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        both = functional.relu6(self.left(left) + self.right(right))
        return {"both": both, "classes": functional.softmax(self.head(both), dim=1)}


@pytest.mark.parametrize("kind", [*ACTIVATIONS[:1], *lookup.TWIN.modules, nn.Dropout])
def test_a_linear_layer_is_followed_by_any_activation(kind: type[nn.Module]) -> None:
    arguments: Any = {nn.Threshold: (0.1, 0.0), Function: ("exp",)}.get(kind, ())
    activation = kind(*arguments)
    model = nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten(), nn.Linear(4, 6), activation)
    found = quantisable(model.eval(), torch.rand(2, 3, 8, 8))
    assert [m for m in found.modules() if isinstance(m, QuantStub)]
    assert not [m for m in found.modules() if isinstance(m, nn.Linear | nn.Flatten)]


def test_slopes_of_a_flat_tensor_s_channels_are_refused_where_maps_are_larger() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.PReLU(144), nn.Linear(144, 5))
    with pytest.raises(InputError, match=r"flatten made \(1, 144\)"):
        prepare_calibration(model.eval(), torch.rand(1, 3, 8, 8), quiet=True)


@pytest.mark.parametrize(
    "call",
    [
        functional.relu,
        lambda x: x.relu(),
        lambda x: functional.relu(input=x, inplace=False),
        functional.relu6,
        lambda x: functional.leaky_relu(x, negative_slope=0.2),
        lambda x: functional.hardtanh(x, -0.5, 0.5),
        lambda x: x.clamp(min=0),
        lambda x: torch.clamp(x, -0.25, 0.75),
    ],
)
def test_the_call_of_an_activation_is_fused(call: Any) -> None:
    class Called(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return call(self.conv(x))

    found = quantisable(Called().eval(), torch.rand(1, 3, 8, 8))
    (fused,) = (m for m in found.modules() if isinstance(m, FusedConv))
    x = torch.linspace(-2, 2, 101)
    assert torch.equal(fused.act(x), call(x))  # type: ignore[misc]


def test_the_limits_of_a_clamp_that_are_tensors_are_told() -> None:
    class Limited(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return torch.clamp(y, y[:, :1, :1, :1], None)

    with pytest.raises(InputError, match="its limits must be numbers"):
        prepare_calibration(Limited().eval(), torch.rand(1, 3, 8, 8), quiet=True)


def test_several_inputs_and_outputs() -> None:
    torch.manual_seed(0)
    example = (torch.rand(1, 3, 8, 8), torch.rand(1, 2, 8, 8))
    model = Several().eval()
    prepared = prepare_calibration(model, example, quiet=True)
    prepared(*example)
    converted = convert(finish_calibration(prepared))
    with torch.no_grad():
        found, wanted = converted(*example), model(*example)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert (found[name] - value).abs().max() < 0.03
    assert sum(isinstance(m, QATLayer) for m in prepared.modules()) == 7


class NormFirst(nn.Module):
    """Normalisation and activation before the convolution, as in dense blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return torch.cat([x, self.second(functional.relu(self.norm(x)))], dim=1)


def test_a_normalisation_behind_no_convolution() -> None:
    model = settled(NormFirst())
    example = torch.rand(1, 3, 8, 8) * 2 - 1
    with torch.no_grad():
        found, wanted = integer_model(model, example)(example), model(example)
    assert (found - wanted).abs().max() < 0.05 * wanted.abs().max()


class Twice(nn.Module):
    """One convolution in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.conv = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv(self.first(x)))
        return self.conv(x)


def test_a_layer_with_weights_that_runs_twice() -> None:
    torch.manual_seed(0)
    model, example = Twice().eval(), torch.rand(1, 3, 8, 8) * 2 - 1
    with torch.no_grad():
        found, wanted = integer_model(model, example)(example), model(example)
    assert (found - wanted).abs().max() < 0.05 * wanted.abs().max()


class Mapping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.conv(batch["img"])


def test_an_input_in_a_mapping() -> None:
    example = {"img": torch.rand(1, 3, 4, 4), "name": torch.zeros(1, dtype=torch.int64)}
    model = Mapping().eval()
    prepared = prepare_calibration(model, example, quiet=True)
    prepared(example)
    with torch.no_grad():
        found = convert(finish_calibration(prepared))(example)
        assert (found - model(example)).abs().max() < 0.02


def test_what_depends_on_values_is_refused() -> None:
    class Choice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + x if x.sum() > 0 else x

    with pytest.raises(InputError, match=r"Choice has no QuantStub.*cannot be traced"):
        prepare_calibration(Choice(), torch.rand(1, 3, 4, 4))


def test_in_place_is_refused(classifier: nn.Module, image: Tensor) -> None:
    with pytest.raises(InputError, match=r"Classifier has neither stubs nor a qconfig.*inplace"):
        prepare_qat(classifier, image, inplace=True)


def test_without_an_example_it_says_what_is_missing(classifier: nn.Module) -> None:
    with pytest.raises(InputError, match=r"no layer has a qconfig.*example="):
        prepare_qat(classifier)
