"""Export to ONNX: same numbers in ONNX Runtime, any batch and size, and a check that can fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from hat.config import Config
from hat.errors import InputError
from hat.export import check_onnx, export_onnx
from hat.export.onnx_check import image_pairs
from hat.registry import build_from_registry
from tests.cli.tiny import write_config

SIZES = ((1, 64, 128), (2, 64, 64), (3, 65, 100), (1, 3, 200), (1, 1, 1))


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    """Random weights, and batch statistics that differ from 0 and 1."""
    config = Config.fromfile(write_config(tmp_path_factory.mktemp("config")))
    torch.manual_seed(0)
    model = build_from_registry(config.model, "model")
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
    return model.eval()


@pytest.fixture(scope="module")
def file(task: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    export_onnx(task, path, metadata={"task": "tiny", "stage": "float"})
    return path


def test_same_result_for_any_batch_and_size(file: Path, task: nn.Module) -> None:
    results = list(check_onnx(file, task, np.random.default_rng(0), SIZES))
    assert [(r.batch, r.height, r.width) for r in results] == list(SIZES)
    assert max(r.largest_flow for r in results) > 1.0  # else there is nothing to compare
    for result in results:
        assert result.difference < 1e-4, result


def test_the_file_tells_what_it_is(file: Path) -> None:
    model = onnx.load(str(file))
    (image,), (flow,) = model.graph.input, model.graph.output
    dims = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert (image.name, dims) == ("img", ["batch", 6, "height", "width"])
    assert flow.name == "flow"
    assert flow.type.tensor_type.shape.dim[1].dim_value == 2
    assert {p.key: p.value for p in model.metadata_props} == {"task": "tiny", "stage": "float"}
    assert [p.name for p in file.parent.iterdir()] == ["tiny.onnx"]


def test_batch_normalisation_is_folded_and_sampling_is_one_operator(file: Path) -> None:
    kinds = [node.op_type for node in onnx.load(str(file)).graph.node]
    assert "BatchNormalization" not in kinds
    assert kinds.count("GridSample") == 4


def test_the_check_finds_a_wrong_weight(file: Path, task: nn.Module, tmp_path: Path) -> None:
    model = onnx.load(str(file))
    weight = next(w for w in model.graph.initializer if w.name.endswith("estimators.0.flow.weight"))
    values = onnx.numpy_helper.to_array(weight).copy()
    values[0, 0, 1, 1] += 0.1
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, str(tmp_path / "wrong.onnx"))
    (result,) = check_onnx(tmp_path / "wrong.onnx", task, np.random.default_rng(0), [(1, 64, 128)])
    assert result.difference > 1e-3


def test_the_check_takes_nan_for_a_difference(file: Path) -> None:
    class Broken(nn.Module):
        def forward(self, data: dict[str, torch.Tensor]) -> torch.Tensor:
            image = data["img"]
            return image.new_full((len(image), 2, image.shape[2] // 4, image.shape[3] // 4), np.nan)

    (result,) = check_onnx(file, Broken(), np.random.default_rng(0), [(1, 64, 64)])
    assert result.difference == np.inf


def test_generated_images_are_in_range_and_move() -> None:
    images = image_pairs(2, 40, 56, np.random.default_rng(3))
    assert images.shape == (2, 6, 40, 56)
    assert images.dtype == np.float32
    assert images.min() >= -1
    assert images.max() < 1
    np.testing.assert_array_equal(images * 128, np.round(images * 128))
    assert images.std() > 0.1
    assert np.abs(images[:, :3] - images[:, 3:]).mean() > 0.02


@pytest.mark.parametrize("opset", [15, 21])
def test_opset_without_the_operators(opset: int, task: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"opset {opset}: expected 16 to"):
        export_onnx(task, tmp_path / "no.onnx", opset=opset)
    assert list(tmp_path.iterdir()) == []
