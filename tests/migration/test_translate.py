"""Names, arguments, modules and functions of the original tool kit, one at a time."""

from __future__ import annotations

import subprocess
import sys
import types

import numpy as np
import pytest
import torch

import hat.migration.modules
from hat import shipped
from hat.config import Config
from hat.errors import InputError
from hat.inference import full_resolution_flow, read_pair
from hat.migration import Kind, translate
from hat.migration.pair_inputs import PairInputs
from hat.migration.table import ARGUMENTS, TYPES
from hat.registry import OBJECT_REGISTRY
from tests.conftest import ROOT


def one(config, name="x"):
    """The translation of one section, and its notes without the place."""
    sections, notes = translate({name: config})
    return sections[name], [(note.kind, note.where.removeprefix(name)) for note in notes]


@pytest.mark.parametrize("name", shipped.shipped_configs())
def test_a_config_of_this_tool_kit_stays_as_it_is(name):
    assert Config.fromfile(name).notes == []


def test_nothing_is_copied_without_need():
    sections = {"a": {"type": "PwcNet", "out_channels": [1]}, "b": [1, (2, {"c": None})]}
    found, notes = translate(sections)
    assert notes == []
    assert all(found[name] is sections[name] for name in sections)


def test_every_rule_leads_to_a_component_here():
    import hat.components  # noqa: F401

    names = OBJECT_REGISTRY.names()
    assert {rule.ours for rule in TYPES if rule.ours} <= set(names)
    assert {kind for rule in ARGUMENTS for kind in rule.types} <= set(names)


def test_one_name_of_two_classes_is_decided_by_the_arguments():
    backbone = {"type": "PwcNet", "out_channels": [4]}
    assert one(backbone)[0]["type"] == "PwcNet"
    task, notes = one({"type": "PwcNet", "neck": {"type": "PwcNetNeck"}, "head": {}})
    assert task == {"type": "PwcnetTask", "backbone": {"type": "PwcNet"}, "head": {}}
    assert notes == [(Kind.RENAMED, w) for w in ("", ".neck", ".backbone")]


def test_what_is_shared_stays_shared_and_the_config_is_not_changed():
    head = {"type": "PwcNetHead", "md": 4}
    sections = {"a": {"head": head}, "b": [head, head]}
    found, notes = translate(sections)
    assert found["a"]["head"] is found["b"][0] is found["b"][1]
    assert head == {"type": "PwcNetHead", "md": 4}
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("argument", "kind"),
    [
        ({"mul_scale": False}, Kind.IGNORED),
        ({"mul_scale": True}, Kind.CHANGED),
    ],
)
def test_arguments_without_a_counterpart(argument, kind):
    found, notes = one({"type": "Scale", "scales": (0.25,), **argument})
    assert found == {"type": "Scale", "scales": (0.25,)}
    assert [note[0] for note in notes] == [kind]


def test_other_values_stay_for_the_class_to_judge():
    config = {"type": "Scale", "scales": (0.25,), "mul_scale": 2, "seed": 3}
    assert one(config) == (config, [])


def test_callbacks_that_are_left_out():
    own = {"type": "StatsMonitor"}
    found, notes = one([{"type": "TensorBoard"}, own, {"type": "SaveTraced", "x": 1}])
    assert found == [own]
    assert notes == [(Kind.IGNORED, ".0"), (Kind.IGNORED, ".2")]


def test_the_last_stage_trains_nothing():
    config = {"type": "Trainer", "optimizer": None, "num_epochs": 0, "callbacks": []}
    found, _ = one(config, "int_infer_trainer")
    assert found == {"type": "IntInferTrainer", "callbacks": []}
    found, _ = one({"type": "Trainer", "optimizer": {"type": "x"}}, "float_trainer")
    assert found["type"] == "distributed_data_parallel_trainer"


def test_a_section_s_own_rule_does_not_hold_for_what_it_shares():
    config = {"type": "Predictor", "model": None}
    found, _ = translate({"align_bpu_predictor": config, "float_predictor": config})
    assert found["align_bpu_predictor"]["type"] == "BoardPredictor"
    assert found["float_predictor"] == config


def test_a_seed_of_none_is_zero():
    sections = {"seed": None, "a": {"type": "PwcNetNeck"}, "b": [{"type": "x", "seed": None}]}
    found, _ = translate(sections)
    assert (found["seed"], found["b"]) == (0, [{"type": "x"}])
    own = {"seed": None, "b": [{"type": "x", "seed": None}]}
    assert translate(own) == (own, [])  # which the commands refuse


def test_imports_that_have_a_counterpart(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        "import horizon_plugin_pytorch as horizon\n"
        "import horizon_plugin_pytorch.march\n"
        "import horizon_plugin_pytorch.march as m\n"
        "from horizon_plugin_pytorch.march import March, set_march\n"
        "from horizon_plugin_pytorch.quantization import prepare_qat\n"
        "from hat.utils.config import ConfigVersion\n"
        "import hat\n"
        "set_march(March.BAYES_E)\n"
        "names = [March.BAYES, horizon.march.March.NASH_E, m.March.BERNOULLI2]\n"
        "names.append(horizon_plugin_pytorch.march.March.HOST)\n"
        "same = prepare_qat is horizon.quantization.prepare_qat\n"
        "collate = [hat.data.collates.collates.collate_2d]\n"
        "version = [ConfigVersion.v2]\n"
    )
    config = Config.fromfile(path)
    assert config.names == ["bayes", "nash-e", "bernoulli2", "host"]
    assert config.same


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("from horizon_plugin_pytorch.march import Marsh", r"a\.py:1: .*march\.Marsh.*March"),
        ("import horizon_plugin_pytorch.fx", r"a\.py:1: .*horizon_plugin_pytorch\.fx.*there are"),
        (
            "from horizon_plugin_pytorch.march import March\na = March.MOON",
            r"a\.py:2: .*March\.MOON: .*BAYES_E",
        ),
    ],
)
def test_imports_that_have_none(tmp_path, line, message):
    path = tmp_path / "a.py"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=message):
        Config.fromfile(path)


def test_a_module_that_is_installed_wins(tmp_path, monkeypatch):
    path = tmp_path / "a.py"
    path.write_text("from skimage.io import imread\nkind = [imread.__module__]\n")
    monkeypatch.setattr(hat.migration.modules, "_installed", lambda name, rule: False)
    assert Config.fromfile(path).kind == ["hat.data.image_io"]
    monkeypatch.undo()
    io = types.ModuleType("skimage.io")
    exec("def imread(path): ...", io.__dict__)
    io.imread.__module__ = "skimage.io"
    package = types.ModuleType("skimage")
    package.io = io
    monkeypatch.setitem(sys.modules, "skimage", package)
    monkeypatch.setitem(sys.modules, "skimage.io", io)
    assert Config.fromfile(path).kind == ["skimage.io"]


def test_other_programs_do_not_see_the_modules():
    code = "import hat.config, importlib.util, sys\n"
    code += "sys.exit(importlib.util.find_spec('horizon_plugin_pytorch') is not None)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def pair(folder):
    from hat.data.image_io import write_png

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (2, 16, 24, 3), dtype=np.uint8)
    paths = {f"img{i + 1}": str(folder / f"{i}.png") for i in range(2)}
    for path, image in zip(paths.values(), images, strict=True):
        write_png(path, image)
    return paths, np.concatenate(list(images), axis=2)


@pytest.mark.parametrize("form", ["hwc", "chw", "batch", "float", "tuple"])
def test_images_of_any_form_are_read_as_the_command_reads_them(tmp_path, form):
    paths, image = pair(tmp_path)
    forms = {
        "hwc": image,
        "chw": torch.from_numpy(image).permute(2, 0, 1),
        "batch": torch.from_numpy(image).permute(2, 0, 1)[None],
        "float": torch.from_numpy(image).permute(2, 0, 1)[None].float(),
        "tuple": image,
    }

    def process_inputs(inputs, transforms):
        assert inputs == paths
        data = transforms({"img": forms[form], "own": 1})
        for transform in transforms:
            data = transform(data)
        return (data, inputs) if form == "tuple" else data

    batch = PairInputs(process_inputs, rgb=True)(paths)
    wanted = read_pair(paths)
    assert batch["img"].dtype == torch.uint8
    assert torch.equal(batch["img"], wanted["img"])
    assert (batch["color_space"], batch["own"]) == (["rgb"], 1)


def test_an_image_that_the_function_has_normalised_itself_stays():
    image = torch.linspace(-1, 1, 6 * 16).reshape(1, 6, 4, 4)
    batch = PairInputs(lambda inputs, transforms: {"img": image}, rgb=False)({})
    assert torch.equal(batch["img"], image)
    assert batch["color_space"] == ["bgr"]
    with pytest.raises(InputError, match="no image of six channels"):
        PairInputs(lambda inputs, transforms: {"img": image[:, :3]}, rgb=False)({})


def test_functions_of_infer_cfg_are_told_apart_by_their_parameters():
    own = {"process_inputs": read_pair, "process_outputs": full_resolution_flow}
    assert translate({"infer_cfg": own})[1] == []
    theirs = {
        "process_inputs": lambda inputs, transforms: {},
        "process_outputs": lambda outputs, viz_func, inputs: None,
        "transforms": [{"type": "BgrToYuv444"}],
    }
    found, notes = translate({"infer_cfg": theirs})
    assert isinstance(found["infer_cfg"]["process_inputs"], PairInputs)
    assert not found["infer_cfg"]["process_inputs"].rgb
    assert found["infer_cfg"]["process_outputs"] is full_resolution_flow
    assert [n.kind for n in notes if "process_outputs" in n.where] == [Kind.CHANGED]
