"""``hat infer`` on folders, patterns, videos and cameras, by the network of the package."""

from __future__ import annotations

import csv
import itertools
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hat import interruption
from hat.cli.main import run_command
from hat.data.flow_io import read_flo, read_kitti_png, write_flo
from hat.data.image_io import read_image
from hat.sequences.estimators import ProgramEstimator
from hat.sequences.video_file import VideoFile
from horizon_flow.steps import VideoSteps
from tests.cli.test_infer import written
from tests.cli.tiny import write_checkpoint, write_config
from tests.sequences.media import SIZE, images, video_frames, write_pictures, write_video

Told = Callable[[], str]


@pytest.fixture(autouse=True)
def programs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled once for all tests."""
    folder = tmp_path_factory.getbasetemp() / "programs"
    monkeypatch.setenv("HORIZON_FLOW_CACHE", str(folder))


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Told:
    def message() -> str:
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1
        return captured.err

    return message


def infer(*words: str | Path) -> int:
    return run_command("infer", [str(word) for word in words])


def expected_flows(count: int) -> list[np.ndarray]:
    return list(ProgramEstimator("pwcnet_lite").flows(images(count)))


def test_two_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = write_pictures(tmp_path / "in", 2)
    assert infer(first, second, "-o", tmp_path / "out") == 0
    assert written(tmp_path / "out") == {
        "frame_0001.flo",
        "frame_0001_flow.png",
        "frame_0001_figure.png",
    }
    flow = read_flo(tmp_path / "out" / "frame_0001.flo")
    np.testing.assert_array_equal(flow, expected_flows(2)[0])
    printed = capsys.readouterr().out
    assert f"1 flow of {SIZE[1]}x{SIZE[0]} pixels" in printed
    assert "by pwcnet_lite, compiled" in printed
    assert str(tmp_path / "out" / "frame_0001.flo") in printed
    inputs = f"img1:{first},img2:{second}"
    assert infer("--model-inputs", inputs, "-o", tmp_path / "two") == 0
    assert (tmp_path / "two" / "frame_0001.flo").read_bytes() == (
        tmp_path / "out" / "frame_0001.flo"
    ).read_bytes()


def test_a_folder_with_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(tmp_path / "in", 4)
    flows = expected_flows(4)
    (tmp_path / "flow").mkdir()
    for number in (0, 2):  # of the second pair nobody knows it
        write_flo(tmp_path / "flow" / f"frame_{number + 1:04d}.flo", flows[number] + [3.0, 4.0])
    out = tmp_path / "out"
    assert infer(tmp_path / "in", "--truth", tmp_path / "flow", "-o", out) == 0
    kinds = {".flo", "_flow.png"}
    names = {f"frame_000{i}{kind}" for i in (1, 2, 3) for kind in kinds}
    names |= {"frame_0001_error.png", "frame_0003_error.png", "metrics.csv"}
    assert written(out) == names
    rows = list(csv.reader((out / "metrics.csv").read_text().splitlines()))
    assert [row[0] for row in rows] == ["pair", "frame_0001", "frame_0003", "all"]
    assert rows[0][1:] == ["EPE", "1px", "3px", "5px", "Fl-all", "zero-flow EPE"]
    for row in rows[1:]:
        assert float(row[1]) == pytest.approx(5.0, abs=1e-3)
        assert [float(value) for value in row[2:4]] == [100.0, 100.0]
    table = capsys.readouterr().out
    assert all(name in table for name in ("frame_0001", "frame_0003", "all", "Fl-all", "5.0000"))


def test_a_true_flow_that_is_unknown_everywhere_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(tmp_path / "in", 3)
    (tmp_path / "flow").mkdir()
    for number in (1, 2):  # 1e9 and more stands for unknown
        speed = 1.0 if number == 2 else 1e10
        write_flo(tmp_path / "flow" / f"{number}.flo", np.full((*SIZE, 2), speed, np.float32))
    assert infer(tmp_path / "in", "--truth", tmp_path / "flow", "-o", tmp_path / "out") == 0
    error = capsys.readouterr().err
    assert "warning: the true flow of frame_0001 is unknown at every pixel" in error
    assert "frame_0002" not in error


def test_every_format_holds_the_same_flow(tmp_path: Path) -> None:
    write_pictures(tmp_path / "in", 3)
    kinds = ["flo", "kitti", "npz", "picture", "figure", "video"]
    out = tmp_path / "out"
    assert infer(tmp_path / "in" / "frame_*.png", "-o", out, "--write", *kinds) == 0
    for number, expected in enumerate(expected_flows(3), 1):
        name = f"frame_{number:04d}"
        np.testing.assert_array_equal(read_flo(out / f"{name}.flo"), expected)
        np.testing.assert_array_equal(np.load(out / f"{name}.npz")["flow"], expected)
        flow, valid = read_kitti_png(out / f"{name}_kitti.png")
        assert valid.all()
        np.testing.assert_allclose(flow, expected, atol=1 / 128)
        assert read_image(out / f"{name}_flow.png").shape[0] >= SIZE[0]
        assert (out / f"{name}_figure.png").is_file()
    assert len(video_frames(out / "in_flow.mp4")[0]) == 2


def test_a_video_to_a_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_video(tmp_path / "clip.avi", 12)
    assert infer(clip, "-o", tmp_path / "flow.mkv", "--max-flow", "5", "--no-legend") == 0
    frames, rate = video_frames(tmp_path / "flow.mkv")
    assert len(frames) == 11
    assert rate == pytest.approx(12.5)
    originals, _ = video_frames(clip)
    for frame, original in zip(frames, originals, strict=False):
        assert frame.shape == (SIZE[0], 2 * SIZE[1], 3)
        shown = frame[:, : SIZE[1]].astype(int)
        assert np.abs(shown - original).mean() < 12
        assert np.ptp(frame[:, SIZE[1] :]) > 50  # a flow of 3 px at a scale of 5
    assert "11 flows" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"clip.avi", "flow.mkv", ".hat-infer.json"}


def test_part_of_a_video_as_files_named_by_its_frames(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.avi", 9)
    words = ["--start", "2", "--every", "3", "--frames", "3", "--write", "flo", "video"]
    assert infer(clip, "-o", tmp_path / "out", *words) == 0
    assert written(tmp_path / "out") == {"clip_000002.flo", "clip_000005.flo", "clip_flow.mp4"}
    frames, _ = video_frames(clip)
    expected = list(ProgramEstimator("pwcnet_lite").flows([frames[i] for i in (2, 5, 8)]))
    np.testing.assert_array_equal(read_flo(tmp_path / "out" / "clip_000005.flo"), expected[1])


def test_the_config_s_network_on_a_folder(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    write_checkpoint(config)
    first, second, _ = write_pictures(tmp_path / "in", 3)
    words = ["--config", config, "--stage", "float"]
    assert infer(tmp_path / "in", "-o", tmp_path / "out", *words, "--write", "flo") == 0
    inputs = f"img1:{first},img2:{second}"
    assert infer("--model-inputs", inputs, "-o", tmp_path / "pair", *words) == 0
    assert written(tmp_path / "out") == {"frame_0001.flo", "frame_0002.flo"}
    flow = read_flo(tmp_path / "out" / "frame_0001.flo")
    np.testing.assert_allclose(flow, read_flo(tmp_path / "pair" / "frame_0001.flo"), atol=1e-5)


def test_own_results_are_replaced_and_those_of_others_are_not(
    tmp_path: Path, refusal: Told
) -> None:
    write_pictures(tmp_path / "in", 3)
    out = tmp_path / "out"
    assert infer(tmp_path / "in", "-o", out) == 0
    assert infer(tmp_path / "in", "-o", out, "--style", "arrows") == 0
    (out / "frame_0002.flo").write_text("mine")
    before = {path: path.read_bytes() for path in out.iterdir()}
    assert infer(tmp_path / "in", "-o", out) == 2
    assert "frame_0002.flo would be overwritten" in refusal()
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    clip = write_video(tmp_path / "clip.mp4", 3)
    (tmp_path / "flow.mp4").write_text("mine")
    assert infer(clip, "-o", tmp_path / "flow.mp4") == 2
    assert "flow.mp4 would be overwritten" in refusal()
    assert infer(clip, "-o", clip) == 2
    assert "would overwrite the input" in refusal()


def test_mistakes_are_told_before_anything_is_computed(
    tmp_path: Path, refusal: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("flows", "steps"):
        monkeypatch.setattr(ProgramEstimator, name, lambda *_: pytest.fail("computed"))
    files = write_pictures(tmp_path / "in", 3)
    clip = write_video(tmp_path / "clip.mp4", 3)
    (tmp_path / "twice").mkdir()
    other = write_pictures(tmp_path / "twice", 1)[0]
    folder, out = tmp_path / "in", tmp_path / "out"
    for words, message in (
        ([folder, "-o", folder], "holds the frames, and results among them"),
        ([f"{folder}/*.png", "-o", folder], "holds the frames, and results among them"),
        ([clip, "-o", tmp_path / "flow.flo"], "expected a folder or a video (.mp4"),
        ([*files[:2], "-o", tmp_path / "pic.png"], "expected a folder or a video (.mp4"),
        ([folder, "-o", out, "--write", "error"], "name it by --truth"),
        ([clip, "-o", tmp_path / "a.mp4", "--write", "flo"], "files of --write flo need a folder"),
        ([clip, "-o", out, "--start", "5"], "has 3 frames, and --start leaves 5 of them out"),
        ([clip, "-o", out, "--pairs"], "--pairs is for pictures"),
        ([files[0], other, files[1], "-o", out], "several pictures have the name frame_0001"),
        ([folder, "-o", out, "--model", "no"], "expected pwcnet_lite"),
        ([folder, "-o", out, "--stage", "float"], "--stage without --config"),
        (["-o", out], "no input"),
        ([folder, "-o", out, "--model-inputs", "img1:a,img2:b"], "leave one of them out"),
        (["-c", "x.py", "-o", out, "--style", "arrows"], "--style with the config's inputs"),
        ([folder, "-o", out, "--truth", tmp_path / "no"], "no such file or folder"),
    ):
        assert infer(*words) == 2, words
        assert message in refusal()
    assert not out.exists()


@pytest.mark.parametrize("scale", [["--max-flow", "5"], []])
def test_a_damaged_frame_keeps_what_is_finished(
    tmp_path: Path, refusal: Told, scale: list[str]
) -> None:
    files = write_pictures(tmp_path / "in", 8)
    files[5].write_bytes(files[5].read_bytes()[:100])
    out = tmp_path / "out"
    words = ["--write", "flo", "video", *scale]
    assert infer(tmp_path / "in", "-o", out, *words) == 2
    message = refusal()
    assert "frame_0006.png" in message
    assert "(after 4 of 7 pairs)" in message
    assert written(out) == {f"frame_{number:04d}.flo" for number in range(1, 5)}
    files[5].unlink()
    assert infer(tmp_path / "in", "-o", out, *words) == 0  # its own files are in nobody's way
    assert len(written(out)) == 7


def interrupted(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    step, flows = VideoSteps.next, itertools.count(1)

    def interrupting(self: VideoSteps, planes: np.ndarray) -> np.ndarray | None:
        computed = step(self, planes)
        if computed is not None and next(flows) == after:
            interruption.request(signal.SIGINT)
        return computed

    monkeypatch.setattr(VideoSteps, "next", interrupting)


def test_ctrl_c_keeps_whole_files_and_says_how_far_it_got(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_video(tmp_path / "clip.avi", 40)
    interrupted(monkeypatch, 5)
    words = ["--write", "flo", "video", "--max-flow", "5"]
    assert infer(clip, "-o", tmp_path / "out", *words) == 128 + signal.SIGINT
    assert capsys.readouterr().err == "interrupted: after 5 of 39 pairs; what they gave is whole\n"
    assert written(tmp_path / "out") == {
        "clip_flow.mp4",
        *(f"clip_{number:06d}.flo" for number in range(5)),
    }
    assert len(video_frames(tmp_path / "out" / "clip_flow.mp4")[0]) == 5


def test_ctrl_c_is_how_an_endless_camera_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2

    path, real = str(write_video(tmp_path / "clip.avi", 40)), cv2.VideoCapture
    monkeypatch.setattr(
        cv2, "VideoCapture", lambda source, *more: real(path if source == 0 else source, *more)
    )
    interrupted(monkeypatch, 4)
    assert infer("0", "-o", tmp_path / "flow.mp4") == 0
    assert "4 flows" in capsys.readouterr().out
    assert len(video_frames(tmp_path / "flow.mp4")[0]) == 4


def test_a_video_that_ends_too_early_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hat.sequences.frames import Video

    clip = write_video(tmp_path / "clip.avi", 6)
    begin = Video.__init__

    def announcing(self: Video, *words: object) -> None:
        begin(self, *words)  # type: ignore[arg-type]
        self.count = 10

    monkeypatch.setattr(Video, "__init__", announcing)
    assert infer(clip, "-o", tmp_path / "flow.mp4", "--max-flow", "5") == 0
    assert "announces 10 frames and ends after 6" in capsys.readouterr().err


def test_without_a_video_nothing_is_left_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_video(tmp_path / "clip.avi", 6)

    def full(self: VideoFile, image: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(VideoFile, "write", full)
    assert infer(clip, "-o", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()


def test_frames_need_neither_torch_nor_matplotlib_to_begin() -> None:
    code = "import sys, hat.cli.infer_sequence; print({'torch', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
