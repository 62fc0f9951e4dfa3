"""Components that can be shortened say so themselves; a type's name and its class are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from hat.config import Config
from hat.engine.callbacks import Checkpoint
from hat.engine.pipeline_test import PipelineTest, shorten
from hat.registry import OBJECT_REGISTRY, components, resolve
from tests.conftest import ROOT

CONFIGS = sorted((ROOT / "configs").rglob("*.py"))
TRAINERS = ("float_trainer", "calibration_trainer", "qat_trainer", "int_infer_trainer")


def with_classes(value):
    """``value`` with every registered name that is a type replaced by its class."""
    if isinstance(value, dict):
        changed = {key: with_classes(item) for key, item in value.items()}
        if isinstance(value.get("type"), str):
            changed["type"] = OBJECT_REGISTRY.get(value["type"])
        return changed
    if isinstance(value, list | tuple):
        return type(value)(with_classes(item) for item in value)
    return value


def described(recipe):
    return [
        (part.path, part.target, sorted(part.arguments), part.arguments.get("save_dir"))
        for part in components(recipe)
    ]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", TRAINERS)
def test_names_and_classes_are_shortened_alike(path, name, tmp_path):
    nowhere = {}
    if "opticalflow_pred" in path.parts:  # the demo makes the config's own
        nowhere["data_dir"] = str(tmp_path / "nowhere")
    section = Config.fromfile(path, nowhere).section(name)
    test = PipelineTest(tmp_path / "pipeline_test", lambda missing: tmp_path / Path(missing).name)
    recipes = [resolve(section, name), resolve(with_classes(section), name)]
    for recipe in recipes:
        shorten(recipe, test)
        saves = [part for part in components(recipe) if part.is_a(Checkpoint)]
        assert [part.arguments["save_dir"] for part in saves] == [test.folder]
        data = [
            part.arguments["data_path"]
            for part in components(recipe)
            if "data_path" in part.arguments
        ]
        assert all(Path(path).parent == tmp_path for path in data)
        lengths = {"num_steps": 3, "max_batches": 2, "log_freq": 1, "step_log_freq": 1}
        for part in components(recipe):
            assert all(part.arguments.get(key, value) == value for key, value in lengths.items())
    assert described(recipes[0]) == described(recipes[1])


def test_the_config_itself_is_not_changed(tmp_path):
    config = Config.fromfile(CONFIGS[0])
    before = repr(config.section("float_trainer"))
    recipe = resolve(config.section("float_trainer"), "float_trainer")
    shorten(recipe, PipelineTest(tmp_path, lambda missing: tmp_path))
    assert repr(config.section("float_trainer")) == before
