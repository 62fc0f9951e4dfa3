from __future__ import annotations

import argparse
import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import lmdb
import pytest

from hat.cli import flyingchairs_packer
from hat.data.packers import flyingchairs, lmdb_writer
from hat.data.packers.flyingchairs import pack_flyingchairs
from hat.data.packers.flyingchairs_layout import find_raw_folder, read_pair
from hat.data.packers.lmdb_reader import LmdbReader
from hat.errors import InputError
from tests.data.raw_chairs import make_pair, write_raw_chairs
from tests.other_processes import WATCHDOG_SECONDS
from tests.shared_data import shared_data

PROJECT = Path(__file__).resolve().parents[2]


def pack(root: Path, split: str = "train", **options: object) -> flyingchairs.PackSummary:
    arguments: dict[str, object] = {"workers": 0, "progress": False, **options}
    return pack_flyingchairs(root, root, split, **arguments)  # type: ignore[arg-type]


def check_packed(root: Path, split: str, names: list[str]) -> None:
    reader = LmdbReader(root / f"{split}_lmdb")
    assert reader.names == names
    assert reader.meta["split"] == split
    data = find_raw_folder(root).data
    for name in names:
        images, flow = read_pair(data, name)
        record = reader.read(name)
        assert record.arrays["img"].tobytes() == images.tobytes()
        assert record.arrays["gt_flow"].tobytes() == flow.tobytes()
        assert record.attributes == {"name": name, "color_space": "rgb", "unknown": 0}
    assert sorted(p.name for p in root.iterdir() if p.name.startswith(split)) == [f"{split}_lmdb"]
    assert [p.name for p in (root / f"{split}_lmdb").iterdir()] == ["data.mdb"]


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("newline_at_end", [False, True])
def test_splits_are_those_of_the_file(tmp_path: Path, workers: int, newline_at_end: bool) -> None:
    root = write_raw_chairs(tmp_path, "1121211", newline_at_end=newline_at_end)
    summary = pack(root, "train", workers=workers)
    pack(root, "val", workers=workers)
    check_packed(root, "train", ["00001", "00002", "00004", "00006", "00007"])
    check_packed(root, "val", ["00003", "00005"])
    assert summary.pairs == 5
    assert summary.packed_bytes < summary.raw_bytes


def test_missing_pairs(tmp_path: Path) -> None:
    root = write_raw_chairs(tmp_path, "11121")
    data = root / "FlyingChairs_release" / "data"
    (data / "00003_img2.ppm").unlink()
    (data / "00005_flow.flo").unlink()
    with pytest.raises(InputError, match=r"first missing 00003_img2\.ppm, 2 pairs incomplete"):
        pack(root)
    assert not (root / "train_lmdb").exists()
    pack(root, skip_missing=True)
    check_packed(root, "train", ["00001", "00002"])
    (data / "00004_img1.ppm").unlink()
    with pytest.raises(InputError, match="none is left"):
        pack(root, "val", skip_missing=True)


def test_wrong_folders_and_split_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        pack(tmp_path / "nowhere")
    with pytest.raises(InputError, match="FlyingChairs_release/data"):
        pack(tmp_path)
    root = write_raw_chairs(tmp_path, "11")
    split_file = root / "FlyingChairs_train_val.txt"
    with pytest.raises(InputError, match="'val' has no pair"):
        pack(root, "val")
    split_file.write_text("1\n3")
    with pytest.raises(InputError, match="line 2 is '3'"):
        pack(root)
    split_file.write_text("1")
    with pytest.raises(InputError, match=r"1 lines, but .* holds the pair 00002"):
        pack(root)
    split_file.unlink()
    with pytest.raises(InputError, match=r"FlyingChairs_train_val\.txt"):
        pack(root)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("suffix", ["_img1.ppm", "_flow.flo"])
def test_a_damaged_file_is_named_and_the_rest_is_kept(
    tmp_path: Path, suffix: str, workers: int
) -> None:
    root = write_raw_chairs(tmp_path, "1111")
    path = root / "FlyingChairs_release" / "data" / f"00003{suffix}"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(InputError, match=f"00003{suffix}.*truncated"):
        pack(root, workers=workers)
    assert not (root / "train_lmdb").exists()
    path.write_bytes(whole)
    assert pack(root, workers=workers).resumed == 2
    check_packed(root, "train", ["00001", "00002", "00003", "00004"])


def test_sizes_of_a_pair_must_agree(tmp_path: Path) -> None:
    root = write_raw_chairs(tmp_path, "11")
    other = write_raw_chairs(tmp_path / "other", "11", size=(32, 64))
    name = "FlyingChairs_release/data/00002_flow.flo"
    shutil.copy(other / name, root / name)
    with pytest.raises(InputError, match=r"00002_flow\.flo: 64x32 .* has 64x48"):
        pack(root)


def test_finished_data_set_is_kept_unless_overwritten(tmp_path: Path) -> None:
    root = write_raw_chairs(tmp_path, "111")
    pack(root)
    before = (root / "train_lmdb" / "data.mdb").read_bytes()
    with pytest.raises(InputError, match="--overwrite"):
        pack(root)
    flow_file = root / "FlyingChairs_release" / "data" / "00002_flow.flo"
    whole = flow_file.read_bytes()
    flow_file.write_bytes(whole[:-4])
    with pytest.raises(InputError, match="00002_flow"):
        pack(root, overwrite=True)
    assert (root / "train_lmdb" / "data.mdb").read_bytes() == before
    flow_file.write_bytes(whole)
    (root / "FlyingChairs_train_val.txt").write_text("1\n1\n2")
    pack(root, overwrite=True)
    check_packed(root, "train", ["00001", "00002"])


def test_a_foreign_folder_is_not_overwritten(tmp_path: Path) -> None:
    root = write_raw_chairs(tmp_path, "1")
    (root / "train_lmdb").mkdir()
    (root / "train_lmdb" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="no packed data set"):
        pack(root, overwrite=True)
    assert (root / "train_lmdb" / "thesis.tex").exists()


def test_changed_sources_are_packed_again(tmp_path: Path) -> None:
    root = write_raw_chairs(tmp_path, "111")
    data = root / "FlyingChairs_release" / "data"
    third = (data / "00003_img1.ppm").read_bytes()
    (data / "00003_img1.ppm").write_bytes(b"P6 oh no")
    with pytest.raises(InputError):
        pack(root)
    (data / "00003_img1.ppm").write_bytes(third)
    changed = make_pair(77)[0][..., :3]
    (data / "00001_img1.ppm").write_bytes(b"P6\n64 48\n255\n" + changed.tobytes())
    os.utime(data / "00001_img1.ppm", ns=(1, 1))
    assert pack(root).resumed == 1
    check_packed(root, "train", ["00001", "00002", "00003"])


def test_damaged_partial_folder_is_started_anew(tmp_path: Path) -> None:
    root = write_raw_chairs(tmp_path, "11")
    partial = root / "train_lmdb.partial"
    partial.mkdir()
    (partial / "packer.lock").touch()
    (partial / "data.mdb").write_bytes(b"not LMDB" * 2000)
    assert pack(root).resumed == 0
    check_packed(root, "train", ["00001", "00002"])


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "names", [["thesis.tex"], ["data.mdb"], ["packer.lock", "data.mdb", "thesis.tex"]]
)
def test_a_partial_folder_of_somebody_else_is_refused_and_stays(
    tmp_path: Path, names: list[str], overwrite: bool
) -> None:
    root = write_raw_chairs(tmp_path, "11")
    if overwrite:
        pack(root)
    partial = root / "train_lmdb.partial"
    partial.mkdir()
    for name in names:
        (partial / name).write_text("mine")
    with pytest.raises(InputError, match=rf"has not made: {names[-1]}; move this folder away"):
        pack(root, overwrite=overwrite)
    assert {path.name: path.read_text() for path in partial.iterdir()} == dict.fromkeys(
        names, "mine"
    )


def test_what_appears_in_the_partial_folder_meanwhile_stays(tmp_path: Path) -> None:
    root = write_raw_chairs(tmp_path, "11")
    pack(root)
    partial = root / "train_lmdb.partial"
    finish = lmdb_writer.LmdbWriter.finish

    def disturbed(self: lmdb_writer.LmdbWriter, *arguments: Any) -> None:
        (partial / "thesis.tex").write_text("mine")
        finish(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lmdb_writer.LmdbWriter, "finish", disturbed)
        pack(root, overwrite=True)
    assert [path.name for path in partial.iterdir()] == ["thesis.tex"]
    assert LmdbReader(root / "train_lmdb").names == ["00001", "00002"]


def test_a_data_set_that_is_packed_again_leaves_no_partial_folder(tmp_path: Path) -> None:
    root = write_raw_chairs(tmp_path, "11")
    pack(root)
    pack(root, overwrite=True)
    assert not (root / "train_lmdb.partial").exists()


def test_one_packer_at_a_time(tmp_path: Path) -> None:
    root = write_raw_chairs(tmp_path, "11")
    with (
        lmdb_writer.LmdbWriter(root / "train_lmdb", {}),
        pytest.raises(InputError, match="another packer"),
    ):
        pack(root)


def test_map_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb_writer, "FIRST_MAP_BYTES", 1 << 16)
    root = write_raw_chairs(tmp_path, "1" * 30)
    pack(root)
    assert (root / "train_lmdb" / "data.mdb").stat().st_size > 2 << 16
    check_packed(root, "train", [f"{i:05d}" for i in range(1, 31)])


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_raw_chairs(tmp_path, "1111")
    monkeypatch.setattr(lmdb_writer, "BATCH_BYTES", 1)
    transact, calls = lmdb_writer.LmdbWriter._transact, 0

    def fails_at_the_third(self: lmdb_writer.LmdbWriter, work: object) -> None:
        nonlocal calls
        calls += 1
        if calls >= 3:
            raise lmdb.Error(f"mdb_txn_commit: {os.strerror(errno.ENOSPC)}")
        transact(self, work)

    with monkeypatch.context() as patch:
        patch.setattr(lmdb_writer.LmdbWriter, "_transact", fails_at_the_third)
        with pytest.raises(InputError, match="disk is full"):
            pack(root)
    assert not (root / "train_lmdb").exists()
    assert pack(root).resumed == 1
    check_packed(root, "train", ["00001", "00002", "00003", "00004"])


def test_really_full_disk(tmp_path: Path) -> None:
    """A file size limit makes the kernel refuse to write, as a full disk does."""
    root = write_raw_chairs(tmp_path, "1" * 20)
    program = (
        "import resource, signal, sys; from hat.cli import main;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY));"
        "sys.exit(main.main(sys.argv[1:]))"
    )
    result = run_packer(root, "--num-workers", "2", start=[sys.executable, "-c", program])
    assert result.returncode == 2, result.stderr
    assert "disk is full" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (root / "train_lmdb").exists()
    assert run_packer(root).returncode == 0
    check_packed(root, "train", [f"{i:05d}" for i in range(1, 21)])


def packer_command(root: Path, *options: str, start: list[str] | None = None) -> list[str]:
    program = start or [sys.executable, "-m", "hat.cli.main"]
    return [*program, "flyingchairs-packer", "--src-data-dir", str(root), "--split-name", "train",
            "--num-workers", "2", *options]  # fmt: skip


def run_packer(
    root: Path, *options: str, start: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        packer_command(root, *options, start=start), cwd=PROJECT, capture_output=True, text=True,
        errors="surrogateescape", timeout=WATCHDOG_SECONDS,
    )  # fmt: skip


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", [1, 7, 30])
def test_stopped_anywhere_and_run_again(tmp_path: Path, stop: signal.Signals, after: int) -> None:
    """The packer sends itself the signal while it adds a record, within a destructor at that."""
    count = 30
    root = write_raw_chairs(tmp_path, "1" * count)
    # Small transactions, so that a run which is killed has something to leave behind.
    program = f"""
import os, sys
from hat.cli import main
from hat.data.packers import lmdb_writer as w
w.BATCH_BYTES = 10_000
class Stop:
    def __del__(self):
        os.kill(os.getpid(), {int(stop)})
add, calls = w.LmdbWriter.add, []
def stopping(self, *arguments):
    add(self, *arguments)
    calls.append(1)
    if len(calls) == {after}:
        Stop()
w.LmdbWriter.add = stopping
sys.exit(main.main(sys.argv[1:]))
"""
    stopped = run_packer(root, start=[sys.executable, "-c", program])
    killed = stop == signal.SIGKILL
    assert stopped.returncode == (-stop if killed else 128 + stop), stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert "Exception ignored" not in stopped.stderr
    note = "interrupted: the packed pairs are kept; run the same command to continue"
    assert killed or stopped.stderr.splitlines()[-1] == note
    assert not (root / "train_lmdb").exists()
    again = pack(root)
    assert killed or again.resumed == after
    check_packed(root, "train", [f"{i:05d}" for i in range(1, count + 1)])


def test_a_folder_whose_name_is_no_utf8(tmp_path: Path) -> None:
    root = write_raw_chairs(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")), "11")
    packed = run_packer(root)
    assert packed.returncode == 0, packed.stderr
    check_packed(root, "train", ["00001", "00002"])


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_raw_chairs(tmp_path / "raw", "12")
    parser = argparse.ArgumentParser()
    flyingchairs_packer.add_arguments(parser)
    line = ["--src-data-dir", str(root), "--pack-type", "lmdb", "--num-workers", "1"]
    target = ["--target-data-dir", str(tmp_path / "out")]
    assert flyingchairs_packer.run(parser.parse_args([*line, "--split-name", "train"])) == 0
    assert flyingchairs_packer.run(parser.parse_args([*line, *target, "--split-name", "val"])) == 0
    assert "1 pairs" in capsys.readouterr().out
    check_packed(root, "train", ["00001"])
    assert LmdbReader(tmp_path / "out" / "val_lmdb").names == ["00002"]
    with pytest.raises(InputError, match="--num-workers"):
        flyingchairs_packer.run(
            parser.parse_args([*line, "--split-name", "val", "--num-workers", "-1"])
        )


def test_real_split_with_three_pairs(tmp_path: Path) -> None:
    source = shared_data("FlyingChairs")
    with pytest.raises(InputError, match=r"first missing 00004_img1\.ppm, 22229 pairs incomplete"):
        pack_flyingchairs(source, tmp_path, "train", workers=0, progress=False)
    summary = pack_flyingchairs(
        source, tmp_path, "train", workers=0, skip_missing=True, progress=False
    )
    assert summary.pairs == 3
    assert summary.packed_bytes < 0.3 * summary.raw_bytes
    with pytest.raises(InputError, match=r"640 pairs incomplete of the 640"):
        pack_flyingchairs(source, tmp_path, "val", workers=0, skip_missing=True, progress=False)
