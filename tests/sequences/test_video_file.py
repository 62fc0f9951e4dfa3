"""Videos that appear when they are complete."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hat.errors import InputError
from hat.sequences import video_file
from hat.sequences.video_file import CODECS, VideoFile, is_video_name
from tests.sequences.media import images, video_frames


@pytest.mark.parametrize("suffix", CODECS)
def test_each_container_gives_its_frames_back(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out" / f"clip{suffix}"
    video = VideoFile(path, 20.0)
    written = images(7)
    for image in written:
        video.write(image)
        assert not path.exists()
    video.publish()
    found, rate = video_frames(path)
    assert rate == pytest.approx(20.0)
    assert len(found) == len(written)
    for image, expected in zip(found, written, strict=True):
        assert np.abs(image.astype(int) - expected).mean() < 8  # lossy, and no channels exchanged
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert capfd.readouterr().err == ""


def test_an_odd_size_is_made_even(tmp_path: Path) -> None:
    video = VideoFile(tmp_path / "clip.avi", 10.0)
    image = np.full((33, 51, 3), 200, np.uint8)
    video.write(image)
    with pytest.raises(ValueError, match="a frame of"):
        video.write(image[:20])
    video.publish()
    ((found,), _) = video_frames(tmp_path / "clip.avi")
    assert found.shape == (34, 52, 3)
    assert found[-1, -1].min() > 190


def test_what_is_not_published_leaves_nothing(tmp_path: Path) -> None:
    video = VideoFile(tmp_path / "clip.mp4", 10.0)
    video.write(images(1)[0])
    video.discard()
    VideoFile(tmp_path / "none.mp4", 10.0).publish()  # without a frame
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_cannot_be_read_back_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip.mp4").write_text("an earlier one")
    monkeypatch.setattr(video_file, "_has_frame", lambda *_: False)
    video = VideoFile(tmp_path / "clip.mp4", 10.0)
    video.write(images(1)[0])
    with pytest.raises(InputError, match="its last frame cannot be read back"):
        video.publish()
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    assert (tmp_path / "clip.mp4").read_text() == "an earlier one"


def test_other_names_are_refused(tmp_path: Path) -> None:
    assert is_video_name(Path("A.MP4"))
    assert not is_video_name(Path("a.png"))
    with pytest.raises(InputError, match=r"a\.gif: \.gif is no video that can be written"):
        VideoFile(tmp_path / "a.gif", 10.0)
