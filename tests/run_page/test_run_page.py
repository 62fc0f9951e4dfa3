"""The page of a run's folder, and the pictures that go to it and to TensorBoard."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hat.cli.main import run_command
from hat.data.files import json_text
from hat.engine.run_folder import RunFolder, Start, report_path
from hat.engine.samples import Sample, samples_of
from hat.errors import InputError
from hat.run_page import RunPage
from hat.run_page.callback import PICTURE_SETS
from hat.run_page.folder import Going, page_of_folder
from hat.run_page.pictures import EARLIER, drop_pictures_after, figure, read_strips, write_pictures

SIZE = (40, 64)


def sample(u: float = 3.0, valid: np.ndarray | None = None) -> Sample:
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    flow = np.full((*SIZE, 2), (u, 0.0), np.float32)
    truth = np.full((*SIZE, 2), (4.0, 0.0), np.float32)
    return Sample("a <b>", image, image[:, ::-1].copy(), flow, truth, valid)


def embedded(page: str) -> list[tuple[str, np.ndarray]]:
    """Description and pixels of each picture in a page."""
    found = re.findall(r'<img alt="([^"]*)" src="data:image/\w+;base64,([^"]+)">', page)
    pictures = []
    for text, data in found:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        pictures.append((text, image))
    return pictures


def test_a_training_run_leaves_a_page_and_pictures(tiny_config: Path) -> None:
    words = ["train", "--stage", "float", "--config", str(tiny_config)]
    assert run_command(words[0], words[1:]) == 0
    folder = tiny_config.parent / "ckpt"
    page = report_path(folder).read_text()
    pictures = [text for text, _ in embedded(page)]
    assert pictures[0] == "End-point error, loss and learning rate"
    assert pictures.count("Images, predicted and true flow, error") == 2
    assert "Flow after step 4" in pictures
    assert "Flow after step 6" in pictures
    assert "finished at step 6 of 6" in page
    assert 'http-equiv="refresh"' not in page
    for text in (str(tiny_config), "numpy", "num_steps", "<th>last, step 6</th>", "EPE"):
        assert text in page, text
    events = EventAccumulator(str(folder / "tensorboard" / "float"), size_guidance={"images": 0})
    events.Reload()
    assert set(events.Tags()["images"]) == {"val/pair 1", "val/pair 2"}
    shown = events.Images("val/pair 1")
    assert [event.step for event in shown] == [4, 6]
    data = np.frombuffer(shown[-1].encoded_image_string, np.uint8)
    assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape[1] > 3 * SIZE[1]
    # The next stage adds itself to the page, and --overwrite leaves what others made.
    assert run_command("train", ["--stage", "calibration", *words[3:]]) == 0
    page = report_path(folder).read_text()
    assert "Stage float" in page
    assert "Stage calibration" in page
    (folder / "float-pictures" / "mine.txt").write_text("mine")
    RunFolder("float", folder).remove()
    assert [path.name for path in (folder / "float-pictures").iterdir()] == ["mine.txt"]


def test_a_page_of_somebody_else_is_left_alone(
    tiny_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_config.parent / "ckpt"
    folder.mkdir()
    report_path(folder).write_text("<html>my notes</html>")
    assert run_command("train", ["--stage", "float", "--config", str(tiny_config)]) == 2
    assert "is no page that hat train has written" in capsys.readouterr().err
    assert report_path(folder).read_text() == "<html>my notes</html>"


def test_the_page_while_it_runs(tmp_path: Path) -> None:
    going = Going("float", "running", step=250, total=1000, speed=0.5)
    lines = [
        {"step": 100 * i, "train/loss": 1.0 / (i + 1), "val/EPE": e}
        for i, e in enumerate((9.0, 3.0, None, 5.0))
    ]
    log = "".join(json_text(line) + "\n" for line in lines)
    (tmp_path / "float-log.jsonl").write_text(log)
    page = page_of_folder(tmp_path, "my <task>", going)
    assert 'http-equiv="refresh"' in page
    assert '<progress max="1" value="0.2500">' in page
    assert "my &lt;task&gt;" in page
    assert "about 00:25:00 left" in page
    headings = re.findall(r"<th>([^<]+)</th>", page)
    assert headings == ["last, step 300", "smallest EPE, step 100", "first, step 0"]
    assert "<td>5</td><td>3</td><td>9</td>" in page
    assert len(embedded(page)) == 1


def test_pictures_are_kept_for_the_run_that_resumes(tmp_path: Path) -> None:
    for step in range(0, 200, 10):
        one = sample(step / 50)
        write_pictures(tmp_path, step, [one], [figure(one)])
    (strip,) = read_strips(tmp_path)
    steps = [step for step, _ in strip.earlier]
    assert steps[0] == 0
    assert steps[-1] == 190
    assert len(steps) == EARLIER
    assert strip.newest
    drop_pictures_after(tmp_path, 95)
    (strip,) = read_strips(tmp_path)
    assert [step for step, _ in strip.earlier] == list(range(0, 100, 10))


def test_a_figure_shows_the_error_where_the_flow_is_known() -> None:
    right = figure(sample(4.0))
    wrong = figure(sample(30.0))
    unknown = figure(sample(30.0, np.zeros(SIZE, np.uint8)))
    assert right.shape == wrong.shape == unknown.shape
    assert (right != wrong).any()
    assert (wrong != unknown).any()


def trainer(step: int, total: int, shown: list[int]) -> Any:
    return SimpleNamespace(
        step=step,
        total_steps=total,
        finished=step == total,
        record_pictures=lambda pictures: shown.append(step),
    )


def test_long_runs_have_a_bounded_number_of_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hat.run_page.callback.figure", lambda _: np.zeros((4, 4, 3), np.uint8))
    page, shown = RunPage(tmp_path, "float", "task"), list[int]()
    for step in range(1, 1002):
        page.on_samples(trainer(step, 1001, shown), [sample()])
    assert shown[0] == 1
    assert shown[-1] == 1001
    assert PICTURE_SETS - 2 <= len(shown) <= PICTURE_SETS + 3
    page.on_samples(trainer(1001, 1001, shown), [])  # not the main process, or no RGB images
    assert shown[-2] != 1001


def test_a_full_disk_does_not_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise InputError("no room")

    monkeypatch.setattr("hat.run_page.callback.write_file", full)
    monkeypatch.setattr("hat.run_page.callback.write_pictures", full)
    page = RunPage(tmp_path, "float", "task")
    for step in (1, 2):
        page.on_samples(trainer(step, 2, []), [sample()])
    page.on_loop_end(trainer(2, 2, []))
    assert caplog.text.count("The run's page is not up to date: no room") == 1


def test_samples_of_a_batch() -> None:
    images = torch.randint(0, 256, (3, 6, 8, 12), dtype=torch.uint8)
    truth = torch.rand(3, 2, 8, 12)
    batch = {"img": images, "gt_flow": truth, "color_space": ["bgr"] * 3, "img_name": list("xyz")}
    found = samples_of(batch, {"pred_flows": torch.ones(3, 2, 2, 3)}, 2)
    assert [one.name for one in found] == ["x", "y"]
    for index, one in enumerate(found):
        np.testing.assert_array_equal(one.image1[..., ::-1], images[index, :3].permute(1, 2, 0))
        np.testing.assert_array_equal(one.gt_flow, truth[index].permute(1, 2, 0))
        assert one.flow.shape == (8, 12, 2)
        assert (one.flow == 1).all()
    for change in ({"color_space": ["yuv"] * 3}, {"img": images.float()}, {"gt_flow": None}):
        assert samples_of({**batch, **change}, torch.ones(3, 2, 2, 3), 2) == []


def test_a_run_that_begins_sees_whose_page_it_is(tmp_path: Path) -> None:
    report_path(tmp_path).write_text(page_of_folder(tmp_path, "t", Going("float", "x", 0, 0, 0)))
    RunFolder("float", tmp_path).check(Start.NEW)
