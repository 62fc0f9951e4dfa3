from __future__ import annotations

import pytest

from hat.cli.main import main


def generate(capsys, *words: object) -> tuple[int, str, str]:
    code = main(["flyingchairs-generator", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_statistics_are_printed_beside_the_published_ones(tmp_path, capsys):
    code, out, _ = generate(
        capsys,
        *("--target-data-dir", tmp_path, "--num-pairs", 4, "--size", 48, 64, "--scale-motion"),
        *("--val-fraction", 0.5, "--num-workers", 1),
    )
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"{tmp_path}: 2 training and 2 validation pairs"
    assert lines[1].split() == ["|flow|", "px", "here", "published"]
    table = {line.split()[0]: line.split()[1:] for line in lines[2:]}
    assert [table[name][1] for name in ("mean", "sd", "median")] == ["1.44", "2.00", "0.75"]
    assert len(table["max"]) == 1


def test_at_other_scales_there_is_nothing_to_compare_with(tmp_path, capsys):
    options = ("--target-data-dir", tmp_path, "--num-pairs", 1, "--num-workers", 1)
    code, out, _ = generate(capsys, *options, "--size", 48, 64)
    assert code == 0
    assert "published" not in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--num-pairs", 0), "--num-pairs: 0"),
        (("--num-pairs", 4, "--size", 8, 64), "--size: 8 64"),
        (("--num-pairs", 4, "--num-val", 5), "--num-val: 5"),
        (("--num-pairs", 4, "--num-val", -1), "--num-val: -1"),
        (("--num-pairs", 4, "--val-fraction", 1.5), "--val-fraction: 1.5"),
        (("--num-pairs", 4, "--seed", -3), "--seed: -3"),
        (("--num-pairs", 4, "--num-workers", 0), "--num-workers: 0"),
        (("--num-pairs", 4, "--backgrounds", "nowhere/at/all"), "nowhere/at/all: no such folder"),
    ],
)
def test_bad_values_are_named_and_nothing_is_written(tmp_path, capsys, options, message):
    code, _, err = generate(capsys, "--target-data-dir", tmp_path / "out", *options)
    assert code == 2
    assert message in err
    assert not (tmp_path / "out").exists()


def test_a_target_that_is_a_file_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code, _, err = generate(capsys, "--target-data-dir", tmp_path / "file", "--num-pairs", 1)
    assert code == 2
    assert "cannot make this folder" in err
