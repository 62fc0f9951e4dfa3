"""The profiler finds what was broken on purpose, and nothing where nothing differs."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.nn import DeQuantStub, FloatFunctional, QuantStub
from horizon.quantization import (
    FakeQuantState,
    convert,
    finish_calibration,
    fuse_modules,
    get_default_qat_qconfig,
    prepare_calibration,
    prepared_layers,
)
from horizon.quantization.profiler import (
    compare_alone,
    compare_end_to_end,
    compare_weights,
    layer_statistics,
    layers_of,
    rank_sensitivity,
)
from horizon.quantization.profiler.statistics import BINS
from horizon.quantization.profiler.weights import compare_tensors

ORDER = ["quant", "first", "second", "cat", "third", "dequant"]


class Net(nn.Module):
    """Everything in a row: stub, fused convolutions, concatenation, stub."""

    def __init__(self) -> None:
        super().__init__()
        self.dequant = DeQuantStub()  # defined first, executed last
        self.quant = QuantStub(1 / 128)
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.second = nn.Conv2d(4, 6, 3, padding=1)
        self.cat = FloatFunctional()
        self.third = nn.Conv2d(10, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.quant(x)
        first = self.relu(self.bn(self.first(x)))
        joined = self.cat.cat([self.second(first), first])
        return self.dequant(self.third(joined))


@pytest.fixture(scope="module")
def images() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(1, 3, 9, 7, generator=generator) * 2 - 1 for _ in range(3)]


@pytest.fixture(scope="module")
def stages(images: list[Tensor]) -> tuple[nn.Module, nn.Module]:
    """The fused float model and its calibrated twin."""
    torch.manual_seed(0)
    model = Net().eval()
    fuse_modules(model, ["first", "bn", "relu"])
    prepared = copy.deepcopy(model)
    prepared.qconfig = get_default_qat_qconfig()  # type: ignore[assignment]
    prepared = prepare_calibration(prepared)
    for image in images:
        prepared(image)
    return model, finish_calibration(prepared)


def test_layers_are_those_that_run_and_no_parts_of_them(stages):
    model, prepared = stages
    assert set(layers_of(model)) == set(ORDER)
    assert set(layers_of(prepared)) == set(ORDER)


def test_a_model_equals_itself(stages, images):
    model, prepared = stages
    for entries in (
        compare_end_to_end(model, copy.deepcopy(model), images),
        compare_alone(prepared, convert(prepared, images[0]), images),
        compare_end_to_end(prepared, convert(prepared, images[0]), images),
    ):
        assert [entry.layer for entry in entries] == ORDER
        assert all(entry.sqnr_db is None and entry.mse == 0 for entry in entries)
        assert all(entry.cosine == pytest.approx(1) for entry in entries)
    assert [entry.differing for entry in entries] == [0, 0, 0, 0, 0, None]
    assert entries[1].values == 3 * 4 * 9 * 7


def test_quantisation_errors_are_measured_in_steps(stages, images):
    model, prepared = stages
    cumulative = compare_end_to_end(model, prepared, images)
    alone = {entry.layer: entry for entry in compare_alone(model, prepared, images)}
    assert [entry.layer for entry in cumulative] == ORDER
    for entry in cumulative[1:5]:
        assert entry.bits == 8
        assert entry.differing is None  # the float side has no integers
        assert 15 < (entry.sqnr_db or 0) < 60
    # The stub rounds once: half a step at most, apart from what it clips at 127 / 128.
    assert cumulative[0].largest_steps == pytest.approx(0.5, abs=0.51)
    # A folding concatenation does nothing to integers.
    assert alone["cat"].sqnr_db is None
    # Errors of the layers before are not held against a layer.
    assert alone["third"].mse < cumulative[4].mse


def test_sums_are_those_of_the_definition(stages, images):
    model, prepared = stages
    entry = compare_end_to_end(model, prepared, images)[-1]
    with torch.no_grad():
        first = torch.cat([model(image) for image in images]).double()
        second = torch.cat([prepared(image) for image in images]).double()
    mse = float((first - second).square().mean())
    assert entry.mse == pytest.approx(mse)
    assert entry.sqnr_db == pytest.approx(10 * math.log10(float(first.square().mean()) / mse))
    cosine = torch.cosine_similarity(first.flatten(), second.flatten(), dim=0)
    assert entry.cosine == pytest.approx(float(cosine))


def test_a_changed_integer_is_found_where_it_is(stages, images):
    _, prepared = stages
    good, bad = convert(prepared, images[0]), convert(prepared, images[0])
    bad.second.bias[0] += 2 * int(2 ** bad.second.shift[0] / bad.second.multiplier[0])
    alone = {entry.layer: entry for entry in compare_alone(good, bad, images)}
    assert [layer for layer, entry in alone.items() if entry.differing] == ["second"]
    assert alone["second"].largest_steps == pytest.approx(2, abs=1)
    cumulative = compare_end_to_end(good, bad, images)
    assert [entry.layer for entry in cumulative if entry.differing][:2] == ["second", "cat"]


def test_stages_that_do_not_fit_are_refused(stages, images):
    model, prepared = stages
    with pytest.raises(InputError, match="no layer in common"):
        compare_end_to_end(nn.Sequential(nn.Flatten()), prepared, images)
    other = copy.deepcopy(model)
    other.second = nn.Conv2d(4, 6, 3, padding=1, stride=2)
    other.cat = nn.Identity()
    with pytest.raises(InputError, match="layer second: outputs of"):
        compare_alone(other, prepared, images)


def test_damaged_weights_name_the_layer(stages, images):
    model, prepared = stages
    broken = copy.deepcopy(model)
    broken.second.weight.data[0] = math.nan
    with pytest.raises(InputError, match=r"layer second: 63 of 378 values are NaN"):
        compare_end_to_end(broken, prepared, images)


def test_statistics_of_values_and_integers(stages, images):
    _, prepared = stages
    entries = {entry.layer: entry for entry in layer_statistics(prepared, images)}
    assert list(entries) == ORDER
    with torch.no_grad():
        outputs = torch.cat([prepared(image) for image in images]).double()
    last = entries["dequant"]
    assert last.minimum == pytest.approx(float(outputs.min()))
    assert last.deviation == pytest.approx(float(outputs.std(correction=0)))
    assert (last.bits, last.used, last.saturated) == (None, None, None)
    first = entries["first"]
    assert first.minimum == 0
    assert first.zeros > 0.1
    assert first.bits == 8
    assert first.scale_low == pytest.approx(float(prepared.first.act_quant.scale))
    assert 0.9 < (first.used or 0) <= 1
    # a folding concatenation has a scale per channel
    assert entries["cat"].scale_low != entries["cat"].scale_high
    assert all(sum(e.histogram.counts) == 3 * 63 * e.channels for e in entries.values())


def test_saturation_and_silence_are_counted(stages, images):
    _, prepared = stages
    small = copy.deepcopy(prepared)
    small.second.act_quant.scale.mul_(1e-3)
    small.first.weight.data[1] = 0
    small.first.bias.data[1] = -1
    entries = {entry.layer: entry for entry in layer_statistics(small, images)}
    assert (entries["second"].saturated or 0) > 0.5
    assert (entries["first"].silent_channels, entries["first"].channels) == (1, 4)


def test_histogram_widens_without_losing_its_place():
    model = nn.Sequential(nn.ReLU())
    images = [torch.full((1, 1, 1, 5), 0.9), torch.full((1, 1, 1, 3), 6.5)]
    histogram = layer_statistics(model, images)[0].histogram
    assert histogram.reach == 8
    places = {i: c for i, c in enumerate(histogram.counts) if c}
    width = 2 * histogram.reach / BINS
    assert {round((i + 0.5) * width - 8, 4): c for i, c in places.items()} == {0.9375: 5, 6.5625: 3}


def test_weights_are_within_half_a_step(stages, images):
    model, prepared = stages
    entries = {e.layer: e for e in compare_weights(model, prepared, images[0])}
    assert list(entries) == ["first", "second", "third"]
    for entry in entries.values():
        assert 30 < (entry.sqnr_db or 0) < 70
        assert entry.cosine > 0.999
        assert entry.dead == 0
    assert entries["second"].channels == 6
    step = model.second.weight.detach().abs().amax((1, 2, 3)) / 127
    assert entries["second"].mse < float((step**2).mean()) / 4


def test_weights_are_compared_with_batch_normalisation_in_them(images):
    torch.manual_seed(0)
    model = Net().eval()
    model.bn.running_var.uniform_(0.1, 10)
    folded, kept = copy.deepcopy(model), copy.deepcopy(model)
    fuse_modules(folded, ["first", "bn", "relu"])
    fuse_modules(kept, ["first", "bn", "relu"], fold_bn=False)
    kept.qconfig = get_default_qat_qconfig()
    prepared = prepare_calibration(kept)
    prepared(images[0])
    finish_calibration(prepared)
    entry = compare_weights(folded, prepared, images[0])[0]
    assert entry.layer == "first"
    assert 30 < (entry.sqnr_db or 0) < 70


def test_dead_channels_and_spread():
    real = torch.tensor([[1.0, -2.0], [0.02, 0.01], [0.0, 1e-9]])
    quantised = real.clone()
    quantised[1, 0] = 0.03
    entry = compare_tensors("layer", real, quantised)
    assert entry.dead == 1
    assert entry.spread == pytest.approx(100)
    assert entry.worst_channel == 1
    assert entry.worst_sqnr_db == pytest.approx(10 * math.log10(5e-4 / 1e-4))
    assert compare_tensors("layer", real, real).sqnr_db is None


def test_the_most_sensitive_layer_comes_first(stages, images):
    _, prepared = stages
    coarse = copy.deepcopy(prepared)
    coarse.second.act_quant.scale.mul_(40)
    coarse.third.fake_quant_state = FakeQuantState.QAT  # something to be restored
    found = rank_sensitivity(coarse, images)
    assert found.real is None
    assert found.layers[0].layer == "second"
    assert found.layers[0].moved > 3 * found.layers[1].moved
    assert found.everything.moved > 0.5 * found.layers[0].moved
    states = {name: layer.fake_quant_state for name, layer in prepared_layers(coarse)}
    assert states.pop("third") is FakeQuantState.QAT
    assert set(states.values()) == {FakeQuantState.VALIDATION}


def test_sensitivity_with_a_measure(stages, images):
    model, prepared = stages
    with torch.no_grad():
        truths = {id(image): model(image) for image in images}

    def error(output: Tensor, image: Tensor) -> float:
        return float((output - truths[id(image)]).abs().mean())

    scales = {k: v.clone() for k, v in prepared.state_dict().items()}
    found = rank_sensitivity(prepared, images, error)
    assert found.real == pytest.approx(0, abs=1e-5)
    moved = [entry.moved for entry in found.layers]
    assert moved == sorted(moved, reverse=True)
    assert all(entry.added == entry.error - found.real for entry in found.layers)
    assert found.layers[0].added > 0
    # Looking changes nothing: no scale moved, no observer saw anything.
    assert all(torch.equal(v, scales[k]) for k, v in prepared.state_dict().items())
    with pytest.raises(InputError, match="no layer that prepare_calibration"):
        rank_sensitivity(model, images)
