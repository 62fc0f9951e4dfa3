"""Modules that run several times in one forward pass, and weights that several modules share."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.nn import DeQuantStub, FloatFunctional, QuantStub
from horizon.quantization import (
    IntegerModel,
    convert,
    finish_calibration,
    fuse_modules,
    output_integers,
    prepare_calibration,
    prepare_qat,
    trace,
)
from horizon.quantization.profiler import compare_alone, compare_end_to_end, rank_sensitivity
from tests.horizon.quantization.small_models import MINMAX, images

LEVELS = 5


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()
        self.sum = FloatFunctional()
        self.last = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.sum.add(x, self.last(self.relu(self.bn(self.conv(x))))))

    def fuse_model(self) -> None:
        fuse_modules(self, ["conv", "bn", "relu"])


class Levels(nn.Module):
    """One decoder for all levels, under as many names; one ReLU; tied weights."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.stem, self.stem_bn = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        decoder = Decoder()
        self.decoders = nn.ModuleList([decoder] * LEVELS)
        self.down = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.tied = nn.Conv2d(4, 4, 3, padding=1)
        self.tied.weight = self.down.weight
        self.relu = nn.ReLU()
        self.qconfig = MINMAX

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem_bn(self.stem(self.quant(x)))
        for decoder in self.decoders:
            x = self.relu(decoder(self.relu(x)))
        return self.dequant(self.tied(self.relu(self.down(x))))

    def fuse_model(self) -> None:
        fuse_modules(self, ["stem", "stem_bn"])
        self.decoders[0].fuse_model()  # type: ignore[operator]

    def example_input(self) -> Tensor:
        return torch.zeros(1, 2, 8, 8)


def levels() -> Levels:
    torch.manual_seed(0)
    model = Levels()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return model.eval()


def test_a_decoder_for_all_levels_is_trained_and_converted():
    x = images(2, 16, 16)
    model = levels()
    with torch.no_grad():
        before = model(x)
    model.fuse_model()
    with torch.no_grad():
        torch.testing.assert_close(model(x), before)
    prepared = prepare_calibration(model, inplace=True)
    with torch.no_grad():
        torch.testing.assert_close(prepared(x), before)
    finish_calibration(prepared)
    state = prepared.state_dict()
    scales = [state[f"decoders.0.last.act_quant{n}.scale"] for n in ("", "_1", "_2", "_3", "_4")]
    assert len({float(scale) for scale in scales}) == LEVELS
    assert "decoders.0.last.act_quant_5.scale" not in state
    assert prepared.decoders[4] is prepared.decoders[0]
    assert prepared.tied.weight is prepared.down.weight
    # No tensor is counted twice.
    plain = sum(p.numel() for p in Levels().parameters()) - 2 * 2 * 4  # two normalisations
    assert sum(p.numel() for p in prepared.parameters()) == plain

    prepare_qat(prepared, inplace=True).train()
    weight = prepared.decoders[0].last.weight
    old = weight.detach().clone()
    optimizer = torch.optim.SGD(prepared.parameters(), lr=0.01)
    prepared(x).square().mean().backward()
    optimizer.step()
    assert not torch.equal(weight, old)

    prepared.eval()
    (expected,) = output_integers(prepared, x)
    converted = convert(prepared)
    assert torch.equal(output_integers(converted, x)[0], expected)
    graph = trace(converted)
    names = [node.name for node in graph.nodes]
    assert [n for n in names if n.startswith("decoders.0.last")] == [
        f"decoders.0.last{n}" for n in ("", ".1", ".2", ".3", ".4")
    ]
    assert len([n for n in names if n.startswith("relu")]) == 2 * LEVELS + 1
    assert torch.equal(IntegerModel(graph).integers(x), expected)


def test_the_names_of_a_module_that_runs_once_are_those_of_ever():
    model = nn.Sequential(QuantStub(1 / 128), nn.Conv2d(2, 3, 1), nn.ReLU(), DeQuantStub())
    model.qconfig = MINMAX
    plain = prepare_qat(model).state_dict()
    assert list(prepare_qat(model, images(1, 3, 3)).state_dict()) == list(plain)


class Sometimes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.conv = nn.Conv2d(2, 2, 1)
        self.times = 2
        self.qconfig = MINMAX

    def forward(self, x: Tensor) -> Tensor:
        x = self.quant(x)
        for _ in range(self.times):
            x = self.conv(x)
        return self.dequant(x)


@pytest.mark.parametrize("times", [1, 3])
def test_a_use_that_appears_only_sometimes_is_an_error(times):
    x = images(1, 4, 4)
    prepared = prepare_calibration(Sometimes(), x)
    prepared(x)
    prepared.times = times
    with pytest.raises(InputError, match=r"conv.*call.*2.*only sometimes"):
        prepared(x)
    prepared.times = 2
    prepared(x)  # the count begins anew


def test_an_unused_layer_is_no_error():
    x = images(1, 4, 4)
    prepared = prepare_calibration(Sometimes(), x)
    prepared.times = 0
    prepared(x)


def test_a_layer_with_uses_is_no_good_outside_of_its_network():
    x = images(1, 4, 4)
    prepared = prepare_calibration(Sometimes(), x)
    with pytest.raises(InputError, match=r"conv: it has 2 uses.*outside"):
        prepared.conv(prepared.quant(x))


def test_one_stub_for_two_inputs_observes_each():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quant, self.dequant, self.sum = QuantStub(), DeQuantStub(), FloatFunctional()
            self.qconfig = MINMAX

        def forward(self, x: tuple[Tensor, Tensor]) -> Tensor:
            return self.dequant(self.sum.add(self.quant(x[0]), self.quant(x[1])))

    x = images(1, 4, 4), 0.1 * images(1, 4, 4, seed=1)
    prepared = prepare_calibration(Two(), x)
    prepared(x)
    finish_calibration(prepared).eval()
    scales = [float(quant.scale) for quant in prepared.quant.act_quants()]
    assert scales == pytest.approx([float(v.abs().max()) / 127 for v in x])
    graph = trace(convert(prepared, x), x)
    assert len(graph.inputs) == 2
    assert torch.equal(IntegerModel(graph).integers(x), output_integers(prepared, x)[0])


def test_the_profiler_compares_every_use():
    x = images(1, 8, 8)
    model = levels()
    model.fuse_model()
    prepared = prepare_calibration(model, x).eval()
    prepared(x)
    finish_calibration(prepared)
    converted = convert(prepared, x)
    for first in (model, prepared):
        for compare in (compare_alone, compare_end_to_end):
            found = {row.layer: row for row in compare(first, converted, [x])}
            assert {"relu", "relu (call 11)", "decoders.0.last (call 5)"} <= set(found)
            if first is prepared:
                assert all(row.differing == 0 for row in found.values() if row.bits)
    ranked = rank_sensitivity(prepared, [x])
    assert {"decoders.0.last", "quant"} <= {row.layer for row in ranked.layers}
