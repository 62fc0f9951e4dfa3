"""Fused layers compute what their parts did."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from horizon.errors import InputError
from horizon.nn import Correlation, FloatFunctional, QuantStub
from horizon.quantization import (
    convert,
    finish_calibration,
    fuse_modules,
    output_integers,
    prepare_calibration,
    prepare_qat,
)
from horizon.quantization.fuse import FusedConv, FusedCorrelation
from tests.horizon.quantization.small_models import OddNet, calibrated, images, odd_net


class Parts(nn.Module):
    """Convolution, normalisation, sum, ReLU, in their own words."""

    def __init__(self, transposed: bool = False, bias: bool = True, affine: bool = True) -> None:
        super().__init__()
        kind = nn.ConvTranspose2d if transposed else nn.Conv2d
        self.conv = kind(3, 5, 3, padding=1, bias=bias)
        self.bn = nn.BatchNorm2d(5, affine=affine)
        self.add = FloatFunctional()
        self.relu = nn.ReLU()
        nn.init.uniform_(self.bn.running_mean, -1, 1)
        nn.init.uniform_(self.bn.running_var, 0.2, 3)
        if affine:
            nn.init.uniform_(self.bn.weight, -2, 2)
            nn.init.uniform_(self.bn.bias, -1, 1)
        self.order = (0, 1)

    def forward(self, x, residual):
        operands = (residual, self.bn(self.conv(x)))
        return self.relu(self.add.add(*(operands[i] for i in self.order)))


@pytest.mark.parametrize("fold_bn", [True, False])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_fused_equals_float_up_to_rounding(fold_bn, transposed, bias, affine):
    torch.manual_seed(0)
    model = Parts(transposed, bias, affine).eval()
    x, residual = torch.randn(2, 3, 4, 7), torch.randn(2, 5, 4, 7)
    expected = model(x, residual)
    fuse_modules(model, ["conv", "bn", "add", "relu"], fold_bn)
    fused = model.add
    assert isinstance(fused, FusedConv)
    assert (fused.bn is None) == fold_bn
    assert all(isinstance(m, nn.Identity) for m in (model.conv, model.bn, model.relu))
    torch.testing.assert_close(model(x, residual), expected, atol=1e-5, rtol=1e-5)


def test_the_convolution_may_be_the_first_operand():
    torch.manual_seed(0)
    model = Parts().eval()
    model.order = (1, 0)
    x, residual = torch.randn(2, 3, 4, 7), torch.randn(2, 5, 4, 7)
    expected = model(x, residual)
    fuse_modules(model, ["conv", "bn", "add", "relu"], conv_operand=0)
    torch.testing.assert_close(model(x, residual), expected, atol=1e-5, rtol=1e-5)


def test_correlation_takes_its_relu():
    torch.manual_seed(0)
    model = nn.Sequential(Correlation(2), nn.ReLU())
    a, b = torch.randn(2, 1, 4, 3, 5)
    expected = model[1](model[0](a, b))
    fuse_modules(model, ["0", "1"])
    assert isinstance(model[0], FusedCorrelation)
    assert isinstance(model[1], nn.Identity)
    assert torch.equal(model[0](a, b), expected)
    assert (model[0](a, b) == 0).any()


def test_whole_model():
    x = images(2, 5, 7)
    torch.manual_seed(0)
    plain = OddNet().eval()
    fused = copy.deepcopy(plain)
    fused.fuse_model()
    torch.testing.assert_close(fused(x), plain(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["bn", "conv"], "bn"),
        (["conv"], "conv"),
        (["conv", "relu", "bn"], "relu"),
        (["conv", "missing"], "missing"),
    ],
)
def test_other_sequences_are_errors_and_change_nothing(names, found):
    model = Parts()
    before = copy.deepcopy(model.state_dict())
    kinds = [type(m) for m in model.children()]
    with pytest.raises(InputError, match=found):
        fuse_modules(model, names)
    assert [type(m) for m in model.children()] == kinds
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_normalisation_without_running_statistics_is_an_error():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, track_running_stats=False))
    with pytest.raises(InputError, match="no running statistics"):
        fuse_modules(model, ["0", "1"])


def test_add_on_a_convolution_without_one_is_an_error():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    fuse_modules(model, ["0", "1"])
    with pytest.raises(InputError, match="fused with no addition"):
        model[0].add(torch.zeros(1), torch.zeros(1))


def test_a_qconfig_that_was_set_before_fusing_stays():
    torch.manual_seed(0)
    model = odd_net().train(False)
    marked = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    marked[0].qconfig = model.offset.qconfig
    fuse_modules(marked, ["0", "1"])
    assert marked[0].qconfig == model.offset.qconfig
    assert marked[0].qconfig.activation.dtype == "int16"


def test_live_statistics_evaluate_like_folded_ones():
    x = images(2, 5, 7, seed=1)
    folded = calibrated(odd_net(fold_bn=True), x)
    live = calibrated(odd_net(fold_bn=False), x)
    assert live.stem.bn is not None
    for a, b in ((folded, live), (convert(folded), convert(live))):
        (expected,), (found,) = output_integers(a, x), output_integers(b, x)
        assert expected.unique().numel() > 5
        assert torch.equal(found, expected)


def test_live_statistics_move_in_training_and_freeze_with_their_module():
    x = images(2, 5, 7)
    model = prepare_qat(calibrated(odd_net(fold_bn=False), x)).train()
    statistics = [b for n, b in model.named_buffers() if "running_" in n]
    assert len(statistics) == 4
    before = [b.clone() for b in statistics]
    model(x)
    after = [b.clone() for b in statistics]
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    model(x)
    assert all(torch.equal(a, b) for a, b in zip(after, statistics, strict=True))
    model.eval()(x)
    assert all(torch.equal(a, b) for a, b in zip(after, statistics, strict=True))


def test_live_statistics_are_those_of_the_float_convolution():
    torch.manual_seed(0)
    layers = [QuantStub(1 / 128), nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)]
    model = nn.Sequential(*layers)
    plain = copy.deepcopy(model)
    fuse_modules(model, ["1", "2"], fold_bn=False)
    model.qconfig = odd_net().qconfig
    x = images(3, 6, 6)
    prepared = prepare_calibration(model).eval()
    prepared(x)
    qat = prepare_qat(finish_calibration(prepared)).train()
    qat(x)
    plain.train()(x)
    for key in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(getattr(qat[1].bn, key), getattr(plain[2], key))
