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


def test_kinds_of_objects_layers_and_effects_are_noted(tmp_path: Path) -> None:
    target = tmp_path / "set"
    common = ["--target-data-dir", str(target), "--num-pairs", "2", "--size", "48", "64"]
    common += ["--num-workers", "1", "--shapes", "furniture=2", "wires", "--plain", "0.5"]
    assert run(*common, "--effects", "full", "--background-layers", "2", "3") == 0
    settings = json.loads((target / "generator.json").read_text())["settings"]
    assert settings["shapes"] == {"furniture": 2.0, "wires": 1.0}
    assert settings["plain"] == 0.5
    assert settings["effects"] == "full"
    assert settings["background_layers"] == [2, 3]
    with pytest.raises(InputError, match="was generated with effects = 'full'"):
        run(*common, "--effects", "--background-layers", "2", "3")


def test_the_note_of_a_published_set_is_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "set"
    words = ["--target-data-dir", str(target), "--num-pairs", "1", "--size", "48", "64"]
    assert run(*words, "--num-workers", "1") == 0
    settings = json.loads((target / "generator.json").read_text())["settings"]
    assert settings.keys() == {
        "format", "num_pairs", "num_val", "size", "seed", "scale_motion", "backgrounds"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shapes", "chairs"], "--shapes: .*expected positive weights of published, furniture"),
        (["--shapes", "wires=0"], "--shapes"),
        (["--plain", "1.5"], "--plain: 1.5; expected a share"),
        (["--background-layers", "0", "2"], "--background-layers: 0 2; expected"),
        (["--background-layers", "3", "2"], "--background-layers: 3 2; expected"),
    ],
)
def test_settings_out_of_range(tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run("--target-data-dir", str(tmp_path / "set"), "--num-pairs", "1", *words)


@pytest.mark.parametrize("word", ["fast", "small=0", "small=many", "=1"])
def test_motions_that_mean_nothing(tmp_path: Path, word: str) -> None:
    with pytest.raises(InputError, match="--motions"):
        run("--target-data-dir", str(tmp_path / "set"), "--num-pairs", "1", "--motions", word)
