"""Which true flow belongs to which pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hat.data.flow_io import write_flo, write_kitti_png
from hat.errors import InputError
from hat.sequences.truth import match_truth, read_truth


def write(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name in names:
        write_flo(folder / name, np.zeros((2, 3, 2), np.float32))
    return [folder / name for name in names]


def test_by_the_name_of_the_first_frame(tmp_path: Path) -> None:
    files = write(tmp_path / "flow", "frame_0002.flo", "frame_0009.flo", "frame_0003.flo")
    write_kitti_png(tmp_path / "flow" / "frame_0002.png", np.zeros((2, 3, 2), np.float32))
    frames = ["frame_0001", "frame_0002", "frame_0003"]
    # The picture beside the flow of the same name is no flow; the flow of frame 9 has no pair.
    assert match_truth(str(tmp_path / "flow"), frames) == {1: files[0], 2: files[2]}


def test_by_the_number_in_the_names(tmp_path: Path) -> None:
    files = write(tmp_path / "flow", "00001_flow.flo", "00003_flow.flo")
    found = match_truth(
        str(tmp_path / "flow" / "*.flo"), ["00003_img1", "00001_img1", "00007_img1"]
    )
    assert found == {0: files[1], 1: files[0]}


def test_by_their_order(tmp_path: Path) -> None:
    files = write(tmp_path / "flow", "a.flo", "b.flo")
    assert match_truth(str(tmp_path / "flow"), ["left", "right"]) == {0: files[0], 1: files[1]}
    assert match_truth(str(files[1]), ["left"]) == {0: files[1]}
    with pytest.raises(InputError, match=r"2 flows for 3 pairs.*the first are a.flo and x"):
        match_truth(str(tmp_path / "flow"), ["x", "y", "z"])


def test_one_number_in_several_names_decides_nothing(tmp_path: Path) -> None:
    files = write(tmp_path / "flow", "scene1_a.flo", "scene1_b.flo")
    assert match_truth(str(tmp_path / "flow"), ["scene1_x", "scene1_y"]) == dict(enumerate(files))


def test_the_size_is_that_of_the_images(tmp_path: Path) -> None:
    (file,) = write(tmp_path / "flow", "a.flo")
    assert read_truth(file, (2, 3))[1].all()
    with pytest.raises(InputError, match="true flow of 3x2 pixels for images of 4x2"):
        read_truth(file, (2, 4))
    with pytest.raises(InputError, match="no flow files in this folder"):
        match_truth(str(tmp_path), ["a"])
