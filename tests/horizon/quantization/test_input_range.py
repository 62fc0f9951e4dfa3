"""Inputs that do not fit the fixed step of their stub: said, or refused."""

from __future__ import annotations

import copy
import logging
import re

import pytest
import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.nn import Correlation, DeQuantStub, QuantStub
from horizon.quantization import (
    IntegerModel,
    convert,
    finish_calibration,
    prepare_calibration,
    prepare_qat,
    trace,
)
from horizon.quantization.scales.input_range import CLIPPED, WATCHED, InputRange, InputWatch
from tests.horizon.quantization.small_models import MINMAX, images


def network(scale: float | None = 1 / 128) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(QuantStub(scale), nn.Conv2d(2, 2, 1), DeQuantStub()).eval()
    model.qconfig = MINMAX
    return model


def calibrate(x: Tensor, most: float = 1.0, scale: float | None = 1 / 128) -> nn.Module:
    model = prepare_calibration(network(scale))
    model(x)
    return finish_calibration(model, most)


def pixels() -> Tensor:
    """Images of 8 bits as they are in a file, every value among them."""
    return images(4, 16, 16) * 128 + 128


def test_images_in_range_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    model = calibrate((pixels() - 128) / 128, most=0.0)
    calibrate((pixels() - 127.5) / 127.5, most=0.0)  # rounding, by half a step
    integer = IntegerModel(trace(convert(model, images(1, 8, 8)), images(1, 8, 8)))
    for _ in range(WATCHED + 1):
        integer(images(4, 16, 16))
        prepare_qat(model).train()(images(4, 16, 16))
    assert caplog.text == ""


def test_calibration_says_the_share_and_the_remedy(caplog: pytest.LogCaptureFixture) -> None:
    x = (pixels() - 128) / 32
    share = float(((x * 128 < -129) | (x * 128 > 128)).float().mean())
    assert 0.7 < share < 0.8
    calibrate(x)
    assert f"0: {100 * share:.2g} % of the input lies beyond the range of its fixed" in caplog.text
    assert "0.0078125, -1 to 0.9922, and is clipped (found -4 to 3.969)" in caplog.text
    assert "Normalize with mean=128 and std=128" in caplog.text


def test_above_the_share_it_is_refused_and_nothing_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    x = images(4, 16, 16)
    x.flatten()[:41] = 3.0  # of 2048: 2 %
    model = prepare_calibration(network())
    model(x)
    with pytest.raises(InputError, match=r"0: 2 % .*; expected at most 1.5 % .max_clipped_input"):
        finish_calibration(model, 0.015)
    assert not model[1].act_quant.ready
    model(x)
    finish_calibration(model, 0.025)
    assert "0: 2 % of the input" in caplog.text
    assert model[1].act_quant.ready


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ((pixels() - 128) / 2000, r"reaches over 17 of its 256 integers \(-8 to 8"),
        ((pixels() / 255 - 128) / 128, r"reaches over 2 of its 256 integers \(-128 to -127"),
        (pixels() / 257, "no value of the input is below 0, so that half of its integers"),
        (pixels() / 257 - 1, "no value of the input is above 0, so that half of its integers"),
    ],
)
def test_an_input_that_uses_few_integers_is_said(
    caplog: pytest.LogCaptureFixture, x: Tensor, message: str
) -> None:
    calibrate(x)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert re.search(message, record.getMessage())


def test_a_scale_that_calibration_finds_fits_any_input(caplog: pytest.LogCaptureFixture) -> None:
    calibrate((pixels() - 128) / 2000, most=0.0, scale=None)
    calibrate((pixels() - 128) * 7, most=0.0, scale=None)
    assert caplog.text == ""


@pytest.mark.parametrize("stage", ["training", "evaluation", "integer"])
@pytest.mark.parametrize(
    ("std", "message"), [(32, "% of the input lies beyond"), (2000, "reaches over 17 of its 256")]
)
def test_later_stages_say_it_once(
    caplog: pytest.LogCaptureFixture, stage: str, std: int, message: str
) -> None:
    model = prepare_qat(calibrate(images(4, 16, 16)))
    model.train(stage == "training")
    if stage == "integer":
        model = IntegerModel(trace(convert(model, images(1, 8, 8)), images(1, 8, 8)))
    for _ in range(2 * WATCHED):
        model((pixels() - 128) / std)
    assert caplog.text.count(message) == 1
    assert len(caplog.records) == 1


def test_a_share_that_rounding_could_explain_is_not_said_in_evaluation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = calibrate(images(4, 16, 16))
    x = images(4, 16, 16)
    x.flatten()[: int(CLIPPED * x.numel())] = 3.0
    for _ in range(WATCHED + 1):
        model(x)
    assert caplog.text == ""


def test_ranges_of_16_bits() -> None:
    found = InputRange("x", 16)
    found.add(torch.tensor([-32768.0, 32767.0]), 1.0)
    assert found.clipping() is None
    assert found.waste() is None
    found.add(torch.tensor([40000.0, 0.0]), 1.0)
    assert found.clipped_share == 0.25


def test_values_that_are_not_finite_are_refused_at_a_given_scale() -> None:
    model = prepare_calibration(network())
    x = images(1, 4, 4)
    x[0, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match=r"0: calibration cannot use this input.*NaN"):
        model(x)


class TwoBranches(nn.Module):
    """One branch is not run in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.used, self.spare = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
        self.match = Correlation(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.dequant(self.used(self.quant(x)))


def test_layers_that_no_batch_reached_are_named(caplog: pytest.LogCaptureFixture) -> None:
    model = TwoBranches().eval()
    model.qconfig = MINMAX
    prepared = prepare_calibration(model)
    prepared(images(1, 4, 4))
    finish_calibration(copy.deepcopy(prepared))
    assert "no calibration batch reached spare, match: without a scale" in caplog.text


def test_calibration_without_data_is_an_error() -> None:
    model = prepare_calibration(network())
    with pytest.raises(InputError, match="calibration saw no data"):
        finish_calibration(model)
    model(images(1, 4, 4))
    finish_calibration(finish_calibration(model))  # the second time: nothing new, and no harm


def test_threads_that_share_a_model_may_end_the_watch_of_each_other():
    watch = InputWatch("img", 8)
    watched = watch.range
    assert watched is not None
    add = watched.add

    def ended_meanwhile(x, scale):
        add(x, scale)
        watch.range = None  # as another thread does that has seen enough

    watched.add = ended_meanwhile
    watch.look(torch.zeros(1, 6, 4, 4), torch.tensor(1 / 128))
    assert watch.range is None
