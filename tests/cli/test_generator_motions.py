"""Motions by name and a bank of textures in the generator's command."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from hat.cli import flyingchairs_generator as generator
from hat.errors import InputError


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    generator.add_arguments(parser)
    return generator.run(parser.parse_args(words))


def test_named_motions_are_noted_and_kept_apart(tmp_path: Path) -> None:
    target = tmp_path / "set"
    common = ["--target-data-dir", str(target), "--num-pairs", "2", "--size", "48", "64"]
    common += ["--num-workers", "1", "--effects"]
    assert run(*common, "--motions", "small=3", "sintel") == 0
    settings = json.loads((target / "generator.json").read_text())["settings"]
    assert settings["motions"] == {"small": 3.0, "sintel": 1.0}
    assert settings["effects"] is True
    with pytest.raises(InputError, match="was generated with motions"):
        run(*common, "--motions", "chairs")


@pytest.mark.parametrize("word", ["fast", "small=0", "small=many", "=1"])
def test_motions_that_mean_nothing(tmp_path: Path, word: str) -> None:
    with pytest.raises(InputError, match="--motions"):
        run("--target-data-dir", str(tmp_path / "set"), "--num-pairs", "1", "--motions", word)
