from __future__ import annotations

import pytest

from hat import shipped
from hat.cli.main import main
from tests.cli.tiny import write_config
from tests.migration.layout import write_original_config


def check(capsys, *words):
    code = main(["config-check", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


BASE = "own_network"
"""The config that others derive from, without a network."""


def test_the_base_of_own_networks_has_none(capsys):
    code, out, _ = check(capsys, BASE)
    assert code == 2
    assert "1 errors" in out
    assert "found None as the network" in out


@pytest.mark.parametrize("name", sorted({*shipped.shipped_configs()} - {BASE}))
def test_shipped_configs_have_no_mistakes(name, capsys):
    code, out, _ = check(capsys, name)
    assert code == 0
    assert "a config of this tool kit" in out
    assert "0 errors, 0 changed" in out


def test_every_mistake_is_told_at_once(tmp_path, capsys):
    path = write_config(tmp_path)
    text = path.read_text()
    text = text.replace('type="PwcNet", out', 'type="PwcNot", out')
    text = text.replace("use_res=False", "use_rez=False")
    text += 'compile_cfg = dict(march="bayos", name="x", out_dir="y")\nseed = 1.5\n'
    path.write_text(text + "onnx_cfg = dict(model=model)\n")
    code, out, err = check(capsys, path)
    assert code == 2
    assert "model.backbone.type: unknown type 'PwcNot'" in out
    assert "model.head.use_rez: PwcnetHead has no argument 'use_rez'" in out
    assert "machine 'bayos' is unknown" in out
    assert "seed is 1.5" in out
    assert "onnx_cfg has no 'out_dir'" in out
    assert "not there" in out
    assert "no section float_trainer: 'hat train --stage float' needs it" in out
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_values_that_a_model_refuses(tmp_path, capsys):
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace("context_dilations=[1, 1]", "context_dilations=[1]"))
    code, out, _ = check(capsys, path)
    assert code == 2
    assert "model.head: PwcnetHead refuses its arguments: context_dilations needs 2 entries" in out


def test_an_argument_that_is_missing(tmp_path, capsys):
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace("md=2,", ""))
    code, out, _ = check(capsys, path)
    assert (code, out.count("PwcnetHead needs the argument 'md'")) == (2, 1)


def test_what_a_config_of_the_original_tool_kit_has_in_other_words(tmp_path, capsys):
    path = write_original_config(tmp_path, tmp_path / "data")
    code, out, _ = check(capsys, path)
    assert code == 0
    parts = out.split("\n\n")
    titles = [part.splitlines()[0] for part in parts]
    assert titles[1:] == [
        "changed",
        "renamed",
        "added",
        "ignored",
        "missing",
        "0 errors, 2 changed, 4 paths missing",
    ]
    by_title = dict(zip(titles, parts, strict=True))
    assert "multiplies the network's flow by 4" in by_title["changed"]
    assert "model, deploy_model: PwcNet is PwcnetTask here" in by_title["renamed"]
    assert "horizon_plugin_pytorch.march" in by_title["renamed"]
    for name in ("mul_scale", "convert_mode", "val_model", "cudnn_benchmark", "seed: None"):
        assert name in by_title["ignored"]
    assert f"{tmp_path}/data/train_lmdb does not exist" in by_title["missing"]
    assert "'hat train --stage float' makes it" in by_title["missing"]
    assert "ckpt/float-checkpoint-best" in by_title["missing"]


def test_strict_wants_every_path(tmp_path, capsys):
    path = write_original_config(tmp_path, tmp_path / "data")
    assert check(capsys, path, "--strict")[0] == 2
    for name in ("data/train_lmdb", "data/val_lmdb", "left.png", "right.png"):
        (tmp_path / name).mkdir(parents=True)
    assert check(capsys, path, "--strict")[0] == 0  # checkpoints are made by the stages


def test_options_and_the_other_spelling(tmp_path, capsys):
    path = write_config(tmp_path)
    assert main(["validate", "--config", str(path), "--opts", "model.head.md", "-1"]) == 2
    assert "model.head" in capsys.readouterr().out
    assert main(["validate", str(tmp_path / "none.py")]) == 2
    assert "no such config file" in capsys.readouterr().err


def test_a_metric_function_that_leaves_the_unit(tmp_path, capsys):
    path = write_config(tmp_path)
    text = (
        "def twice(metrics, batch, model_outs):\n"
        "    metrics[0].update(batch['gt_flow'], model_outs * {})\n"
        "val = dict(type='MetricUpdater', metric_update_func=twice)\n"
        "float_predictor = dict(type=dict, callbacks=[val])\n"
    )
    own = path.read_text()
    for factor, told in ((2, True), (1, False)):
        path.write_text(own + text.format(factor))
        code, out, _ = check(capsys, path)
        assert code == 0
        assert ("twice multiplies the network's flow by 2" in out) == told
