"""A network of two inputs and two outputs, from its layers and calls to a compiled program."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon import march
from horizon.compiler import compile_program
from horizon.compiler.verify import verify_program
from horizon.errors import InputError
from horizon.hbir import run
from horizon.hbm.writer import to_bytes
from horizon.nn import DeQuantStub, QuantStub
from horizon.quantization import (
    IntegerModel,
    convert,
    finish_calibration,
    fuse_modules,
    get_default_qat_qconfig,
    prepare_calibration,
    prepare_qat,
    trace,
)
from horizon.runtime import Model


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(functional.leaky_relu(self.first(x), 0.1))


class Network(nn.Module):
    """A shared decoder, calls between the layers, PReLU, pooling and resizing."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.features = QuantStub(), QuantStub()
        self.coarse, self.fine = DeQuantStub(), DeQuantStub()
        self.conv, self.bn, self.act = (
            nn.Conv2d(3, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU6(),
        )
        self.more, self.prelu = nn.Conv2d(16, 16, 3, padding=1), nn.PReLU(16)
        self.pool, self.decoder = nn.MaxPool2d(2), Decoder()

    def forward(self, image: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        image, features = self.image(image), self.features(features)
        x = self.act(self.bn(self.conv(image)))
        y = self.prelu(self.more(x))
        z = self.pool(torch.cat([x, y], 1)[:, 8:24])
        z = functional.max_pool2d(z, 3, 2, 1)
        up = functional.interpolate(z, scale_factor=4, mode="bilinear", align_corners=False)
        return self.coarse(self.decoder(z)), self.fine(self.decoder(up + features))


def example(generator: torch.Generator, batch: int = 1) -> tuple[Tensor, Tensor]:
    image, features = (
        torch.rand(batch, channels, 16, 24, generator=generator) * 2 - 1 for channels in (3, 16)
    )
    return image, features


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    given = example(generator)
    model = Network().eval()
    fuse_modules(model, ["conv", "bn", "act"])
    model.qconfig = get_default_qat_qconfig(concat="requantise")  # type: ignore[assignment]
    prepare_calibration(model, inplace=True, example=given)
    for _ in range(3):
        model(*example(generator, 2))
    finish_calibration(model)
    prepare_qat(model, inplace=True, example=given)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        sum(x.square().mean() for x in model(*example(generator, 2))).backward()  # type: ignore[union-attr]
        optimizer.step()
    gradients = {name for name, p in model.named_parameters() if p.grad is None}
    assert not {name for name in gradients if "weight" in name}
    return model.eval(), given


def test_every_form_gives_the_same_numbers(trained) -> None:
    model, given = trained
    before = model(*given)
    converted = convert(model, given)
    graph = trace(
        converted, given, input_names=("image", "features"), output_names=("coarse", "fine")
    )
    assert (graph.inputs, graph.outputs) == (("image", "features"), ("coarse", "fine"))
    found = IntegerModel(graph)(dict(zip(graph.inputs, given, strict=True)))
    for name, own, after in zip(graph.outputs, before, converted(*given), strict=True):
        assert torch.equal(own, after)
        assert torch.equal(found[name], after)


@pytest.mark.parametrize("machine", ["host", "edge256", "bernoulli2"])
@pytest.mark.parametrize("opt", ["O0", "O3"])
def test_the_compiled_program_gives_the_reference_s_integers(trained, machine, opt) -> None:
    model, given = trained
    names = {"input_names": ("image", "features"), "output_names": ("coarse", "fine")}
    graph = trace(convert(model, given), given, **names)
    rng = np.random.default_rng(1)
    inputs = {name: rng.integers(-128, 128, graph.tensors[name].shape) for name in graph.inputs}
    compiled = compile_program(graph, march.load(machine), opt, "int8")
    verify_program(compiled)
    found = Model(to_bytes(compiled.program)).run(
        {name: v.transpose(0, 3, 1, 2).astype(np.int8) for name, v in inputs.items()}
    )
    for name, expected in run(graph, inputs).items():
        assert np.array_equal(found[name], expected.transpose(0, 3, 1, 2))


class Unsupported(Network):
    def forward(self, image: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        image, features = self.image(image), self.features(features)
        x = self.conv(image)
        x = x * torch.tan(x)
        x = functional.softmax(x, 1) + torch.ones(x.shape)
        return self.coarse(self.decoder(x)), self.fine(features)


def test_one_message_names_every_place_before_anything_changes() -> None:
    model = Unsupported().eval()
    model.qconfig = get_default_qat_qconfig()  # type: ignore[assignment]
    kinds = {name: type(module) for name, module in model.named_modules()}
    with pytest.raises(InputError) as raised:
        prepare_qat(model, inplace=True, example=example(torch.Generator()))
    message = str(raised.value)
    for part in ("torch.tan", "torch.softmax", "a plain tensor", "test_two_inputs.py:"):
        assert part in message
    assert kinds == {name: type(module) for name, module in model.named_modules()}
