"""Frames of pictures, videos and cameras, and the words that name them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from hat.data.image_io import write_png
from hat.errors import InputError
from hat.sequences.find import find_files, find_frames, look_like_pairs, natural_order
from hat.sequences.frames import Camera, Pictures, Video, pairs, pairs_of, spread
from tests.sequences.media import SIZE, images, write_pictures, write_video


def names(source: Pictures | Video | Camera) -> list[tuple[str, str]]:
    return [(first.name, second.name) for first, second in pairs(source)]


def test_pictures_of_a_folder_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    files = write_pictures(tmp_path / "in", 11, "img{}.png")
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    (tmp_path / "in" / ".hidden.png").write_text("nor this")
    source = find_frames([str(tmp_path / "in")])
    assert isinstance(source, Pictures)
    assert source.files == files  # img2 before img10
    assert pairs_of(source) == 10
    assert names(source) == list(pairwise(file.stem for file in files))
    assert source.pair_names() == [file.stem for file in files[:-1]]


@pytest.mark.parametrize(
    ("stems", "expected"),
    [
        (("00001_img1", "00001_img2", "00002_img1", "00002_img2"), True),
        (("000000_10", "000000_11", "000001_10", "000001_11"), True),
        (("frame_0001", "frame_0002", "frame_0003", "frame_0004"), False),
        (("a_1", "a_2"), False),  # a single pair is taken as one anyway
        (("a_1", "a_2", "b_1"), False),
        (("a_1", "a_2", "b_1", "b_3"), False),
        (("first", "second", "third", "fourth"), False),
    ],
)
def test_names_of_separate_pairs(stems: tuple[str, ...], expected: bool) -> None:
    assert look_like_pairs([Path(f"{stem}.png") for stem in stems]) is expected


def test_a_pattern_and_a_list_are_the_same_frames(tmp_path: Path) -> None:
    files = write_pictures(tmp_path, 3)
    write_png(tmp_path / "mask_1.png", images(1)[0])
    by_pattern = find_frames([str(tmp_path / "frame_*.png")])
    by_list = find_frames([str(file) for file in files])
    assert names(by_pattern) == names(by_list)  # type: ignore[arg-type]
    for first, second in zip(pairs(by_pattern), pairs(by_list), strict=True):
        np.testing.assert_array_equal(first[0].image, second[0].image)


def test_pairs_side_by_side(tmp_path: Path) -> None:
    write_pictures(tmp_path, 4, "{:05d}_img.png")
    source = find_frames([str(tmp_path)], side_by_side=True)
    assert pairs_of(source) == 2
    assert names(source) == [("00001_img", "00002_img"), ("00003_img", "00004_img")]  # type: ignore[arg-type]
    assert source.pair_names() == ["00001_img", "00003_img"]


@pytest.mark.parametrize(
    ("start", "limit", "every", "expected"),
    [(0, None, 1, [0, 1, 2, 3, 4, 5]), (2, None, 1, [2, 3, 4, 5]), (1, 3, 2, [1, 3, 5])],
)
def test_frames_of_a_video(
    tmp_path: Path, start: int, limit: int | None, every: int, expected: list[int]
) -> None:
    path = write_video(tmp_path / "clip.avi", 6)
    source = find_frames([str(path)], start=start, limit=limit, every=every)
    assert source.rate == pytest.approx(12.5 / every)
    assert source.count == len(expected)
    frames = list(source)
    assert [frame.name for frame in frames] == [f"clip_{number:06d}" for number in expected]
    assert source.pair_names() == [frame.name for frame in frames[:-1]]
    originals = images(6)
    for frame, number in zip(frames, expected, strict=True):
        assert frame.image.shape == (*SIZE, 3)
        difference = np.abs(frame.image.astype(int) - originals[number])
        assert difference.mean() < 8  # lossy; the next frame differs by more
        other = originals[(number + 1) % 6]
        assert np.abs(frame.image.astype(int) - other).mean() > difference.mean()


def test_samples_are_pairs_of_the_sequence_from_all_over_it(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", 9)
    frames = [frame.image for frame in Video(path)]
    sampled = list(Video(path).samples(3))
    assert len(sampled) == 3
    for (first, second), number in zip(sampled, spread(8, 3), strict=True):
        np.testing.assert_array_equal(first, frames[number])
        np.testing.assert_array_equal(second, frames[number + 1])
    assert spread(8, 3) == [1, 4, 6]
    assert spread(2, 5) == [0, 1]
    assert spread(0, 5) == []


def test_a_camera_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The camera here is a video behind OpenCV's reader of cameras."""
    path, real, asked = str(write_video(tmp_path / "clip.avi", 6)), cv2.VideoCapture, []

    def capture(source: object, *more: object) -> cv2.VideoCapture:
        asked.append(source)
        return real(path if source == 0 else source, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(cv2, "VideoCapture", capture)
    source = find_frames(["0"], limit=4)
    assert isinstance(source, Camera)
    assert asked == [0]
    assert source.pair_names() is None
    assert names(source) == [(f"camera0_{i:06d}", f"camera0_{i + 1:06d}") for i in range(3)]
    with pytest.raises(InputError, match="camera 7: OpenCV cannot open it"):
        find_frames(["7"])


def test_what_is_no_source_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_pictures(tmp_path / "in", 3)
    write_pictures(tmp_path / "in", 2, "mask_{}.png")
    write_pictures(tmp_path / "one", 1)
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    for word, message in {
        "in": r"2 kinds of names: frame_\*.png \(3\), mask_\*.png \(2\); name the frames by a pat",
        "one": "one picture",
        "empty": "no pictures in this folder",
        "text.mp4": "neither a picture nor a video",
        "no.mp4": "no such file or folder",
        "no": "no such file or folder",
        "in/x*.png": "no file has a name like this",
    }.items():
        with pytest.raises(InputError, match=message):
            find_frames([str(tmp_path / word)])
    assert capfd.readouterr().err == ""  # no remark of OpenCV's beside the error
    with pytest.raises(InputError, match="no picture; give one video alone"):
        find_frames([str(tmp_path / "in" / "frame_0001.png"), str(tmp_path / "text.mp4")])
    with pytest.raises(InputError, match="3 pictures cannot be taken two by two"):
        find_frames([str(tmp_path / "in" / "frame*.png")], side_by_side=True)


def test_frames_of_two_sizes_are_told_by_name(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    write_png(tmp_path / "frame_0003.png", np.zeros((10, 20, 3), np.uint8))
    source = find_frames([str(tmp_path)])
    with pytest.raises(InputError, match="frame_0003 has 20x10 pixels and frame_0001 96x64"):
        names(source)  # type: ignore[arg-type]


def test_natural_order() -> None:
    shuffled = [Path(name) for name in ("a10", "a9", "b1", "9", "a9b2", "a09")]
    ordered = sorted(shuffled, key=natural_order)
    assert [path.name for path in ordered] == ["9", "a09", "a9", "a9b2", "a10", "b1"]


def test_files_by_folder_pattern_and_name(tmp_path: Path) -> None:
    files = write_pictures(tmp_path, 3)
    assert find_files(str(tmp_path), [".png"], "pictures") == files
    assert find_files(str(tmp_path / "*_0002.png"), [".png"], "pictures") == [files[1]]
    assert find_files(str(files[2]), [".png"], "pictures") == [files[2]]
