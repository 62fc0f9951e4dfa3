"""A config alone as integer model: alive, the same every time, for any network."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from hat.config import Config
from hat.deploy.build import compile_model
from hat.deploy.random_program import random_image, random_program, settle
from hat.deploy.structure import first_difference
from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY
from horizon import hbm
from horizon.hbir.operators import operator_of
from horizon.nn import DeQuantStub, QuantStub
from horizon.quantization import (
    IntegerModel,
    fuse_modules,
    get_default_qat_out_qconfig,
    get_default_qat_qconfig,
)
from tests.cli.tiny import write_config


def config(folder: Path, **opts: Any) -> Config:
    return Config.fromfile(write_config(folder), opts)


def program_bytes(model: IntegerModel) -> bytes:
    return hbm.to_bytes(compile_model(model, (64, 64), march="bayes").program)


@pytest.mark.parametrize(
    "opts",
    [
        {},
        {"levels.use_bn": False},
        {"model.head.use_dense": True, "model.head.use_res": True},
        {"levels.pyr_lvls": 3, "levels.flow_pred_lvl": 1, "channels": [4, 6, 8]},
        {"levels.pyr_lvls": 7, "channels": [4] * 7},
    ],
)
def test_every_layer_has_something_to_do(tmp_path: Path, opts: dict[str, Any]) -> None:
    model = random_program(config(tmp_path, **opts))
    side = 2 * model.multiple
    image = torch.randint(-128, 128, (1, 6, side, side), dtype=torch.int8)
    found = model.all_integers(image)
    assert len(found) == len(model.graph.nodes) + 1
    still = [name for name, values in found.items() if values.unique().numel() < 3]
    assert still == []


def test_flow_keeps_warps_inside_of_the_image(tmp_path: Path) -> None:
    model = random_program(config(tmp_path))
    flow = model(torch.rand(1, 6, 256, 256) * 2 - 1)
    assert 0.1 < flow.abs().mean() < 20


def test_the_same_bytes_whatever_happened_before(tmp_path: Path) -> None:
    first = program_bytes(random_program(config(tmp_path)))
    threads = torch.get_num_threads()
    torch.rand(3)
    torch.set_num_threads(2)
    try:
        second = program_bytes(random_program(config(tmp_path)))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert first == second
    other = random_program(config(tmp_path, channels=[4, 4, 6, 6, 8, 9]))
    assert first != program_bytes(other)


def test_the_seed_counts_and_changes_no_layer(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    path.write_text(path.read_text() + "seed = 0\n")
    models = [random_program(Config.fromfile(path, {"seed": seed})) for seed in (0, 1)]
    assert program_bytes(models[0]) != program_bytes(models[1])
    assert first_difference(models[0].graph, models[1].graph) is None


def test_deploy_model_comes_first(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    text = "\ndeploy_model = dict(model, flow_scale=10.0)\nmodel = dict(type='PwcnetTask')\n"
    path.write_text(path.read_text() + text)
    assert random_program(Config.fromfile(path)).graph.name == "tiny"


def test_the_layer_that_differs_is_named(tmp_path: Path) -> None:
    one = random_program(config(tmp_path)).graph
    wide = random_program(config(tmp_path, **{"model.head.predictor_channels": [8, 6]})).graph
    text = first_difference(one, wide)
    assert text is not None
    assert text.startswith("layer head.estimators.4.convs.1.conv: channels [8, 4] there, [8, 6]")
    dense = random_program(config(tmp_path, **{"model.head.use_dense": True})).graph
    count = len(one.nodes)
    assert first_difference(one, dense) == (
        f"{count} layers there, {len(dense.nodes)} in the config"
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "name",
    [
        "segmentation.lraspp_mobilenet_v3_large",
        "segmentation.deeplabv3_mobilenet_v3_large",
        "efficientnet_v2_s",
        "regnet_y_400mf",
        "resnet152",
    ],
)
def test_the_last_digits_of_the_weights_decide_nothing(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    make = attrgetter(name)(torchvision.models)
    own = {"weights_backbone": None} if "segmentation" in name else {}
    network = make(weights=None, **own).eval()
    example = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        settle(network, random_image(example, 1, torch.Generator().manual_seed(0)))
        network.double()
        image = torch.rand(example.shape, dtype=torch.float64) * 2 - 1
        before = tree_leaves(network(image))[0]
        for weight in network.parameters():
            weight.mul_(1 + 2.0**-24 * (2 * torch.rand_like(weight) - 1))
        after = tree_leaves(network(image))[0]
    assert 1e-3 < before.abs().max() < 1e3
    # a hundredth of what the check of a fused network allows
    assert (after - before).abs().max() < 1e-6 * before.abs().max()


class Own(nn.Module):
    """A network of a user: three channels, no pyramid, another input."""

    size_multiple = 2

    def __init__(self, example: bool = True) -> None:
        super().__init__()
        self.quant = QuantStub(scale=1 / 128)
        self.first = nn.Conv2d(3, 8, 3, padding=1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU()
        self.last = nn.Conv2d(8, 5, 1)
        self.dequant = DeQuantStub()
        if example:
            self.example_input = lambda: torch.zeros(1, 3, 10, 12)

    def forward(self, image: Tensor) -> Tensor:
        x = self.act(self.norm(self.first(self.quant(image))))
        return self.dequant(self.last(x))

    def fuse_model(self, fold_bn: bool = True) -> None:
        fuse_modules(self, ["first", "norm", "act"], fold_bn)

    def set_qconfig(self) -> None:
        self.qconfig = get_default_qat_qconfig()
        self.last.qconfig = get_default_qat_out_qconfig(2.0**-10)


@pytest.fixture
def own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OBJECT_REGISTRY, "_objects", {**OBJECT_REGISTRY._objects, "Own": Own})


@pytest.mark.usefixtures("own_network")
def test_a_network_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("model = dict(type='Own')\n")
    model = random_program(Config.fromfile(path))
    assert model.graph.name == "model"
    compiled = compile_model(model, (20, 30), march="edge256")
    (image,) = compiled.program.inputs
    assert image.shape == (1, 3, 20, 30)


@pytest.mark.usefixtures("own_network")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "neither deploy_model nor model, so there is no network"),
        ("model = dict(type='Own', example=False)", r"Own has no example_input\(\)"),
        ("model = 3", "model: found 3, expected a dict, or an object"),
        ("model = dict(type=dict)", "model gives dict; expected a network"),
    ],
)
def test_configs_without_such_a_network(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.py"
    path.write_text(text + "\n")
    with pytest.raises(InputError, match=message):
        random_program(Config.fromfile(path))


def test_other_scales_are_the_same_network() -> None:
    config = Config.fromfile("pwcnet_lite_generated")
    graph = random_program(config).graph
    nodes = []
    for node in graph.nodes:
        columns = set(operator_of(node).columns.values()) & set(node.attributes)
        changed = {key: node.attributes[key] + 1 for key in columns}
        nodes.append(replace(node, attributes={**node.attributes, **changed}))
    assert {"add", "warp", "conv2d", "correlation", "rescale"} <= {node.op for node in nodes}
    assert first_difference(replace(graph, nodes=tuple(nodes)), graph) is None
