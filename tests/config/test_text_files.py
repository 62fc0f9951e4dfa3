"""Text files as editors of other systems write them: with a byte order mark or an encoding."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

import horizon.march
from hat.config import Config
from hat.data.packers.flyingchairs_layout import find_raw_folder
from hat.errors import InputError
from hat.run_log import read_log
from tests.data.raw_chairs import write_raw_chairs


def mark(path: Path) -> Path:
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    return path


def test_a_config_and_its_base(tmp_path):
    (tmp_path / "base.py").write_text('name = "光流"\n', encoding="utf-8")
    (tmp_path / "a.py").write_text('_base_ = "base.py"\n')
    mark(tmp_path / "base.py")
    assert Config.fromfile(mark(tmp_path / "a.py")).name == "光流"


def test_a_config_that_declares_its_encoding(tmp_path):
    path = tmp_path / "a.py"
    path.write_bytes('# coding: gbk\nname = "光流"\n'.encode("gbk"))
    assert Config.fromfile(path).name == "光流"
    path.write_bytes('name = "光流"\n'.encode("gbk"))
    with pytest.raises(InputError, match=r"a\.py.*not valid Python"):
        Config.fromfile(path)
    path.write_bytes("a = 1\n".encode("utf-16"))
    with pytest.raises(InputError, match=r"a\.py"):
        Config.fromfile(path)


def test_a_split_file(tmp_path):
    raw = write_raw_chairs(tmp_path, "121")
    split = next(tmp_path.rglob("*train_val.txt"))
    mark(split)
    assert find_raw_folder(raw).labels == ("1", "2", "1")
    split.write_bytes("1\n2\n1\n".encode("utf-16"))
    with pytest.raises(InputError, match="cannot read this split file"):
        find_raw_folder(raw)


def test_a_machine_description(tmp_path):
    text = (Path(horizon.march.__file__).parent / "bayes.toml").read_bytes()
    (tmp_path / "mine.toml").write_bytes(codecs.BOM_UTF8 + text)
    assert horizon.march.load(tmp_path / "mine.toml") == horizon.march.load("bayes")


def test_a_training_log(tmp_path):
    path = tmp_path / "float-log.jsonl"
    path.write_bytes(codecs.BOM_UTF8 + b'{"step": 1, "loss": 2.0}\n')
    assert len(read_log(path)) == 1
