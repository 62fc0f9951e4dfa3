"""What comes along: listed, copied, and found by name from any folder."""

from __future__ import annotations

import pytest

import horizon.march
from hat import paths, shipped
from hat.cli.main import main
from hat.config import Config
from hat.config.source import config_files
from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY
from tests.conftest import ROOT

NAME = "pwcnet_lite_generated"
SHIPPED = ROOT / "configs/opticalflow_pred/pwcnet"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "_folders", [])
    return tmp_path


def test_ls_names_everything(capsys):
    assert main(["ls"]) == 0
    text = capsys.readouterr().out
    names = [*shipped.shipped_configs(), *shipped.shipped_models(), *horizon.march.available()]
    assert all(name in text for name in (*names, *OBJECT_REGISTRY.names()))


def test_ls_of_one_kind_and_of_one_name(capsys):
    assert main(["ls", "machines", "bayes"]) == 0
    assert capsys.readouterr().out == f"  bayes  {horizon.march.load('bayes').title}\n"
    assert main(["ls", "models", "pwcnet_lite"]) == 0
    assert "float, calibration, qat, int_infer: " in capsys.readouterr().out
    assert main(["ls", "components"]) == 0
    assert "Scale(scales, mode='bilinear')" in capsys.readouterr().out
    assert main(["ls", "components", "Scale"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Scale(scales, mode='bilinear')\nhat.data.transforms.scale.Scale\n\n")
    assert "align_corners=False" in text


@pytest.mark.parametrize("words", [["configs", "pwcnet_lte"], ["components", "Scal"]])
def test_ls_of_an_unknown_name_tells_the_nearest(words, capsys):
    assert main(["ls", *words]) == 2
    assert "did you mean" in capsys.readouterr().err


@pytest.mark.parametrize("name", shipped.shipped_configs())
def test_a_copy_says_the_same_as_the_original(name, elsewhere, monkeypatch):
    assert main(["cp", name, "copies/mine.py"]) == 0
    files = config_files(elsewhere / "copies/mine.py")
    assert all(file.parent == elsewhere / "copies" for file in files)
    assert len(files) == len(config_files(shipped.shipped_configs()[name]))
    text = (elsewhere / "copies/mine.py").read_text()
    has_commands = "--config" in shipped.shipped_configs()[name].read_text()
    assert ("--config copies/mine.py" in text) == has_commands
    copy, original = Config.fromfile("copies/mine.py"), Config.fromfile(name)
    assert set(copy) == set(original)
    assert copy.task_name == original.task_name
    assert copy.get("out_channels") == original.get("out_channels")


def test_the_commands_in_a_copy_run_in_any_folder(elsewhere):
    assert main(["cp", NAME, "exp"]) == 0
    text = (elsewhere / "exp/pwcnet_lite_generated.py").read_text()
    assert "hat train --stage float --config exp/pwcnet_lite_generated.py" in text
    assert "hat flyingchairs-packer" in text
    assert "tools/" not in text


def test_cp_into_a_folder_uses_bases_that_are_there(elsewhere, capsys):
    assert main(["cp", NAME, "."]) == 0
    assert sorted(p.name for p in elsewhere.iterdir()) == [
        f"{NAME}.py",
        "pwcnet_pwcnetneck_flyingchairs.py",
    ]
    assert main(["cp", NAME, "other.py"]) == 0  # the base is the same file
    capsys.readouterr()
    assert main(["cp", NAME, "."]) == 2
    assert f"{NAME}.py: exists already" in capsys.readouterr().err


def test_cp_overwrites_nothing_and_leaves_nothing_half(elsewhere, capsys):
    base = elsewhere / "pwcnet_pwcnetneck_flyingchairs.py"
    base.write_text("mine = 1\n")
    assert main(["cp", NAME, "."]) == 2
    assert f"{base.name}: exists already" in capsys.readouterr().err
    assert [p.name for p in elsewhere.iterdir()] == [base.name]
    assert base.read_text() == "mine = 1\n"
    assert main(["cp", NAME, f"new/{base.name}"]) == 2
    assert "derives from a file of this name" in capsys.readouterr().err
    assert main(["cp", "pwcnet_lite_generate", "."]) == 2
    assert f"did you mean '{NAME}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given", [NAME, f"{NAME}.py", f"configs/opticalflow_pred/pwcnet/{NAME}.py"]
)
def test_a_shipped_config_is_found_from_any_folder(given, elsewhere):
    assert Config.fromfile(given).path == str(SHIPPED / f"{NAME}.py")


def test_a_file_here_wins_over_a_shipped_one(elsewhere):
    (elsewhere / f"{NAME}.py").write_text("a = 1\n")
    assert dict(Config.fromfile(f"{NAME}.py")) == {"a": 1}
    assert Config.fromfile(NAME).task_name == NAME


def test_a_config_derives_from_a_shipped_one_by_its_name(elsewhere):
    own = elsewhere / "mine.py"
    own.write_text('_base_ = "pwcnet_pwcnetneck_flyingchairs"\nout_channels = [1] * 6\n')
    assert Config.fromfile(own).model["backbone"]["out_channels"] == [1] * 6


def test_the_networks_of_a_copied_config_are_found(elsewhere):
    (elsewhere / "mine.py").write_text("a = 1\n")
    Config.fromfile("mine.py")
    assert paths.find_input("./models/pwcnet_lite") == ROOT / "models/pwcnet_lite"
    with pytest.raises(InputError, match=r"data: \./tmp_data/none does not exist"):
        paths.find_input("./tmp_data/none", "data")
    (elsewhere / "models/pwcnet_lite").mkdir(parents=True)
    assert paths.find_input("./models/pwcnet_lite").resolve() == elsewhere / "models/pwcnet_lite"


def test_an_unknown_name_tells_the_nearest_shipped_one(elsewhere):
    with pytest.raises(InputError, match=f"pwcnet_lite_generatd: .*did you mean {NAME}"):
        Config.fromfile("pwcnet_lite_generatd")


def test_package_data_wins_over_the_checkout(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/only.py").write_text("a = 1\n")
    monkeypatch.setattr(shipped, "ROOTS", (tmp_path, ROOT))
    assert list(shipped.shipped_configs()) == ["only"]
    assert shipped.shipped_path("models/pwcnet_lite") == ROOT / "models/pwcnet_lite"
    assert shipped.shipped_path("/models") is None
