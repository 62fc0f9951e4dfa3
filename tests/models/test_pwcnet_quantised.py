"""PWC-Net in fixed point: QAT evaluation, integer model and reference give the same integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from horizon.hbir import Graph, reference, resized
from horizon.quantization import (
    IntegerModel,
    convert,
    finish_calibration,
    output_integers,
    prepare_calibration,
    prepare_qat,
    program_graph,
    program_state,
    trace,
)
from tests.models.networks import build, build_lite, random_batch, with_losses

SIZE = (64, 128)


def smooth_pair(images: int, height: int, width: int, seed: int) -> dict[str, Tensor]:
    """Image pairs of 8 bits."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(images, 6, height // 8, width // 8, generator=generator) * 2 - 1
    image = nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return {"img": (image * 128).round().clamp(-128, 127) / 128}


def calibrated(model: nn.Module, fold_bn: bool = True, **options: Any) -> nn.Module:
    model.eval()
    model.fuse_model(fold_bn)
    model.set_qconfig(**options)
    prepared = prepare_calibration(model, inplace=True)
    prepared(smooth_pair(1, 64, 64, seed=1))
    return finish_calibration(prepared)


@pytest.fixture(scope="module")
def lite() -> nn.Module:
    return prepare_qat(calibrated(build_lite())).eval()


@pytest.fixture(scope="module")
def lite_graph(lite: nn.Module) -> Graph:
    return trace(convert(lite))


def assert_three_executors_agree(model: nn.Module, graph: Graph) -> None:
    """QAT evaluation, the saved and loaded integer model, and the reference."""
    batch = smooth_pair(1, *SIZE, seed=2)
    (evaluated,) = output_integers(model, batch)
    assert evaluated.unique().numel() > 100
    executor = IntegerModel(program_graph(program_state(graph)))
    integers = executor.integers(batch)
    assert integers.dtype == torch.int32
    assert torch.equal(integers, evaluated)
    steps = np.floor(batch["img"].permute(0, 2, 3, 1).numpy() * 128 + 0.5).astype(np.int64)
    expected = reference.run(resized(graph, 1, *SIZE), {"img": steps})["flow"]
    assert torch.equal(integers.permute(0, 2, 3, 1).long(), torch.from_numpy(expected))
    assert {info.dtype for info in graph.tensors.values()} == {"int8", "int16", "int32"}
    assert graph.attributes == {"size_multiple": model.size_multiple}
    assert graph.tensors["flow"].scales[0] <= 1 / 128  # rounding of at most 1/256 pixel


def test_the_full_network_is_the_same_integers_everywhere():
    model = prepare_qat(calibrated(build()), inplace=True)
    assert_three_executors_agree(model, trace(convert(model)))


def test_the_lite_network_is_the_same_integers_everywhere(lite, lite_graph):
    assert_three_executors_agree(lite, lite_graph)


def test_requantised_concatenations_are_the_same_integers_everywhere():
    model = calibrated(build_lite(), concat="requantise")
    graph = trace(convert(model))
    assert_three_executors_agree(model, graph)
    concats = [n.output for n in graph.nodes if n.op == "concat" and n.attributes["axis"] == 3]
    assert concats
    assert all(len(graph.tensors[name].scales) == 1 for name in concats)


def test_sizes_that_need_padding(lite, lite_graph):
    executor = IntegerModel(lite_graph)
    odd = {"img": smooth_pair(2, 104, 72, seed=3)["img"][..., :101, :67]}
    assert torch.equal(executor.integers(odd), output_integers(lite, odd)[0])
    flow = executor(odd)
    assert flow.shape == (2, 2, 26, 17)
    assert torch.equal(flow, lite(odd))


def test_the_names_of_the_layers_are_those_of_the_float_model(lite_graph):
    assert {
        "backbone.levels.0.0.conv",
        "head.estimators.0.concat",
        "head.estimators.0.correlation",
        "head.estimators.0.flow_add",
        "head.estimators.0.warp",
    } <= {node.name for node in lite_graph.nodes}


@pytest.mark.parametrize("how", ["fixed", "learned"])
def test_a_training_step_of_the_lite_network(how):
    batch = {**random_batch(1, 64, 64), **smooth_pair(1, 64, 64, seed=1)}
    model = prepare_qat(calibrated(build_lite(), qat_scale=how), inplace=True).train()
    torch.stack(with_losses(model, batch)["losses"]).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    moved = [float(p.grad.abs().max()) > 0 for p in model.parameters() if p.dim() == 4]
    assert sum(moved) > 0.8 * len(moved)


def test_live_statistics_give_the_integers_of_folded_ones(lite):
    batch = smooth_pair(1, 64, 64, seed=1)
    live = calibrated(build_lite(), fold_bn=False)
    assert live.backbone.levels[0][0].conv.bn is not None
    assert torch.equal(output_integers(live, batch)[0], output_integers(lite, batch)[0])


def test_the_result_is_close_to_float(lite_graph):
    """Untrained, but calibrated on this pair: what is left is rounding and a little clipping."""
    batch = smooth_pair(1, 64, 64, seed=1)
    expected = build_lite().eval()(batch)
    found = IntegerModel(lite_graph)(batch)
    assert (found - expected).norm() < 0.3 * expected.norm()


@pytest.mark.parametrize("builder", [build, build_lite], ids=["full", "lite"])
def test_leaky_relu_as_the_paper_has_it(builder):
    """Fused with every convolution and correlation: one rounding, two slopes."""
    model = prepare_qat(calibrated(builder(act=nn.LeakyReLU(0.1))), inplace=True)
    graph = trace(convert(model))
    sloped = [n for n in graph.nodes if "negative_multiplier" in n.attributes]
    assert {n.op for n in sloped} == {"conv2d", "correlation"}  # none by itself
    assert len(sloped) > 30
    assert_three_executors_agree(model, graph)
