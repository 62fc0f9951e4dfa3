"""Sizes of the networks, and that no two layers share what they must own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from horizon.nn import Correlation, FloatFunctional, GridSample
from tests.models.networks import CHANNELS, LITE_CHANNELS, LITE_HEAD, build, build_lite


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("channels", "head", "without_bn", "bn"),
    [
        (CHANNELS, {}, 14_079_050, 13_432),
        (CHANNELS, {"use_res": False}, 9_374_274, 8_824),
        (CHANNELS, {"use_res": False, "use_dense": False}, 4_705_064, 8_824),
        (LITE_CHANNELS, LITE_HEAD, 500_300, 2_584),
    ],
)
def test_parameter_counts(
    channels: list[int], head: dict[str, Any], without_bn: int, bn: int
) -> None:
    with torch.device("meta"):
        assert parameters(build(channels, use_bn=False, **head)) == without_bn
        assert parameters(build(channels, **head)) == without_bn + bn


def count_macs(network: nn.Module, height: int, width: int) -> dict[str, int]:
    """Multiply-accumulates per kind of layer, from the shapes that pass through them."""
    macs = dict.fromkeys(("conv", "transposed", "correlation"), 0)

    def hook(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            pixels = output.shape[0] * output.shape[-2] * output.shape[-1]
            macs["conv"] += layer.weight.numel() * pixels
        elif isinstance(layer, nn.ConvTranspose2d):
            pixels = inputs[0].shape[-2] * inputs[0].shape[-1]
            macs["transposed"] += layer.weight.numel() * pixels
        else:
            macs["correlation"] += output.numel() * inputs[0].shape[1]

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | Correlation):
            layer.register_forward_hook(hook)
    with torch.no_grad():
        network.eval()({"img": torch.zeros(1, 6, height, width)})
    return macs


def test_published_macs() -> None:
    """40.85 GMAC at 384x512 are the convolutions and transposed convolutions; a quarter here."""
    macs = count_macs(build(), 192, 256)
    convolutions = 4 * (macs["conv"] + macs["transposed"])
    assert round(convolutions / 1e9, 2) == 40.85
    assert round((convolutions + 4 * macs["correlation"]) / 1e9, 2) == 40.91


def test_lite_macs() -> None:
    macs = count_macs(build_lite(), 192, 256)
    assert round((macs["conv"] + macs["transposed"]) / 1e9, 2) == 0.46


def test_every_activation_is_a_copy() -> None:
    config_object = nn.ReLU()
    network = build(act_type=config_object)
    names = dict(network.named_modules(remove_duplicate=False))
    activations = [layer for layer in names.values() if isinstance(layer, nn.ReLU)]
    # 18 convolutions of the backbone; 25 + 30 of the head; one behind each correlation.
    assert len(activations) == 18 + 25 + 30 + 5
    assert len({id(layer) for layer in activations}) == len(activations)
    assert config_object not in activations


def test_every_operation_runs_once_per_pass() -> None:
    """Quantisation gives each layer one set of statistics: none may serve two places."""
    network = build_lite(use_dense=True, use_res=True)
    calls: dict[str, int] = {}

    def count(name: str) -> Any:
        def call(*_: Any) -> None:
            calls[name] = calls.get(name, 0) + 1

        return call

    leaves = {
        name: layer
        for name, layer in network.named_modules()
        if not list(layer.children()) and not isinstance(layer, FloatFunctional)
    }
    for name, layer in leaves.items():
        layer.register_forward_hook(count(name))
    functionals = [m for m in network.modules() if isinstance(m, FloatFunctional)]
    for index, layer in enumerate(functionals):
        for method in ("add", "cat", "mul_scalar"):
            wrap(layer, method, count(f"functional {index}"))
    with torch.no_grad():
        network.eval()({"img": torch.zeros(1, 6, 64, 64)})
    finest_only = {"dequants.1", "dequants.2", "dequants.3", "dequants.4", "loss"}
    expected = {
        *(leaves.keys() - finest_only),
        *(f"functional {i}" for i in range(len(functionals))),
    }
    assert calls == dict.fromkeys(expected, 1)
    assert sum(isinstance(m, Correlation) for m in leaves.values()) == 5
    assert sum(isinstance(m, GridSample) for m in leaves.values()) == 4


def wrap(layer: Any, method: str, call: Any) -> None:
    original = getattr(layer, method)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        call()
        return original(*arguments, **named)

    setattr(layer, method, wrapped)


def test_initial_weights() -> None:
    network = build()
    for name, parameter in network.named_parameters():
        if name.endswith("conv.bias") or ("up_" in name and name.endswith("bias")):
            assert parameter.abs().max() == 0, name
    weight = network.get_parameter("head.estimators.0.context.0.conv.weight")
    assert weight.std().item() == pytest.approx((2 / (565 * 9)) ** 0.5, rel=0.01)


def test_bn_kwargs_reach_every_layer() -> None:
    config = build(LITE_CHANNELS, **LITE_HEAD, bn_kwargs={"momentum": 0.03, "eps": 1e-3})
    head_layers = [
        m for n, m in config.named_modules() if isinstance(m, nn.BatchNorm2d) and "head" in n
    ]
    assert len(head_layers) == 5 * 5 + 6
    assert {(m.momentum, m.eps) for m in head_layers} == {(0.03, 1e-3)}


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"in_channels": [16, 32]}, "in_channels.*pyr_lvls=6"),
        ({"flow_pred_lvl": 0}, "flow_pred_lvl"),
        ({"flow_pred_lvl": 3}, "agree in flow_pred_lvl"),
        ({"predictor_channels": []}, "predictor_channels"),
        ({"context_channels": [8, 8]}, "context_dilations needs 3"),
        ({"act_type": "relu"}, "act_type"),
        ({"md": -1}, "max_displacement"),
    ],
)
def test_wrong_arguments_are_named(head: dict[str, Any], message: str) -> None:
    from hat.errors import InputError

    with torch.device("meta"), pytest.raises(InputError, match=message):
        build(**head)


def test_names_of_the_stages_are_stable() -> None:
    """Checkpoints name layers by their place."""
    with torch.device("meta"):
        names = set(build().state_dict())
    for name in (
        "backbone.levels.0.0.conv.weight",
        "backbone.levels.5.2.bn.running_mean",
        "head.estimators.0.convs.4.conv.bias",
        "head.estimators.4.flow.weight",
        "head.estimators.1.context.6.weight",
        "head.estimators.1.up_flow.weight",
        "head.estimators.4.up_feat.bias",
    ):
        assert name in names
    assert not any(name.startswith("head.estimators.0.up_") for name in names)
