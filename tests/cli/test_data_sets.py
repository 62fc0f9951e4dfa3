"""The configs of docs/data_sets.md, as they stand there, and predict on data sets with masks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hat.cli.main import run_command
from hat.data.flow_io import read_flo, read_kitti_png
from hat.data.image_io import read_mask
from hat.engine.checkpoint import load_checkpoint
from tests.conftest import ROOT
from tests.data import datasets_layout as layout
from tests.missing import skip_without

TEXT = (ROOT / "docs/data_sets.md").read_text()
SNIPPETS = dict(
    re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```", TEXT, re.M | re.S)
)
SIZE = (264, 336)  # larger than the crops
Writer = Callable[[Path], Any]


def several(folder: Path) -> None:
    layout.write_sintel(folder / "MPI-Sintel", SIZE)
    layout.write_kitti(folder / "KITTI2015", 2015, SIZE)
    layout.write_hd1k(folder / "HD1K", SIZE)


WRITERS: dict[str, list[Writer]] = {
    "MPI-Sintel": [lambda folder: layout.write_sintel(folder / "MPI-Sintel", SIZE)],
    "KITTI 2015": [lambda folder: layout.write_kitti(folder / "KITTI2015", 2015, SIZE)],
    "KITTI 2012": [lambda folder: layout.write_kitti(folder / "KITTI2012", 2012, SIZE)],
    "HD1K": [lambda folder: layout.write_hd1k(folder / "HD1K", SIZE)],
    "FlyingThings3D": [
        lambda folder: layout.write_things(folder / "FlyingThings3D", SIZE),
        lambda folder: layout.write_things_subset(folder / "FlyingThings3D", SIZE),
    ],
    "Spring": [lambda folder: layout.write_spring(folder / "spring", SIZE)],
    "Middlebury": [lambda folder: layout.write_middlebury(folder / "Middlebury", SIZE)],
    "FlyingChairs2": [lambda folder: layout.write_chairs2(folder / "FlyingChairs2", SIZE)],
    "A folder of your own": [lambda folder: layout.write_folder(folder / "own", SIZE)],
    "Several data sets at once": [several],
}
WITHOUT_TRAINING = ("Middlebury",)
SHORT = ["float_trainer.num_steps", "1", "batch_size_per_gpu", "2", "data_num_workers", "0"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that has the project's configs and models."""
    for name in ("configs", "models"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str, stage: str, config: str, *words: str) -> int:
    return run_command(command, ["--stage", stage, "--config", config, *words])


def metrics(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["data_sets"]


def test_every_config_of_the_page_is_run() -> None:
    assert SNIPPETS.keys() == WRITERS.keys()


@pytest.mark.parametrize(
    ("title", "write"), [(title, write) for title in WRITERS for write in WRITERS[title]]
)
def test_a_config_as_it_stands_predicts_and_trains(
    project: Path, title: str, write: Writer
) -> None:
    if title == "Spring":
        try:
            import h5py  # noqa: F401
        except ImportError:
            skip_without("h5py")
    write(project / "tmp_data")
    Path("mine.py").write_text(SNIPPETS[title])
    assert run("predict", "float", "mine.py", "--json", "m.json") == 0
    [entry] = metrics(Path("m.json"))
    # unit and direction: the data sets' flow is a few px, and no network is needed to know it
    assert 1 < entry["metrics"]["zero-flow EPE"] < 30
    assert entry["metrics"]["images"] == entry["samples"]
    if title in WITHOUT_TRAINING:
        return
    assert run("train", "float", "mine.py", "--opts", *SHORT) == 0
    [folder] = Path("tmp_models").iterdir()
    content = load_checkpoint(folder / "float-checkpoint-last.pth.tar")
    assert np.isfinite(content["metrics"]["EPE"])


@pytest.fixture
def sintel(project: Path) -> Path:
    layout.write_sintel(project / "tmp_data/MPI-Sintel")
    Path("sintel.py").write_text(SNIPPETS["MPI-Sintel"])
    return project


ALL = ("--opts", "val_data_loader.dataset.only", "None")
TEST = (*ALL, "val_data_loader.dataset.split_name", "test")


def test_sintel_by_passes_and_by_distance(sintel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", "float", "sintel.py", *ALL) == 0
    printed = capsys.readouterr().out
    assert re.search(r"metric +all +clean +final\n", printed)
    assert re.search(r"EPE d0-10 +[\d.]+ +[\d.]+ +[\d.]+\n", printed)
    [both] = metrics(Path("tmp_models/pwcnet_lite_sintel/float-metrics.json"))
    assert both["samples"] == 8
    for name in ("clean", "final"):
        words = (*ALL, "val_data_loader.dataset.passes", name)
        assert run("predict", "float", "sintel.py", "--json", "one.json", *words) == 0
        [one] = metrics(Path("one.json"))
        assert "subsets" not in one
        numbers = {key: value for key, value in one["metrics"].items() if value is not None}
        part = both["subsets"][name]
        assert part.keys() == one["metrics"].keys()
        assert {key: part[key] for key in numbers} == pytest.approx(numbers, rel=1e-5)
    parts = both["subsets"].values()
    for key in ("EPE", "EPE matched", "EPE unmatched"):
        assert both["metrics"][key] == pytest.approx(np.mean([part[key] for part in parts]))


def test_a_batch_of_several_sizes_is_evaluated_as_pairs_of_one(project: Path) -> None:
    layout.write_kitti(project / "tmp_data/KITTI2015", 2015)
    Path("kitti.py").write_text(SNIPPETS["KITTI 2015"])
    found = []
    for size in ("1", "2"):
        words = ("--json", "m.json", "--opts", "batch_size_per_gpu", size)
        assert run("predict", "float", "kitti.py", *words) == 0
        found += metrics(Path("m.json"))
    one, two = (entry["metrics"] for entry in found)
    for name in ("EPE", "EPE noc", "images"):
        assert two[name] == pytest.approx(one[name], rel=1e-4), name
    assert {"Fl-bg", "Fl-fg", "Fl-all", "Fl-noc", "EPE noc"} <= one.keys()


def test_a_submission_to_sintel(sintel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", "float", "sintel.py", *TEST) == 2
    assert "no true flow" in capsys.readouterr().err
    assert run("predict", "float", "sintel.py", "--submission", "out", *TEST) == 0
    files = sorted(str(path.relative_to("out")) for path in Path("out").rglob("*.*"))
    wanted = [f"{name}/ambush_1/frame000{i}.flo" for name in ("clean", "final") for i in (1, 2)]
    assert files == wanted
    flows = [read_flo(Path("out") / path) for path in files]
    assert all(flow.shape == (*layout.SIZE, 2) for flow in flows)
    assert not np.array_equal(flows[0], flows[1])
    assert not Path("tmp_models/pwcnet_lite_sintel/float-metrics.json").exists()
    assert run("predict", "float", "sintel.py", "--submission", "out", *TEST) == 2
    assert "out: this folder is not empty" in capsys.readouterr().err


def test_a_submission_has_the_flow_that_the_metrics_judge(sintel: Path) -> None:
    words = ("--submission", "out", "--json", "m.json", *ALL)
    assert run("predict", "float", "sintel.py", *words) == 0
    [entry] = metrics(Path("m.json"))
    errors = []
    truths = "tmp_data/MPI-Sintel/training"
    for path in sorted(Path("out").rglob("*.flo")):
        frame = f"{path.parent.name}/{path.stem.replace('frame', 'frame_')}"
        truth = read_flo(f"{truths}/flow/{frame}.flo")
        unknown = read_mask(f"{truths}/invalid/{frame}.png")
        error = np.hypot(*(read_flo(path) - truth).transpose(2, 0, 1))
        errors.append(error[unknown == 0].mean())
    assert len(errors) == 8
    assert entry["metrics"]["EPE"] == pytest.approx(np.mean(errors), rel=1e-5)


@pytest.mark.parametrize(("year", "prefix"), [(2012, ""), (2015, "flow/")])
def test_a_submission_to_kitti(project: Path, year: int, prefix: str) -> None:
    layout.write_kitti(project / f"tmp_data/KITTI{year}", year)
    Path("kitti.py").write_text(SNIPPETS[f"KITTI {year}"])
    words = ("--submission", "out", "--opts", "val_data_loader.dataset.split_name", "test")
    assert run("predict", "float", "kitti.py", *words) == 0
    files = sorted(str(path.relative_to("out")) for path in Path("out").rglob("*.png"))
    assert files == [f"{prefix}00000{i}_10.png" for i in (0, 1)]
    for i, path in enumerate(files):
        flow, valid = read_kitti_png(Path("out") / path)
        assert flow.shape == (layout.SIZE[0] - 3 * i, layout.SIZE[1] - 5 * i, 2)
        assert valid.all()


def test_a_data_set_without_a_benchmark_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout.write_middlebury(project / "tmp_data/Middlebury")
    Path("mine.py").write_text(SNIPPETS["Middlebury"])
    assert run("predict", "float", "mine.py", "--submission", "out") == 2
    error = capsys.readouterr().err
    assert "no submission format for Middlebury; those of Sintel, KITTI2012 and KITTI2015" in error
    assert not Path("out").exists()


def test_a_failed_submission_leaves_nothing(
    sintel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("tmp_data/MPI-Sintel/test/final/ambush_1/frame_0003.png")
    path.write_bytes(path.read_bytes()[:100])
    words = ("--submission", "out", *TEST, "data_num_workers", "0")
    assert run("predict", "float", "sintel.py", *words) == 2
    assert "frame_0003.png: this PNG is truncated" in capsys.readouterr().err
    assert list(Path("out").rglob("*")) == []


def test_two_processes_give_the_same_metrics_and_files(sintel: Path) -> None:
    found = []
    for number, ids in enumerate(("0", "0,1")):
        words = ("--submission", f"out{number}", "--json", "m.json", "--device-ids", ids)
        options = ("batch_size_per_gpu", "3", "data_num_workers", "0")  # of both passes in one
        assert run("predict", "float", "sintel.py", *words, *ALL, *options) == 0
        found += metrics(Path("m.json"))
    one, two = found
    for name in ("clean", "final"):
        part = {key: value for key, value in one["subsets"][name].items() if value is not None}
        same = {key: two["subsets"][name][key] for key in part}
        assert same == pytest.approx(part, rel=1e-4)
    files = {path.relative_to("out0") for path in Path("out0").rglob("*.flo")}
    assert len(files) == 8
    assert files == {path.relative_to("out1") for path in Path("out1").rglob("*.flo")}
    for path in files:
        flows = [read_flo(folder / path) for folder in (Path("out0"), Path("out1"))]
        np.testing.assert_allclose(flows[0], flows[1], atol=1e-3)
