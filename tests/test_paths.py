"""Home folders, and inputs that lie near the config and not in the working directory."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

import horizon.march
from hat import paths
from hat.cli.checkpoints import loading_converters, resolve_checkpoints, stage_checkpoint
from hat.cli.compile_settings import machine_names
from hat.cli.infer import parse_model_inputs
from hat.cli.main import run_command
from hat.config import Config
from hat.data.datasets.flyingchairs import FlyingChairs
from hat.data.synthesis.photographs import PhotographTextures
from hat.data.synthesis.texture_bank import TextureBank
from hat.engine.checkpoint import checkpoint_path
from hat.errors import InputError
from hat.registry import resolve
from tests.data.raw_chairs import write_raw_chairs


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a config two folders deep; the working directory is outside of it."""
    (tmp_path / "project/configs/task").mkdir(parents=True)
    (tmp_path / "project/pyproject.toml").touch()
    (tmp_path / "outside").mkdir()
    monkeypatch.chdir(tmp_path / "outside")
    monkeypatch.setattr(paths, "_folders", [])
    return tmp_path / "project"


def config_of(project, text):
    path = project / "configs/task/a.py"
    path.write_text(text)
    return Config.fromfile(path)


def test_an_input_is_looked_up_in_the_working_directory_and_up_to_the_projects_root(project):
    config_of(project, "a = 1\n")
    root = project.resolve()
    looked = [Path("d"), root / "configs/task/d", root / "configs/d", root / "d"]
    assert paths.tried_paths("d") == looked
    assert paths.find_input("d") == Path("d")
    for place in looked[::-1]:
        place.mkdir()
        assert paths.find_input("./d") == place
    assert paths.tried_paths("/x/d") == [Path("/x/d")]


def test_a_config_outside_of_any_project_has_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT_MARKS", ("no-such-mark",))
    monkeypatch.setattr(paths, "_folders", [])
    paths.search_inputs_from(tmp_path / "deep" / "a.py")
    assert paths.tried_paths("d")[1:] == [tmp_path / "deep" / "d"]


def test_a_data_set_beside_the_project_is_found_from_elsewhere(project):
    write_raw_chairs(project / "data/Chairs", "11")
    config_of(project, "a = 1\n")
    assert len(FlyingChairs("./data/Chairs", split_name="train")) == 2
    with pytest.raises(InputError, match=r"also looked for .*configs/task/data/No.*project/data/N"):
        FlyingChairs("./data/No")
    test = argparse.Namespace(stand_in=lambda path: "generated")
    assert FlyingChairs.for_pipeline_test({"data_path": "data/Chairs"}, test) == {
        "data_path": "data/Chairs"
    }


def test_a_shipped_checkpoint_is_found_from_elsewhere_and_results_stay_here(project, capsys):
    shipped = checkpoint_path(project / "models", "float")
    shipped.parent.mkdir()
    shipped.touch()
    text = 'ckpt_dir = "./tmp_models/x"\nshipped_ckpt_dir = "./models"\n'
    assert stage_checkpoint(config_of(project, text), "float") == shipped.resolve()
    config = config_of(project, text.replace('"./models"', '"./modles"'))
    assert stage_checkpoint(config, "float") == checkpoint_path("tmp_models/x", "float")
    assert str(project.resolve() / "modles") in capsys.readouterr().out


def test_a_machine_beside_the_config(project):
    config = config_of(project, "a = 1\n")
    file = project / "configs/task/my.toml"
    file.touch()
    assert machine_names(config, {"march": ["host", "my.toml"]}) == ["host", str(file.resolve())]
    with pytest.raises(InputError, match=r"compile_cfg\.march: no\.toml does not exist; looked"):
        machine_names(config, {"march": "no.toml"})


def test_home_folders_in_a_config(project, monkeypatch):
    monkeypatch.setenv("HOME", "/home/of/me")
    config = config_of(
        project,
        'data = "~/d"\nsub = f"{data}/x"\nlist = dict(a=["~", ("~/b", 1)])\nother = "~ 3 px"\n',
    )
    assert config.sub == "/home/of/me/d/x"
    assert config["list"] == {"a": ["/home/of/me", ("/home/of/me/b", 1)]}
    assert config.other == "~ 3 px"
    opts = {"data": "~/e", "list.a.0": "~/f"}
    config = Config.fromfile(config.path, opts)
    assert (config.sub, config["list"]["a"][0]) == ("/home/of/me/e/x", "/home/of/me/f")


def test_home_folders_on_a_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    words = ["--target-data-dir=~/made", "--num-pairs", "2", "--num-val", "1", "--size", "64", "64"]
    assert run_command("flyingchairs_generator", [*words, "--num-workers", "1"]) == 0
    assert (tmp_path / "made").is_dir()
    assert not (tmp_path / "~").exists()
    found = parse_model_inputs("img1:~/a.png,img2:b~.png")
    assert found == {"img1": f"{tmp_path}/a.png", "img2": "b~.png"}
    with pytest.raises(InputError, match=f"^{tmp_path}/m.toml"):
        horizon.march.load("~/m.toml")


def test_textures_and_photographs_beside_the_config(project):
    config_of(project, "a = 1\n")
    folder = project / "configs/task"
    np.save(folder / "textures.npy", np.zeros((1, 640, 640, 3), np.uint8))
    assert TextureBank("textures.npy").path == folder.resolve() / "textures.npy"
    (folder / "photos").mkdir()
    with pytest.raises(InputError, match=f"^{folder.resolve()}/photos: no photographs"):
        PhotographTextures("photos")


def test_a_network_beside_the_config_and_the_run_s_own_checkpoints(project):
    """Only the first is an input: a run goes on from what lies in its own folder."""
    load = "dict(type='LoadCheckpoint', checkpoint_path={!r})"
    texts = [load.format(path) for path in ("other.pth.tar", "./out/float-checkpoint-best.pth.tar")]
    config = config_of(
        project,
        "ckpt_dir = './out'\ntrainer = dict(type=dict, model_convert_pipeline=dict(\n"
        f"    type='ModelConvertPipeline', converters=[{', '.join(texts)}]))\n",
    )
    (project / "configs/task/other.pth.tar").touch()
    checkpoint_path(project / "configs/task/out", "float").parent.mkdir()
    checkpoint_path(project / "configs/task/out", "float").touch()
    section = resolve(config.trainer, "trainer")
    resolve_checkpoints(section, config, "qat")
    found = [load.arguments["checkpoint_path"] for load in loading_converters(section)]
    beside = project.resolve() / "configs/task/other.pth.tar"
    assert found == [beside, "./out/float-checkpoint-best.pth.tar"]
