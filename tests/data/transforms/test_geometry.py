"""Crops, flips, warps and resizes: exact values, references, validity, errors."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as reference

from hat.data.transforms import (
    CenterCrop,
    FlowRandomAffineScale,
    RandomCrop,
    RandomFlip,
    Resize,
    SegRandomAffine,
    ToTensor,
)
from hat.data.transforms.sample import hwc
from hat.data.transforms.warp import about_centre, shift_second, warp_flow
from hat.errors import InputError
from tests.data.transforms.pairs import HEIGHT, WIDTH, arrays, flow_field, grid, make_sample


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def with_hole(layout: str = "hwc") -> dict[str, Any]:
    """A sample without ground truth in a rectangle, where the flow is NaN."""
    data = make_sample()
    flow = data["gt_flow"].copy()
    flow[30:50, 40:70] = np.nan
    data["gt_flow"], data["gt_valid"] = flow, np.ones((HEIGHT, WIDTH), np.uint8)
    data["gt_valid"][30:50, 40:70] = 0
    if layout == "chw":
        data["gt_flow"] = torch.from_numpy(data["gt_flow"]).permute(2, 0, 1)
        data["gt_valid"] = torch.from_numpy(data["gt_valid"])[None]
        data["img"] = torch.from_numpy(data["img"]).permute(2, 0, 1)
        data["layout"] = "chw"
    return data


def test_crop_takes_one_window_of_everything_at_every_place() -> None:
    whole, whole_flow, _ = arrays(make_sample())
    places = set()
    for seed in range(60):
        data = make_sample()
        data["gt_valid"] = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 3 > 0).astype("u1")
        data = RandomCrop((94, 127))(data, rng(seed))
        pair, flow, known = arrays(data)
        assert data["img_shape"] == (94, 127, 6)
        [place] = [
            (top, left)
            for top in range(3)
            for left in range(2)
            if np.array_equal(whole_flow[top : top + 94, left : left + 127], flow)
        ]
        top, left = place
        np.testing.assert_array_equal(whole[top : top + 94, left : left + 127], pair)
        index = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
        np.testing.assert_array_equal(index[top : top + 94, left : left + 127] % 3 > 0, known)
        places.add(place)
    assert len(places) == 6


def test_crop_of_the_full_size_is_the_image() -> None:
    pair, _, _ = arrays(RandomCrop((HEIGHT, WIDTH))(make_sample(), rng()))
    np.testing.assert_array_equal(pair, make_sample()["img"])


@pytest.mark.parametrize("transform", [RandomCrop((97, 64)), CenterCrop((64, 129))])
def test_crop_larger_than_the_image_names_sample_and_sizes(transform: Any) -> None:
    with pytest.raises(InputError, match=r"00001.*(97x64|64x129).*96x128"):
        transform(make_sample(), rng())


def test_flip_matches_torchvision() -> None:
    image = make_sample("chw")["img"]
    flipped = RandomFlip(1.0, 0.0)(make_sample("chw"), rng())
    assert torch.equal(flipped["img"], reference.hflip(image))
    flipped = RandomFlip(0.0, 1.0)(make_sample("chw"), rng())
    assert torch.equal(flipped["img"], reference.vflip(image))
    flow = make_sample("chw")["gt_flow"]
    assert torch.equal(flipped["gt_flow"][0], reference.vflip(flow)[0])
    assert torch.equal(flipped["gt_flow"][1], -reference.vflip(flow)[1])


def test_flip_takes_validity_along() -> None:
    _, _, known = arrays(RandomFlip(1.0, 0.0)(with_hole(), rng()))
    assert not known[30:50, WIDTH - 70 : WIDTH - 40].any()
    assert known.sum() == HEIGHT * WIDTH - 20 * 30


def test_flip_probabilities_are_independent() -> None:
    seen = [0, 0, 0, 0]
    original = make_sample()["gt_flow"].mean(axis=(0, 1))
    for seed in range(200):
        mean = arrays(RandomFlip(0.3, 0.7)(make_sample(), rng(seed)))[1].mean(axis=(0, 1))
        seen[2 * (mean[0] * original[0] < 0) + (mean[1] * original[1] < 0)] += 1
    expected = 200 * np.array([0.7 * 0.3, 0.7 * 0.7, 0.3 * 0.3, 0.3 * 0.7])
    assert np.abs(np.array(seen) - expected).max() < 25


def test_warped_linear_flow_is_exact() -> None:
    """f(p) = B p + c under p -> A p + b must be A (B A^-1 (q - b) + c)."""
    x, y = grid()
    slope, offset = np.array([[0.03, -0.05], [0.02, 0.04]]), np.array([3.0, -5.0])
    flow = (np.stack([x, y], -1) @ slope.T + offset).astype(np.float32)
    matrix = about_centre(HEIGHT, WIDTH, 25.0, 0.8)
    moved, valid = warp_flow(flow, None, matrix, shift=(2.0, 1.0))
    source = (np.stack([x, y], -1) - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    expected = (source @ slope.T + offset) @ matrix[:, :2].T + (2.0, 1.0)
    inside = (source >= 0).all(-1) & (source[..., 0] <= WIDTH - 1) & (source[..., 1] <= HEIGHT - 1)
    assert np.abs(moved - expected)[valid > 0].max() < 5e-3
    # positions are rounded to 1/32 px at worst: the mask may differ on the very edge alone
    assert (inside != (valid > 0)).mean() < 0.02
    assert not moved[valid == 0].any()


@pytest.mark.parametrize(("angle", "zoom"), [(20.0, 1.0), (0.0, 1.3), (-35.0, 0.8)])
def test_turn_and_zoom_match_torchvision(angle: float, zoom: float) -> None:
    image = make_sample("chw")["img"].float()
    expected = reference.affine(
        image, angle, [0, 0], zoom, [0.0, 0.0], interpolation=InterpolationMode.BILINEAR
    )
    transform = SegRandomAffine((angle, angle), None, (zoom, zoom), translate_p=0.0, scale_p=1.0)
    pair, _, known = arrays(transform(make_sample(), rng()))
    inner = cv2.erode(known.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    difference = np.abs(pair - expected.permute(1, 2, 0).numpy())[inner]
    assert difference.mean() < 0.5
    assert difference.max() < 3


@pytest.mark.parametrize("seed", range(3))
def test_zoom_is_about_the_pixel_centre(seed: int) -> None:
    """About ((W - 1) / 2, (H - 1) / 2), zooming and mirroring commute; about W / 2 they do not."""
    zoom, flip = FlowRandomAffineScale(1.0, 0.3), RandomFlip(1.0, 1.0)
    one, one_flow, one_known = arrays(flip(zoom(make_sample(), rng(seed)), rng()))
    two, two_flow, two_known = arrays(zoom(flip(make_sample(), rng()), rng(seed)))
    both = one_known & two_known
    assert both.sum() > 0.98 * max(one_known.sum(), two_known.sum())
    assert np.abs(one.astype(int) - two)[both].max() <= 2
    assert np.abs(one_flow - two_flow)[both].max() < 5e-3


def test_zoom_out_leaves_an_invalid_border_and_zoom_in_none() -> None:
    for zoom, share in ((0.8, 0.64), (1.25, 1.0)):
        transform = SegRandomAffine(
            0, None, (zoom, zoom), label_fill_value=-7, translate_p=0, scale_p=1.0, fill=9
        )
        data = transform(make_sample(), rng())
        pair, flow, known = arrays(data)
        assert abs(known.mean() - share) < 0.03
        assert (flow[~known] == -7).all()
        outside = cv2.dilate(known.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
        assert (pair[outside] == 9).all()
        assert data["gt_valid"].dtype == np.uint8


@pytest.mark.parametrize("layout", ["hwc", "chw"])
def test_unknown_flow_never_leaks_into_known_pixels(layout: str) -> None:
    transform = SegRandomAffine((10, 10), None, (1.1, 1.1), translate_p=0, scale_p=1.0)
    _, flow, known = arrays(transform(with_hole(layout), rng()))
    assert np.isfinite(flow).all()
    _, clean, clean_known = arrays(transform(make_sample(), rng()))
    assert 600 < clean_known.sum() - known.sum() < 20 * 30 * 1.21 * 1.3
    np.testing.assert_allclose(flow[known], clean[known], atol=0.1)  # the nearest vector, alone
    inner = cv2.erode(known.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    np.testing.assert_allclose(flow[inner], clean[inner], atol=1e-4)


@pytest.mark.parametrize(
    "transform",
    [
        SegRandomAffine((7, 7), None, (1.0, 1.0), translate_p=0, scale_p=1.0),
        FlowRandomAffineScale(1.0, 0.3),
        Resize((70, 90)),
        Resize((120, 200)),
    ],
    ids=["turn", "zoom", "shrink", "grow"],
)
def test_sparse_flow_stays_dense_enough_and_true(transform: Any) -> None:
    """One pixel in five is known, the others hold nonsense: nothing of it may come through."""
    data = make_sample()
    known = rng(5).random((HEIGHT, WIDTH)) < 0.2
    data["gt_flow"] = np.where(known[..., None], data["gt_flow"], np.float32(777))
    data["gt_valid"] = known.astype(np.uint8)
    _, clean, inside = arrays(transform(make_sample(), rng()))
    _, flow, found = arrays(transform(data, rng()))
    assert found[inside].mean() > 0.17
    assert np.abs(flow[found] - clean[found]).max() < 0.2
    assert not flow[~found].any()


def test_masks_move_with_the_images() -> None:
    """A mask that repeats the first image's brightness says the same after every transform."""
    for transform in (
        RandomCrop((60, 70)),
        RandomFlip(1, 1),
        SegRandomAffine((9, 9), None, (1.1, 1.1), translate_p=0, scale_p=1.0),
        Resize((48, 64)),
    ):
        for layout in ("hwc", "chw"):
            data = make_sample()
            data["gt_occlusion"] = (data["img"][..., 0] > 127).astype(np.uint8)
            if layout == "chw":
                data = ToTensor()(data, rng())
                assert data["gt_occlusion"].shape == (1, HEIGHT, WIDTH)
            data = transform(data, rng(3))
            pair, _, known = arrays(data)
            mask = hwc(data, "gt_occlusion")
            assert mask is not None
            assert mask.shape == pair.shape[:2]
            assert ((mask > 0) == (pair[..., 0] > 127))[known].mean() > 0.9


def test_unknown_flow_does_not_leak_with_a_weight_of_zero() -> None:
    """After half a turn pixels fall onto pixels: neighbours weigh 0, and 0 x NaN is NaN."""
    transform = SegRandomAffine((180, 180), None, None, translate_p=0, scale_p=1.0)
    _, flow, known = arrays(transform(with_hole(), rng()))
    assert known.sum() > HEIGHT * WIDTH - 25 * 35
    np.testing.assert_allclose(flow[known], -flow_field(*grid())[::-1, ::-1][known], atol=1e-4)


def test_nearest_takes_vectors_from_the_map() -> None:
    transform = SegRandomAffine(
        0, None, (1.5, 1.5), InterpolationMode.NEAREST, translate_p=0, scale_p=1.0
    )
    pair, flow, known = arrays(transform(make_sample(), rng()))
    assert known.all()
    vectors = np.unique(np.rint(flow_field(*grid()).reshape(-1, 2) * 1.5 * 1e3), axis=0)
    found = np.unique(np.rint(flow.reshape(-1, 2) * 1e3), axis=0)
    near = np.abs(found[:50, None] - vectors[None]).max(-1).min(-1)
    assert near.max() <= 1
    assert set(np.unique(pair)) <= set(np.unique(make_sample()["img"]))


def test_every_sample_of_a_zoom_has_validity() -> None:
    transform = FlowRandomAffineScale(0.5, 0.1)
    keys = {frozenset(transform(make_sample(), rng(seed))) for seed in range(10)}
    assert len(keys) == 1
    assert "gt_valid" in next(iter(keys))


@pytest.mark.parametrize(("dx", "dy"), [(5, 3), (-4, 6), (7, -2), (-1, -9), (0, 4), (3, 0)])
def test_shift_of_image_2_is_exact(dx: int, dy: int) -> None:
    pair = rng().integers(1, 256, (20, 30, 6), dtype=np.uint8)
    expected = pair.copy()
    expected[..., 3:] = 0
    for y in range(20):
        for x in range(30):
            if 0 <= y - dy < 20 and 0 <= x - dx < 30:
                expected[y, x, 3:] = pair[y - dy, x - dx, 3:]
    np.testing.assert_array_equal(shift_second(pair, dx, dy, 0), expected)


def test_shift_out_of_the_image_leaves_filling() -> None:
    pair = np.full((8, 8, 6), 200, np.uint8)
    moved = shift_second(pair, 8, 0, 5)
    assert (moved[..., :3] == 200).all()
    assert (moved[..., 3:] == 5).all()


def test_input_arrays_are_never_written_to() -> None:
    transforms = [
        RandomFlip(1, 1),
        SegRandomAffine(5, (0.1, 0.1), (0.9, 1.1), translate_p=1, scale_p=1),
        SegRandomAffine(0, (0.1, 0.1), translate_p=1, scale_p=0),
        FlowRandomAffineScale(1.0, 0.2),
        Resize((40, 50)),
    ]
    for transform in transforms:
        data = make_sample()
        data["img"].setflags(write=False)
        data["gt_flow"].setflags(write=False)
        transform(data, rng())


def test_resize_ignores_unknown_flow() -> None:
    _, clean, _ = arrays(Resize((48, 64))(make_sample(), rng()))
    _, flow, known = arrays(Resize((48, 64))(with_hole(), rng()))
    assert not known[15:25, 20:35].any()
    assert known.sum() == 48 * 64 - 10 * 15
    np.testing.assert_allclose(flow[known], clean[known], atol=1e-5)
    assert not flow[~known].any()


def test_only_six_byte_channels_are_taken() -> None:
    data = make_sample()
    data["img"] = data["img"][..., :3]
    with pytest.raises(InputError, match=r"00001.*\(96, 128, 3\)"):
        RandomCrop(8)(data, rng())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RandomCrop((0, 5)), "size"),
        (lambda: RandomCrop((1, 2, 3)), "size"),
        (lambda: RandomFlip(px=1.5), "px"),
        (lambda: SegRandomAffine(degrees=-3), "degrees"),
        (lambda: SegRandomAffine(degrees=3, scale_p=0.0), "never acts"),
        (lambda: SegRandomAffine(translate=(0.1, 1.5)), "translate"),
        (lambda: SegRandomAffine(scale=(1.2, 0.8)), "scale"),
        (lambda: SegRandomAffine(scale=(0.0, 1.0)), "scale"),
        (lambda: SegRandomAffine(interpolation=InterpolationMode.BOX), "interpolation"),
        (lambda: SegRandomAffine(fill=300), "fill"),
        (lambda: FlowRandomAffineScale(scale_r=1.0), "scale_r"),
        (lambda: FlowRandomAffineScale(scale_p=-0.1), "scale_p"),
    ],
)
def test_wrong_arguments(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
