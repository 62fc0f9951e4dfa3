"""torchvision's networks as they are, random weights: trained a step, converted, compiled, run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision

from hat.deploy.build import compile_model
from horizon import hbm
from horizon.quantization import (
    IntegerModel,
    check_prepared,
    convert,
    finish_calibration,
    prepare_calibration,
    prepare_qat,
    trace,
)
from horizon.runtime import Model

SIZE = 64
# Those whose layers all have a fixed-point form.
COVERED = ("regnet_x_400mf", "squeezenet1_1", "mnasnet0_5", "efficientnet_b0", "googlenet")
SEGMENTATION = ("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large")


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5"]
)
def test_every_executor_gives_the_same(name: str) -> None:
    torch.manual_seed(0)
    network = getattr(torchvision.models, name)(weights=None)
    images = torch.rand(2, 3, SIZE, SIZE) * 2 - 1
    with torch.no_grad():
        for _ in range(3):
            network.train()(images)  # statistics that leave something of the activations
    prepared = prepare_calibration(network.eval(), images, quiet=True)
    prepared(images)
    training = prepare_qat(finish_calibration(prepared)).train()
    training(images).square().mean().backward()
    assert all(p.grad is not None for p in training.parameters())
    converted = convert(training.eval())
    integers = IntegerModel(trace(converted))
    with torch.no_grad():
        wanted, found = network(images), converted(images)
        torch.testing.assert_close(found, training(images), rtol=0, atol=0)
    if name != "mobilenet_v3_small":  # whose random weights give next to nothing
        assert (found - wanted).abs().max() < 0.15 * wanted.abs().max()
    expected = integers.integers(images[:1]).numpy()
    for march in ("host", "bayes", "nash-e"):
        model = Model(hbm.to_bytes(compile_model(integers, (SIZE, SIZE), march=march).program))
        (entry,) = model.inputs
        steps = np.floor(images[:1].numpy() / np.float32(entry.scales[0]) + np.float32(0.5))
        pixels = (steps.clip(-128, 127) + 128).astype(np.uint8)
        given = model.run({entry.name: pixels})[model.outputs[0].name]
        np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize("name", COVERED)
def test_all_layers_have_a_form(name: str) -> None:
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    network = getattr(torchvision.models, name)(weights=None, **options).eval()
    found = check_prepared(network, torch.rand(1, 3, SIZE, SIZE))
    assert [one.message for one in found if one.is_error] == []


@pytest.mark.parametrize("name", SEGMENTATION)
def test_all_layers_of_networks_for_segmentation_have_a_form(name: str) -> None:
    make = getattr(torchvision.models.segmentation, name)
    network = make(weights=None, weights_backbone=None).eval()
    found = check_prepared(network, torch.rand(1, 3, SIZE, SIZE))
    assert [one.message for one in found if one.is_error] == []
