"""TeacherFlow: the flow of a trained network as ground truth."""

from __future__ import annotations

import pytest
import torch

from hat.config import Config
from hat.engine.convert import LoadCheckpoint, ModelConvertPipeline
from hat.engine.teacher import TeacherFlow
from hat.errors import InputError
from hat.registry import build_from_registry
from tests.conftest import ROOT

CONFIG = ROOT / "configs/opticalflow_pred/pwcnet/pwcnet_lite_generated.py"
WEIGHTS = ROOT / "models/pwcnet_lite_generated/float-checkpoint-best.pth.tar"


@pytest.fixture(scope="module")
def config() -> Config:
    return Config.fromfile(CONFIG, {"qat_teacher": True})


def network(config: Config) -> torch.nn.Module:
    pipeline = ModelConvertPipeline(converters=[LoadCheckpoint(WEIGHTS)])
    return pipeline(build_from_registry(config.model, "model")).eval()


def test_every_level_gets_the_flow_of_the_trained_network(config):
    batch = {
        "img": torch.randn(2, 6, 128, 192),
        "gt_flow_levels": [torch.zeros(1)],
        "gt_valid_levels": [torch.zeros(1)],
        "img_name": ["a", "b"],
    }
    pipeline = ModelConvertPipeline(converters=[LoadCheckpoint(WEIGHTS)])
    taught = TeacherFlow(build_from_registry(config.model, "model"), pipeline)(batch)
    expected = network(config)({"img": batch["img"]}, all_levels=True)
    assert len(taught["gt_flow_levels"]) == len(expected) == 6
    for found, flow in zip(taught["gt_flow_levels"], expected, strict=True):
        torch.testing.assert_close(found, flow * 20.0)
        assert not found.requires_grad
    assert "gt_valid_levels" not in taught
    assert taught["img_name"] == ["a", "b"]
    assert len(batch["gt_flow_levels"]) == 1  # the batch that was given is left as it is


def test_the_network_that_is_taught_itself_has_no_loss_but_epsilon(config):
    batch = {"img": torch.randn(1, 6, 128, 128)}
    task = network(config)
    taught = TeacherFlow(network(config))(batch)
    losses = task.compute_losses(task(taught, all_levels=True), taught)["losses"]
    least = (task.loss.epsilon) ** task.loss.power
    for loss, weight in zip(losses, task.loss_weights, strict=True):
        assert loss.item() == pytest.approx(weight * least, rel=2e-3)


def test_a_batch_without_images_is_refused(config):
    with pytest.raises(InputError, match=r'batch\["img"\]'):
        TeacherFlow(network(config))({})


@pytest.mark.parametrize("wanted", [True, False])
def test_the_config_has_a_teacher_for_qat_alone(wanted):
    config = Config.fromfile(CONFIG, {"qat_teacher": wanted})
    types = {
        stage: [t["type"] for t in config[stage]["batch_processor"]["batch_transforms"]]
        for stage in ("float_trainer", "qat_trainer", "calibration_trainer")
    }
    assert ("TeacherFlow" in types["qat_trainer"]) == wanted
    assert "TeacherFlow" not in types["float_trainer"] + types["calibration_trainer"]
