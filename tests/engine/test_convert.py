"""Converters, the calibrator and the integer trainer on networks of a few layers."""

from __future__ import annotations

import copy
import itertools
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hat.config import Config
from hat.engine.callbacks.base import Callback
from hat.engine.checkpoint import load_checkpoint, save_checkpoint
from hat.engine.convert import (
    Float2Calibration,
    Float2QAT,
    LoadCheckpoint,
    LoadIntegerModel,
    ModelConvertPipeline,
    QAT2Quantize,
)
from hat.errors import InputError
from hat.registry import build_from_registry
from horizon.nn import DeQuantStub, QuantStub
from horizon.quantization import (
    IntegerModel,
    finish_calibration,
    get_default_qat_qconfig,
    prepare_calibration,
)
from tests.engine import tiny


@pytest.fixture
def network(tiny_config: Path) -> Any:
    """Builds the tiny PWC-Net with seeded weights."""
    config = Config.fromfile(tiny_config)

    def build() -> nn.Module:
        torch.manual_seed(0)
        return build_from_registry(config.model, "model")

    return build


def calibrator(config: Config, trained: Path, **changes: Any) -> Any:
    """The config's calibrator on the float weights that stand beside ``trained``."""
    section = copy.deepcopy(config.calibration_trainer)
    load = section["model_convert_pipeline"]["converters"][0]
    load["checkpoint_path"] = trained.parent / "ckpt/float-checkpoint-best.pth.tar"
    return build_from_registry({**section, "device": "cpu", **changes}, "calibration_trainer")


def test_preparing_keeps_the_names_of_the_layers(network: Any) -> None:
    float_names = {name for name in network().state_dict() if name.endswith("conv.weight")}
    prepared = ModelConvertPipeline([Float2QAT()])(network())
    calibrated = ModelConvertPipeline([Float2Calibration()])(network())
    assert prepared.state_dict().keys() == calibrated.state_dict().keys()
    assert float_names <= prepared.state_dict().keys()


@pytest.mark.parametrize(("mode", "expected"), [("fuse_bn", False), ("with_bn", True)])
def test_the_pipeline_s_mode_decides_over_batch_normalisation(
    network: Any, mode: str, expected: bool
) -> None:
    model = ModelConvertPipeline([Float2QAT()], qat_mode=mode)(network())
    assert any(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == expected


def test_wrong_modes_and_models_are_explained(network: Any) -> None:
    with pytest.raises(ValueError, match=r"qat_mode.*'with_bm'"):
        ModelConvertPipeline([], qat_mode="with_bm")
    with pytest.raises(InputError, match=r"Linear has no fuse_model\(\)"):
        Float2QAT()(nn.Linear(1, 1))
    with pytest.raises(InputError, match="no quantised layers; put Float2QAT"):
        QAT2Quantize()(network())
    with pytest.raises(ValueError, match="no model"):
        ModelConvertPipeline()(None)


def test_a_model_that_nobody_calibrated_has_no_integer_form(network: Any) -> None:
    pipeline = ModelConvertPipeline([Float2QAT(), QAT2Quantize()])
    with pytest.raises(InputError, match=r"has no scale yet.*--stage calibration"):
        pipeline(network())


def test_weights_are_not_loaded_across_stages(network: Any, tmp_path: Path) -> None:
    file = tmp_path / "x.pth.tar"
    save_checkpoint(file, {"stage": "float", "state_dict": network().state_dict()})
    prepared = ModelConvertPipeline([Float2QAT()])(network())
    with pytest.raises(InputError, match="stage float; expected one of the stage calibration or"):
        LoadCheckpoint(file, allow_miss=True, ignore_extra=True)(prepared)
    save_checkpoint(file, {"state_dict": prepared.state_dict()})  # says nothing about its stage
    LoadCheckpoint(file)(prepared)
    with pytest.raises(InputError, match="stage calibration or qat; expected one of the stage fl"):
        LoadCheckpoint(file)(network())
    with pytest.raises(InputError, match="expected one of the stage int_infer"):
        LoadIntegerModel(file)()


@pytest.mark.parametrize(
    ("program", "message"),
    [({}, "program version None"), ({"version": 1}, "not a program")],
)
def test_damaged_programs_are_named(tmp_path: Path, program: dict, message: str) -> None:
    file = tmp_path / "int_infer-checkpoint-best.pth.tar"
    save_checkpoint(file, {"stage": "int_infer", "state_dict": {}, "program": program})
    with pytest.raises(InputError, match=f"{file}: .*{message}"):
        LoadIntegerModel(file)()
    save_checkpoint(file, {"stage": "int_infer", "state_dict": {}})
    with pytest.raises(InputError, match="holds no 'program'"):
        LoadIntegerModel(file)()


def test_calibration_uses_the_data_that_there_is(
    four_stages: Path, tiny_config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config.fromfile(tiny_config)
    trainer = calibrator(config, four_stages, num_steps=50, log_interval=2)
    assert trainer.length == "4 batches"
    assert "fewer than num_steps=50" in caplog.text
    with caplog.at_level(logging.INFO):
        trainer.fit()
    assert trainer.step == 4
    assert "batch 4 of 4" in caplog.text
    saved = load_checkpoint(tiny_config.parent / "ckpt/calibration-checkpoint-best.pth.tar")
    assert saved["metrics"]["EPE"] == trainer.val_results["EPE"]
    ready = [v for k, v in saved["state_dict"].items() if k.endswith("conv.act_quant.ready")]
    assert len(ready) > 20
    assert all(ready)


def test_without_validation_the_calibrated_model_is_the_best(
    four_stages: Path, tiny_config: Path
) -> None:
    config = Config.fromfile(tiny_config)
    calibrator(config, four_stages, callbacks=[config.calibration_ckpt_callback]).fit()
    saved = load_checkpoint(tiny_config.parent / "ckpt/calibration-checkpoint-best.pth.tar")
    assert saved["metrics"] == {}


def test_calibration_leaves_weights_that_can_be_trained(
    four_stages: Path, tiny_config: Path
) -> None:
    trainer = calibrator(Config.fromfile(tiny_config), four_stages, callbacks=[])
    before = {k: v.clone() for k, v in trainer.model.named_parameters()}
    trainer.fit()
    assert all(torch.equal(before[k], v) for k, v in trainer.model.named_parameters())
    assert not any(b.is_inference() for b in trainer.model.buffers())


def test_conversion_to_a_program_and_back(
    four_stages: Path, tiny_config: Path, tmp_path: Path
) -> None:
    config = Config.fromfile(tiny_config)
    trainer = calibrator(config, four_stages, callbacks=[])
    trainer.fit()
    file = tmp_path / "given.pth.tar"
    save_checkpoint(file, {"stage": "calibration", "state_dict": trainer.model.state_dict()})
    section = {
        "type": "IntInferTrainer",
        "model": config.model,
        "model_convert_pipeline": {
            "type": "ModelConvertPipeline",
            "converters": [
                {"type": "Float2QAT"},
                {"type": "LoadCheckpoint", "checkpoint_path": file},
                {"type": "QAT2Quantize"},
            ],
        },
        "callbacks": [config.int_infer_ckpt_callback],
        "device": "cpu",
    }
    build_from_registry(section, "int_infer_trainer").fit()
    loaded = LoadIntegerModel(tiny_config.parent / "ckpt/int_infer-checkpoint-last.pth.tar")()
    image = torch.rand(2, 6, 70, 65, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert isinstance(loaded, IntegerModel)
    assert torch.equal(loaded({"img": image}), trainer.model({"img": image}))


def test_the_integer_trainer_wants_an_integer_model(tiny_config: Path) -> None:
    section = {"type": "IntInferTrainer", "model": Config.fromfile(tiny_config).model}
    with pytest.raises(InputError, match=r"int_infer_trainer: .*must end with QAT2Quantize"):
        build_from_registry(section, "int_infer_trainer")


class Poison(Callback):
    """Makes the images of step ``step`` infinite."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, trainer: Any) -> None:
        prepare = type(trainer.batch_processor).prepare

        def poisoned(batch: dict, device: torch.device) -> dict:
            prepared = prepare(trainer.batch_processor, batch, device)
            if trainer.step == self.step:
                prepared["gt_flow_levels"][0][0, 0, 0, 0] = torch.inf
            return prepared

        trainer.batch_processor.prepare = poisoned


@pytest.mark.parametrize("qat_scale", ["fixed", "moving_average", "learned"])
def test_a_bad_step_leaves_no_trace_in_training_with_quantisation(
    four_stages: Path, tiny_config: Path, tmp_path: Path, qat_scale: str
) -> None:
    config = Config.fromfile(tiny_config, {"model.qconfig": {"qat_scale": qat_scale}})
    trainer = calibrator(config, four_stages, callbacks=[])
    trainer.fit()
    file = tmp_path / "given.pth.tar"
    save_checkpoint(file, {"stage": "calibration", "state_dict": trainer.model.state_dict()})
    section = {**config.qat_trainer, "device": "cpu", "callbacks": [], "num_steps": 3}
    section["model_convert_pipeline"]["converters"][-1]["checkpoint_path"] = file
    qat = build_from_registry(section, "qat_trainer")
    states = []

    class Record(Callback):
        def on_step_end(self, trainer: Any) -> None:
            states.append({k: v.clone() for k, v in trainer.model.state_dict().items()})

    qat.callbacks += [Poison(1), Record()]
    qat.fit()
    assert qat.updater.skipped_total == 1
    moved = [[k for k in a if not torch.equal(a[k], b[k])] for a, b in itertools.pairwise(states)]
    assert moved[0] == []
    assert any(name.endswith("weight") for name in moved[1])
    scales = [name for name in moved[1] if "act_quant" in name]
    assert bool(scales) == (qat_scale != "fixed")
    assert all(torch.isfinite(v).all() for v in qat.eval_model.state_dict().values())


def test_averaging_follows_scales_too(network: Any) -> None:
    from hat.engine.ema import averaged_model

    model = ModelConvertPipeline([Float2QAT()])(network())
    averaged = averaged_model(model, 0.5)
    for buffer in model.buffers():
        buffer.fill_(1)
    averaged.update_parameters(model)
    ready = [v for k, v in averaged.module.state_dict().items() if k.endswith("ready")]
    assert ready
    assert all(int(v) == 1 and v.dtype == torch.uint8 for v in ready)
    assert tiny.same_weights(averaged.module, model)


def with_std(config: Config, std: float) -> dict:
    """The processor of calibration with another ``std`` in its Normalize."""
    processor = copy.deepcopy(config.val_batch_processor)
    found = [t for t in processor["batch_transforms"] if t.get("interface") == "Normalize"]
    assert len(found) == 1
    found[0]["std"] = std
    return processor


def test_images_that_clip_are_refused_by_calibration(
    four_stages: Path, tiny_config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config.fromfile(tiny_config)
    wrong = {"batch_processor": with_std(config, 32.0)}
    trainer = calibrator(config, four_stages, **wrong)
    message = r"quant: \d+ % of the input lies beyond .*mean=128 and std=128.* at most 1 % \(max_cl"
    with pytest.raises(InputError, match=message):
        trainer.fit()
    assert not list((tiny_config.parent / "ckpt").glob("calibration-checkpoint-*"))
    assert "of the input lies beyond" not in caplog.text
    calibrator(config, four_stages, max_clipped_input=0.9, callbacks=[], **wrong).fit()
    assert "of the input lies beyond" in caplog.text


def test_images_that_use_few_integers_are_said_by_calibration(
    four_stages: Path, tiny_config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config.fromfile(tiny_config)
    calibrator(config, four_stages, callbacks=[]).fit()
    assert "integers" not in caplog.text
    wrong = with_std(config, 2000.0)
    calibrator(config, four_stages, batch_processor=wrong, callbacks=[]).fit()
    assert "of its 256 integers" in caplog.text


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(
    four_stages: Path, tiny_config: Path, share: float
) -> None:
    with pytest.raises(InputError, match="max_clipped_input is a share, from 0 to 1"):
        calibrator(Config.fromfile(tiny_config), four_stages, max_clipped_input=share)


class Wide(nn.Module):
    """A convolution of so many taps that its sums could overflow."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.conv = nn.Conv2d(6, 1, 69, padding=34)
        nn.init.constant_(self.conv.weight, 0.01)
        self.qconfig = get_default_qat_qconfig()

    def forward(self, data: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.dequant(self.conv(self.quant(data["img"])))

    def example_input(self) -> dict[str, torch.Tensor]:
        return {"img": torch.zeros(1, 6, 8, 8)}


def test_calibration_says_what_conversion_would_refuse(
    four_stages: Path, tiny_config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = calibrator(Config.fromfile(tiny_config), four_stages, callbacks=[])
    trainer.model = prepare_calibration(Wide()).eval()
    trainer.fit()
    assert "int_infer could not convert this model: conv: the accumulator of" in caplog.text


def test_a_loader_that_gives_fewer_batches_than_it_promised_is_said(
    four_stages: Path, tiny_config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = calibrator(Config.fromfile(tiny_config), four_stages, callbacks=[])
    first = next(iter(trainer.loader))
    trainer.num_steps = 2
    trainer.loader = Batches([first])
    trainer.fit()
    assert "the data loader gave 1 batches, fewer than the 2 it promised" in caplog.text


class Batches(list):
    """Stands for a data loader."""

    dataset: tuple = ()


class TwoInputs(nn.Module):
    """Two inputs and two outputs, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.size_multiple = 4

    def forward(self, data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        left, right = (self.conv(self.quant(data[name])) for name in ("left", "right"))
        return {"sum": self.dequant(left + right), "left": self.dequant(torch.relu(left))}

    def fuse_model(self) -> None:
        pass

    def set_qconfig(self) -> None:
        self.qconfig = get_default_qat_qconfig()

    def example_input(self) -> dict[str, torch.Tensor]:
        return {"left": torch.zeros(1, 3, 8, 8), "right": torch.zeros(1, 3, 8, 8)}


def test_several_inputs_and_outputs_by_name() -> None:
    torch.manual_seed(0)
    data = {name: torch.rand(2, 3, 6, 8) - 0.5 for name in ("left", "right")}
    model = Float2Calibration()(TwoInputs()).eval()
    padded = {name: nn.functional.pad(x, (0, 0, 0, 2), "replicate") for name, x in data.items()}
    model(padded)
    model = finish_calibration(model)
    program = QAT2Quantize("two", ["left", "right"], ["sum", "activation"])(model)
    assert (program.graph.inputs, program.graph.outputs) == (
        ("left", "right"),
        ("sum", "activation"),
    )
    found, expected = program(data), model(padded)
    assert list(found) == ["sum", "activation"]
    assert torch.equal(found["sum"], expected["sum"][..., :6, :])
    assert torch.equal(found["activation"], expected["left"][..., :6, :])
    with pytest.raises(InputError, match="no right among the inputs left"):
        program({"left": data["left"]})
    with pytest.raises(InputError, match=r"right: .*beside 2, 6, 8 of left"):
        program({**data, "right": data["right"][..., :1, :]})
    assert "output activation: int8" in program.summary()
