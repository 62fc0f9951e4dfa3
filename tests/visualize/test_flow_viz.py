"""The pictures of a pair: which files, which size, what they show."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from hat.data.image_io import read_image
from hat.errors import InputError
from hat.registry import build_from_registry
from hat.visualize import FlowViz, error_colours, flow_colours
from hat.visualize.colours import ERROR_COLOURS
from hat.visualize.figure import Pair, error_picture, flow_picture, pair_figure
from hat.visualize.scale import colour_scale


def pair(height: int, width: int) -> Pair:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    flow = rng.normal(0, 5, (2, height, width, 2)).astype(np.float32)
    return Pair(images[0], images[1], flow[0], flow[1], np.ones((height, width), np.uint8))


def test_files_of_a_pair_with_ground_truth(tmp_path: Path) -> None:
    p = pair(40, 60)
    viz = build_from_registry({"type": "FlowViz", "save_path": tmp_path / "new" / "folder"})
    files = viz(p.image1, p.image2, p.flow, "a", p.gt_flow, p.gt_valid)
    assert {kind: path.name for kind, path in files.items()} == {
        "flow": "a_flow.png",
        "error": "a_error.png",
        "figure": "a_figure.png",
    }
    scale = colour_scale((p.gt_flow, None))  # type: ignore[arg-type]
    shown, error = (read_image(files[kind]) for kind in ("flow", "error"))
    np.testing.assert_array_equal(shown[:40, :60], flow_colours(p.flow, scale))
    np.testing.assert_array_equal(error[:40, :60], error_colours(p.error))
    assert shown.shape[0] > 40 < error.shape[0]  # the legend needs more room
    assert (shown[40:, :60] == 255).all()
    assert sorted(path.name for path in files["flow"].parent.iterdir()) == sorted(
        path.name for path in files.values()
    )


def test_without_ground_truth_and_figure(tmp_path: Path) -> None:
    p = pair(40, 60)
    files = FlowViz(is_plot=False, max_flow=20.0, legend=False)(
        p.image1, p.image2, p.flow, "b", save_path=tmp_path
    )
    assert list(files) == ["flow"]
    np.testing.assert_array_equal(read_image(files["flow"]), flow_colours(p.flow, 20.0))


@pytest.mark.parametrize("size", [(64, 64), (384, 512), (300, 8), (8, 300), (1, 1)])
@pytest.mark.parametrize("truth", [False, True])
def test_figure_shows_the_images_and_fits(size: tuple[int, int], truth: bool) -> None:
    p = pair(*size)
    # Images of one colour are found again in the figure.
    colours = np.array([(10, 200, 30), (200, 10, 220)], np.uint8)
    first, second = (np.full((*size, 3), colour, np.uint8) for colour in colours)
    shown = Pair(first, second, p.flow, *((p.gt_flow, p.gt_valid) if truth else ()))
    png = np.frombuffer(pair_figure(shown, max_flow=10.0), np.uint8)
    image = cv2.cvtColor(cv2.imdecode(png, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    boxes = []
    for colour in colours:
        rows, columns = np.nonzero((np.abs(image.astype(int) - colour) < 3).all(axis=2))
        box = rows.min(), rows.max(), columns.min(), columns.max()
        height, width = box[1] - box[0] + 1, box[3] - box[2] + 1
        assert max(height, width) in range(398, 514)
        assert height / width == pytest.approx(size[0] / size[1], rel=0.15)
        boxes.append(box)
    if truth:
        assert boxes[1][0] > boxes[0][1]  # image 2 below image 1
    else:
        assert boxes[1][2] > boxes[0][3]  # image 2 right of image 1
    border = np.concatenate([image[:5].ravel(), image[-5:].ravel(), image[:, -3:].ravel()])
    assert (border == 255).all()  # nothing runs over the edge


def test_still_images_are_white(tmp_path: Path) -> None:
    """What a network finds where nothing moves, hundredths of a pixel, is no colourful noise."""
    noise = np.random.default_rng(0).normal(0, 0.02, (200, 300, 2)).astype(np.float32)
    grey = np.full((200, 300, 3), 128, np.uint8)
    for truth in (None, noise[::-1].copy()):
        files = FlowViz()(grey, grey, noise, "still", truth, save_path=tmp_path)
        picture = read_image(files["flow"])
        assert picture[:200, :300].min() > 220
        figure = read_image(files["figure"]).astype(int)
        # what has colours is the legend: the panels are grey and nearly white, the error map aside
        if truth is None:
            colourful = figure.max(axis=2) - figure.min(axis=2) > 60
            assert colourful.any()
            assert not colourful[:, : figure.shape[1] * 3 // 4].any()


@pytest.mark.parametrize("size", [(1, 1), (30, 40), (300, 3), (384, 512), (1080, 1920)])
def test_flow_picture_has_its_scale_beside_it(size: tuple[int, int]) -> None:
    """A wheel with all hues, and letters under it that depend on the scale."""
    flow = np.zeros((*size, 2), np.float32)
    pictures = [flow_picture(flow, scale) for scale in (1.0, 24.0)]
    height, width = size
    for picture in pictures:
        assert (picture[:height, :width] == 255).all()
        legend = picture[:, width:].astype(int)
        assert legend.shape[1] < 260
        for channel in range(3):
            others = [c for c in range(3) if c != channel]
            assert (legend[..., channel] - legend[..., others].max(axis=2)).max() > 100
        assert (legend[[0, -1]] == 255).all()
        assert (legend[:, [0, -1]] == 255).all()  # nothing is cut off
    changed = np.nonzero((pictures[0] != pictures[1]).any(axis=2))
    wheel_end = np.nonzero((np.ptp(pictures[0].astype(int), axis=2) > 100).any(axis=1))[0].max()
    assert changed[0].size > 20
    assert changed[0].min() > wheel_end


@pytest.mark.parametrize("size", [(1, 1), (384, 512)])
def test_error_picture_has_the_steps_beside_it(size: tuple[int, int]) -> None:
    legend = error_picture(np.zeros(size))[:, size[1] :]
    found = {tuple(pixel) for pixel in legend.reshape(-1, 3).tolist()}
    assert found >= {tuple(colour) for colour in ERROR_COLOURS.tolist()}
    assert (legend[[0, -1]] == 255).all()
    assert (legend[:, [0, -1]] == 255).all()


def test_mean_error_counts_valid_pixels() -> None:
    p = pair(4, 4)
    valid = np.zeros((4, 4), np.uint8)
    valid[0, 0] = 1
    shown = Pair(p.image1, p.image2, p.flow, p.gt_flow, valid)
    assert shown.mean_error == pytest.approx(shown.error[0, 0])


def test_bad_input(tmp_path: Path) -> None:
    p = pair(8, 8)
    with pytest.raises(ValueError, match=r"flow: \(4, 8\) pixels, but image1 has \(8, 8\)"):
        FlowViz(save_path=tmp_path)(p.image1, p.image2, p.flow[:4], "a")
    with pytest.raises(ValueError, match="no folder"):
        FlowViz()(p.image1, p.image2, p.flow, "a")
    with pytest.raises(InputError, match=r"viz_func: .*max_flow"):
        build_from_registry({"type": "FlowViz", "max_flow": -1}, "viz_func")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make this folder"):
        FlowViz()(p.image1, p.image2, p.flow, "a", save_path=tmp_path / "file" / "folder")
