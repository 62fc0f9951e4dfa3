from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from hat.data.flow_io import read_flo
from hat.data.image_io import read_ppm, write_png
from hat.data.synthesis import data_set
from hat.data.synthesis.data_set import generate_data_set
from hat.data.synthesis.photographs import PhotographTextures
from hat.data.synthesis.settings import GeneratorSettings
from hat.data.synthesis.statistics import FlowStatistics
from hat.errors import InputError
from horizon.files import temporary_path
from tests.conftest import ROOT
from tests.other_processes import (
    FOLDER,
    WATCHDOG_SECONDS,
    halted,
    release,
    wait_for_the_end_of,
    wait_until,
)

SETTINGS = GeneratorSettings(num_pairs=9, num_val=2, size=(40, 56), seed=3, scale_motion=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A data set made in one go by one process."""
    folder = tmp_path_factory.mktemp("whole")
    generate_data_set(folder, SETTINGS)
    return folder


def test_layout_is_that_of_flyingchairs(whole):
    kinds = ("img1.ppm", "img2.ppm", "flow.flo")
    names = {f"{i:05d}_{kind}" for i in range(1, 10) for kind in kinds}
    assert contents(whole).keys() == {
        "FlyingChairs_train_val.txt",
        "generator.json",
        *(f"FlyingChairs_release/data/{name}" for name in names),
    }
    assert (whole / "FlyingChairs_train_val.txt").read_text() == "2\n" * 2 + "1\n" * 7
    data = whole / "FlyingChairs_release" / "data"
    assert read_ppm(data / "00001_img1.ppm").shape == (40, 56, 3)
    assert read_flo(data / "00001_flow.flo").shape == (40, 56, 2)


def test_pairs_differ(whole):
    pairs = {data for name, data in contents(whole).items() if name.endswith("ppm")}
    assert len(pairs) == 18


def test_generator_json_tells_settings_and_statistics(whole):
    note = json.loads((whole / "generator.json").read_text())
    assert note["settings"]["seed"] == 3
    assert note["settings"]["size"] == [40, 56]
    statistics = FlowStatistics()
    for path in (whole / "FlyingChairs_release" / "data").glob("*.flo"):
        statistics.add(read_flo(path))
    assert note["flow_length_px"] == statistics.summary()


@pytest.mark.parametrize("num_workers", [2, 3])
def test_bytes_do_not_depend_on_the_number_of_workers(whole, tmp_path, num_workers):
    generate_data_set(tmp_path, SETTINGS, num_workers=num_workers)
    assert contents(tmp_path) == contents(whole)


def test_opencv_threads_of_the_caller_stay_as_they_were(tmp_path):
    before = cv2.getNumThreads()
    generate_data_set(tmp_path, dataclasses.replace(SETTINGS, num_pairs=1, num_val=0))
    assert cv2.getNumThreads() == before


def test_another_seed_gives_other_pairs(whole, tmp_path):
    generate_data_set(tmp_path, dataclasses.replace(SETTINGS, seed=4))
    ours, theirs = contents(tmp_path), contents(whole)
    assert ours.keys() == theirs.keys()
    assert not any(ours[name] == theirs[name] for name in ours if "/data/" in name)


def test_a_longer_data_set_begins_with_the_same_pairs(whole, tmp_path):
    generate_data_set(tmp_path, dataclasses.replace(SETTINGS, num_pairs=11))
    ours, theirs = contents(tmp_path), contents(whole)
    assert all(ours[name] == theirs[name] for name in theirs if "/data/" in name)
    split = "FlyingChairs_train_val.txt"
    assert ours[split].startswith(theirs[split])  # and with the same validation pairs


def test_missing_and_damaged_files_are_made_again(whole, tmp_path):
    generate_data_set(tmp_path, SETTINGS)
    data = tmp_path / "FlyingChairs_release" / "data"
    (data / "00002_img2.ppm").unlink()
    os.truncate(data / "00003_img1.ppm", 100)
    os.truncate(data / "00004_flow.flo", 0)
    (data / "00005_flow.flo").write_bytes(b"x" * (data / "00005_flow.flo").stat().st_size)
    temporary_path(data / "00006_img1.ppm").write_bytes(b"left behind")
    temporary_path(tmp_path / "generator.json").write_bytes(b"left behind")
    untouched = (data / "00006_img1.ppm").stat().st_mtime_ns
    generate_data_set(tmp_path, SETTINGS)
    assert contents(tmp_path) == contents(whole)
    assert (data / "00006_img1.ppm").stat().st_mtime_ns == untouched


HALTING = """
import sys
from hat.cli.main import main
from hat.data.synthesis import workers
from tests.data.synthesis import halting
workers.procedural_texture = halting.texture
sys.exit(main(sys.argv[1:]))
"""


def command(target: Path, *options: object) -> list[str]:
    program = "import sys; from hat.cli.main import main; sys.exit(main())"
    words = ["flyingchairs-generator", "--target-data-dir", target, *options]
    return [sys.executable, "-c", program, *map(str, words)]


def start_halting(target: Path, folder: Path, *options: object) -> subprocess.Popen[str]:
    """The command with two workers, both of which halt in ``folder``; it comes back then."""
    words = command(target, *options, "--num-workers", 2)
    words[2] = HALTING
    process = subprocess.Popen(
        words,
        cwd=ROOT,
        env={**os.environ, FOLDER: str(folder)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: len(halted(folder)) == 2, process)
    return process


@pytest.fixture
def meeting(tmp_path_factory) -> Path:
    """A folder where processes halt."""
    return tmp_path_factory.mktemp("meeting")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_killed_with_9_and_run_again(tmp_path, meeting):
    options = ("--num-pairs", 20, "--size", 64, 96, "--scale-motion")
    data = tmp_path / "killed" / "FlyingChairs_release" / "data"
    with start_halting(tmp_path / "killed", meeting, *options) as process:
        process.kill()
    wait_for_the_end_of(halted(meeting))
    assert not (tmp_path / "killed" / "generator.json").exists()
    assert not (tmp_path / "killed" / "FlyingChairs_train_val.txt").exists()
    # two pairs of each worker's first task, and of the third the images and half of a flow
    assert [path.name[:5] for path in sorted(data.glob("0*.flo"))] == [
        *("00001", "00002", "00005", "00006")
    ]
    assert len(list(data.glob("0*.ppm"))) == 12
    assert len(list(data.glob(".*.tmp"))) == 2
    for path in data.glob("0*"):
        assert path.stat().st_size == (12 + 64 * 96 * 8 if path.suffix == ".flo" else 18445)
    subprocess.run(
        command(tmp_path / "killed", *options, "--num-workers", 2),
        check=True,
        capture_output=True,
        timeout=WATCHDOG_SECONDS,
    )
    settings = GeneratorSettings(20, round(20 * 640 / 22872), (64, 96), 0, scale_motion=True)
    generate_data_set(tmp_path / "whole", settings)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.parametrize("complete", [False, True])
def test_only_temporary_files_of_the_generator_are_removed(tmp_path, complete):
    data = tmp_path / "FlyingChairs_release" / "data"
    if complete:
        generate_data_set(tmp_path, SETTINGS)
    others = [
        *(tmp_path / ".notes.tmp", tmp_path / ".thesis.tex.12.0123abcd.tmp"),
        *(tmp_path / ".generator.json.tmp", tmp_path / ".00001_flow.flo.1.0123abcd.tmp"),
    ]
    if complete:
        others += [data / ".notes.tmp", data / ".00099_flow.flo.1.0123abcd.tmp"]
    for other in others:
        other.write_text("mine")
    folder = tmp_path / ".generator.json.1.0123abcd.tmp"
    folder.mkdir()
    generate_data_set(tmp_path, SETTINGS)
    assert [other.read_text() for other in others] == ["mine"] * len(others)
    assert folder.is_dir()


def test_other_settings_in_the_same_folder_are_refused(whole):
    before = contents(whole)
    with pytest.raises(InputError, match=r"seed = 3, now 5 is asked for"):
        generate_data_set(whole, dataclasses.replace(SETTINGS, seed=5))
    with pytest.raises(InputError, match=r"size = \[40, 56\], now \[56, 40\]"):
        generate_data_set(whole, dataclasses.replace(SETTINGS, size=(56, 40)))
    assert contents(whole) == before


def test_a_folder_with_other_data_is_refused(tmp_path):
    (tmp_path / "FlyingChairs_train_val.txt").write_text("1\n")
    with pytest.raises(InputError, match="did not make"):
        generate_data_set(tmp_path, SETTINGS)
    assert (tmp_path / "FlyingChairs_train_val.txt").read_text() == "1\n"


def test_a_damaged_note_is_named(tmp_path):
    (tmp_path / "generator.json").write_text("{")
    with pytest.raises(InputError, match=r"generator\.json: not a note of the generator"):
        generate_data_set(tmp_path, SETTINGS)


def test_two_generators_in_one_folder_are_refused(tmp_path):
    data = tmp_path / "FlyingChairs_release" / "data"
    data.mkdir(parents=True)
    with data_set._lock(data), pytest.raises(InputError, match="another generator"):
        generate_data_set(tmp_path, SETTINGS)


def test_a_disk_too_small_is_noticed_before_the_work(tmp_path, monkeypatch):
    usage = data_set.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(data_set.shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    with pytest.raises(InputError, match=r"9 pairs need 0\.00 GB, the disk has 0\.00 GB free"):
        generate_data_set(tmp_path / "new" / "set", SETTINGS)
    assert not list(tmp_path.iterdir())
    (tmp_path / "old").mkdir()
    with pytest.raises(InputError, match="the disk has"):
        generate_data_set(tmp_path / "old", SETTINGS)
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


def test_a_folder_that_cannot_be_made_leaves_none(tmp_path):
    with pytest.raises(InputError, match="cannot make this folder"):
        generate_data_set(tmp_path / "new" / ("x" * 300), SETTINGS)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_a_worker_that_is_killed_is_reported(tmp_path, meeting):
    process = start_halting(tmp_path, meeting, "--num-pairs", 20, "--size", 64, 96)
    os.kill(halted(meeting)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=WATCHDOG_SECONDS)
    assert process.returncode == 2
    assert "a worker process was killed" in err
    assert "Traceback" not in err


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_interrupted_from_the_keyboard_leaves_no_workers(tmp_path, meeting):
    process = start_halting(tmp_path, meeting, "--num-pairs", 2000, "--size", 64, 96)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does: to all of them
    release(meeting)  # a pair that was begun is finished
    _, err = process.communicate(timeout=WATCHDOG_SECONDS)
    assert process.returncode == 130
    assert "Traceback" not in err
    wait_for_the_end_of(halted(meeting))
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_write_that_fails_leaves_nothing_half_made(tmp_path, num_workers):
    """The limit on the length of files stands for a full disk: the flow does not fit."""
    limit = 10_000  # an image takes 6,733 bytes, a flow 17,932

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    options = ("--num-pairs", 9, "--size", 40, 56, "--num-workers", num_workers)
    result = subprocess.run(
        command(tmp_path, *options),
        preexec_fn=limited,
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECONDS,
    )
    assert result.returncode == 2
    assert "_flow.flo: cannot write this file" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("*.flo"))
    assert not list(tmp_path.rglob("*.tmp"))
    assert not (tmp_path / "generator.json").exists()


def test_photographs_as_backgrounds(tmp_path):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        write_png(photographs / name, rng.integers(0, 256, (200, 220, 3), dtype=np.uint8))
    source = PhotographTextures(photographs)
    settings = dataclasses.replace(SETTINGS, num_pairs=5, backgrounds=source.fingerprint())
    generate_data_set(tmp_path / "one", settings, source)
    generate_data_set(tmp_path / "two", settings, source, num_workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    write_png(photographs / os.fsdecode(b"\xff.png"), np.zeros((70, 70, 3), np.uint8))
    changed = PhotographTextures(photographs)
    with pytest.raises(InputError, match="backgrounds"):
        generate_data_set(
            tmp_path / "one",
            dataclasses.replace(settings, backgrounds=changed.fingerprint()),
            changed,
        )


def test_a_damaged_photograph_is_named_by_the_workers_too(tmp_path):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    (photographs / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    source = PhotographTextures(photographs)
    with pytest.raises(InputError, match=r"broken\.png"):
        generate_data_set(tmp_path / "out", SETTINGS, source, num_workers=2)
