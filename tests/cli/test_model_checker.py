"""The model_checker command: exit codes, table, files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hat.cli.main import run_command
from hat.visualize import check_text
from tests.conftest import ROOT

LITE = ROOT / "configs/opticalflow_pred/pwcnet/pwcnet_lite_flyingchairs.py"
TRAINED = str(ROOT / "models/pwcnet_lite/int_infer-checkpoint-best.pth.tar")

NETWORK = """
import torch
from torch import nn
from horizon.nn import DeQuantStub, QuantStub
from horizon.quantization import get_default_qat_qconfig


class Squashed(nn.Module):
    def forward(self, x):
        return torch.tan(x)


class Network(nn.Module):
    size_multiple = 2

    def __init__(self, middle, kernel=3):
        super().__init__()
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.first = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.middle = nn.Sequential(*middle)
        self.last = nn.Conv2d(16, 2, kernel, padding=kernel // 2)

    def forward(self, data):
        return self.dequant(self.last(self.middle(self.first(self.quant(data["img"])))))

    def fuse_model(self):
        pass

    def set_qconfig(self):
        self.qconfig = get_default_qat_qconfig()

    def example_input(self):
        return {"img": torch.zeros(1, 3, 8, 8)}


seed = 0
model = dict(type=Network, middle=[MIDDLE])
compile_cfg = dict(march="bayes-e", name="net", out_dir="out")
"""


def write_network(folder: Path, middle: str) -> str:
    path = folder / "net.py"
    path.write_text(NETWORK.replace("MIDDLE", middle))
    return str(path)


def model_checker(config: Path | str, *words: str) -> int:
    return run_command("model_checker", ["-c", str(config), *words])


def trained(*words: str) -> int:
    return model_checker(LITE, "--ckpt", TRAINED, "--size", "128", "192", *words)


def test_everything_fits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert trained("--march", "bayes-e", "--json", str(tmp_path / "check.json")) == 0
    text = capsys.readouterr().out
    assert "What does not fit" not in text
    assert re.search(r"^93 ops: 93 supported, \d+ of them slow; 0 not supported$", text, re.M)
    assert "random" not in text
    content = json.loads((tmp_path / "check.json").read_text())
    assert content["weights"] == TRAINED
    (machine,) = content["machines"]
    assert (machine["machine"], machine["size"], machine["fits"]) == ("bayes-e", [128, 192], True)
    assert len(machine["ops"]) == machine["totals"]["ops"] == 93
    assert content["not_quantised"] == []


def test_a_machine_without_warp_unit(capsys: pytest.CaptureFixture[str]) -> None:
    assert trained("--march", "bernoulli2") == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "warp needs unit aux; machine bernoulli2 has load, store, tensor, vector" in text
    for level in range(4):
        assert f"head.estimators.{level}.warp" in text
    assert "warp on the CPU between the parts" in text
    assert "8 not supported" in text


def test_several_machines_in_one_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "check.json"
    words = ["--march", "host", "bernoulli2", "edge256", "--json", str(path)]
    assert trained(*words) == 1
    text = capsys.readouterr().out
    (row,) = (line for line in text.splitlines() if re.match(r"\S*estimators.0.warp +warp", line))
    assert row.split()[-3:] in (["yes", "NO", "yes"], ["yes", "NO", "slow"])
    assert re.search(r"^bernoulli2 +NO +93 +8 ", text, re.M)
    assert re.search(r"^host +yes +93 +0 ", text, re.M)
    machines = [one["machine"] for one in json.loads(path.read_text())["machines"]]
    assert machines == ["host", "bernoulli2", "edge256"]


@pytest.mark.parametrize("columns", [60, 80, 100, 250])
def test_lines_fit_the_terminal(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    trained("--march", "bayes", "bernoulli2")
    lines = capsys.readouterr().out.splitlines()
    # The table of ops is as narrow as its columns of shapes and machines allow.
    assert max(map(len, lines)) <= max(columns, 75)
    assert check_text.width() == min(columns, check_text.LARGEST_WIDTH)


def test_a_long_list_is_cut_and_the_file_has_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "check.json"
    words = ["--ckpt", TRAINED, "--march", "bayes", "--size", "1024", "1024", "--json", str(path)]
    assert model_checker(LITE, *words) == 0
    (machine,) = json.loads(path.read_text())["machines"]
    found = sum(one["kind"] == "memory" for one in machine["advice"])
    assert found > check_text.FINDINGS_SHOWN
    text = capsys.readouterr().out
    assert text.count("of transfers for") == check_text.FINDINGS_SHOWN
    assert f"and {found - check_text.FINDINGS_SHOWN} more, each of which gains less" in text


def test_a_size_that_is_no_multiple(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--ckpt", TRAINED, "--march", "host", "--size", "100", "130"]
    assert model_checker(LITE, *words) == 1
    text = capsys.readouterr().out
    assert "images of 100x130 (height x width); programs take multiples of 64" in text
    assert "compile for 128x192" in text
    assert "93 supported" in text


def test_a_config_alone(tiny_config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Machine, level and size are the config's; no data, no training."""
    opts = ["--opts", "compile_cfg.march", "edge256", "compile_cfg.opt", "O1"]
    opts += ["deploy_size", "(64, 128)", "data_dir", "nowhere"]
    assert model_checker(tiny_config, *opts) == 0
    text = capsys.readouterr().out
    assert text.startswith("Weights are random: no finding depends on them.")
    assert "edge256: " in text
    assert "images 64x128 (height x width), O1" in text


def test_findings_do_not_depend_on_weights(tmp_path: Path) -> None:
    found = []
    for seed in ("0", "1"):
        path = tmp_path / f"{seed}.json"
        config = write_network(tmp_path, "")
        assert model_checker(config, "--json", str(path), "--opts", "seed", seed) == 0
        found.append(json.loads(path.read_text()))
    assert found[0] == found[1]


def test_a_machine_of_one_s_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "horizon/march/edge256.toml").read_text().replace('"edge256"', '"mine"')
    limit = '{ value = 2, provenance = "published", source = "data sheet" }'
    path = tmp_path / "mine.toml"
    path.write_text(f"{text}\n[limits.conv2d]\nstride = {limit}\nkernel = {limit}\n")
    assert model_checker(write_network(tmp_path, ""), "--march", str(path)) == 1
    printed = capsys.readouterr().out
    assert "kernel 3x3; mine takes at most 2 (published)" in printed
    assert "stride" not in printed.split("What does not fit:")[1].split("->")[0]


def refused(path: Path) -> list[dict[str, Any]]:
    content = json.loads(path.read_text())
    assert content["machines"] == []
    found: list[dict[str, Any]] = content["not_quantised"]
    return found


def test_layers_without_a_quantised_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_network(tmp_path, "nn.Softmax(1), nn.LPPool2d(2, 2)")
    assert model_checker(config, "--json", str(tmp_path / "x.json")) == 1
    text = capsys.readouterr().out
    assert "middle.0 (Softmax)" in text
    assert "middle.1 (LPPool2d)" in text
    assert "nn.Conv2d with stride 2" in text
    assert "2 layers not supported" in text
    assert [one["class"] for one in refused(tmp_path / "x.json")] == ["Softmax", "LPPool2d"]


def test_arithmetic_without_a_quantised_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_network(tmp_path, "Squashed()")
    assert model_checker(config, "--json", str(tmp_path / "x.json")) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "middle.0 (Squashed): in forward() (" in text
    assert "torch.tan was called" in text
    assert refused(tmp_path / "x.json")[0]["layer"] == "middle.0"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--march", "no_such_machine"], "machine 'no_such_machine' is unknown; expected one of"),
        (["--march", "nothing.toml"], "nothing.toml: cannot read it"),
        (["--march", "host", "host"], "2 machines are called 'host'"),
        (["--size", "0", "64"], "size 0x64 .*expected positive numbers"),
        (["--size", "64" + "0" * 18, "64"], "too large: .*expected at most 2\\^40 bytes"),
        (["--ckpt", "no.pth.tar"], "no.pth.tar: no such checkpoint"),
        (["--opts", "compile_cfg.opt", "O9"], "compile_cfg.opt is 'O9'; expected O0 or O1"),
        (["--opts", "compile_cfg.march", "5"], "machine '5' is unknown"),
        (["--opts", "compile_cfg.march", "[]"], r"compile_cfg.march is \[\]; expected a machine"),
        (["--opts", "compile_cfg.speed", "5"], "compile_cfg.speed: unknown key"),
        (["--opts", "compile_cfg", "5"], "compile_cfg: expected a dict"),
        (["--opts", "deploy_inputs", "7"], r"deploy_inputs: found 7; expected one tensor"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    given = words if "--ckpt" in words else ["--ckpt", TRAINED, *words]
    assert model_checker(LITE, *given) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert error.count("\n") == 1


def test_no_machine_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(write_network(tmp_path, ""))
    path.write_text(path.read_text().replace("compile_cfg", "other"))
    assert model_checker(path) == 2
    assert "no compile_cfg.march; expected a machine, bayes" in capsys.readouterr().err
    assert model_checker(path, "--march", "host") == 0
