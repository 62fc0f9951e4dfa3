"""Pictures of flow for a sequence."""

from __future__ import annotations

import numpy as np
import pytest

from hat.visualize.arrows import REACH, draw_arrows, spacing
from hat.visualize.colours import ERROR_COLOURS, flow_colours
from hat.visualize.painter import LAYOUTS, STYLES, FlowPainter

SIZE = (130, 170)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def uniform(u: float, v: float) -> np.ndarray:
    return np.full((*SIZE, 2), (u, v), np.float32)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_sizes_and_legend(image: np.ndarray, style: str, layout: str) -> None:
    flow = uniform(4, -3)
    plain = FlowPainter(style, layout, legend=False).paint(image, flow, 5.0)
    width = SIZE[1] * (2 if layout == "beside" else 1)
    assert plain.shape == (SIZE[0], width, 3)
    assert plain.dtype == np.uint8
    painter = FlowPainter(style, layout)
    legend = painter.paint(image, flow, 5.0)
    np.testing.assert_array_equal(legend[:, :width], plain)
    strip = legend[:, width:]
    assert strip.shape[1] > 80
    assert 0 < (strip != 255).any(axis=2).mean() < 0.5
    other = painter.paint(image, flow, 50.0)[:, width:]
    assert other.shape == strip.shape  # the frames of a video have one size
    assert (other != strip).any()
    np.testing.assert_array_equal(painter.paint(image, flow, 5.0), legend)


def test_where_nothing_moves(image: np.ndarray) -> None:
    """White alone; over the image the image."""
    still = uniform(0, 0)
    for style in STYLES:
        assert (FlowPainter(style, "alone", False).paint(image, still, 5.0) == 255).all()
    over = FlowPainter("arrows", "over", False).paint(image, still, 5.0)
    np.testing.assert_array_equal(over, image)
    grey = FlowPainter("colours", "over", False).paint(image, still, 5.0)
    assert (grey == grey[..., :1]).all()
    assert np.corrcoef(grey[..., 0].ravel(), image.mean(axis=2).ravel())[0, 1] > 0.8


def test_colours_over_the_image_and_beside_it(image: np.ndarray) -> None:
    flow = uniform(5, 0)
    beside = FlowPainter("colours", "beside", False).paint(image, flow, 5.0)
    np.testing.assert_array_equal(beside[:, : SIZE[1]], image)
    np.testing.assert_array_equal(beside[:, SIZE[1] :], flow_colours(flow, 5.0))
    over = FlowPainter("colours", "over", False).paint(image, flow, 5.0)
    assert (over[..., 1:] == 0).all()  # to the right is red
    assert over[..., 0].min() > 60


def test_an_arrow_has_the_length_and_direction_of_its_flow() -> None:
    size = (48, 60)
    flow = np.zeros((*size, 2), np.float32)
    step = spacing(size)
    cell = (slice(2 * step, 3 * step), slice(0, step))  # the third row, first column, of 12 px
    flow[cell] = (10.0, 0.0)
    picture = np.full((*size, 3), 255, np.uint8)
    draw_arrows(picture, flow, 10.0, outline=False)
    rows, columns = np.nonzero((picture < 250).any(axis=2))
    middle = 2.5 * step
    assert abs(rows.mean() - middle) < 1
    assert columns.min() == pytest.approx(step / 2, abs=2)
    assert columns.max() - columns.min() == pytest.approx(REACH * step, abs=3)
    # The head is at the right: its column is higher than that of the shaft.
    heights = [np.ptp(rows[columns == column]) for column in range(columns.min(), columns.max())]
    assert max(heights[-6:]) > max(heights[:6])
    draw_arrows(picture, np.full((*size, 2), np.nan, np.float32), 10.0, outline=False)


def test_error_maps_have_their_legend() -> None:
    error, valid = np.full(SIZE, 100.0), np.ones(SIZE, np.uint8)
    picture = FlowPainter().paint_error(error, valid)
    assert (picture[:, : SIZE[1]] == ERROR_COLOURS[-1]).all()
    assert picture.shape[1] > SIZE[1]
    assert FlowPainter(legend=False).paint_error(error, valid).shape[1] == SIZE[1]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="style 'dots'"):
        FlowPainter("dots")
    with pytest.raises(ValueError, match="layout 'under'"):
        FlowPainter("arrows", "under")
