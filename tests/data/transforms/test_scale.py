"""Ground truth at the levels of the pyramid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from hat.data.transforms import Scale
from hat.errors import InputError

TUTORIAL = tuple(1 / np.array([4, 8, 16, 32, 64]))


def ramp(height: int, width: int) -> torch.Tensor:
    """(1, 2, H, W): every pixel holds its own position (x, y)."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y])[None].float()


def with_valid(flow: torch.Tensor, valid: torch.Tensor) -> dict[str, Any]:
    return {"gt_flow": flow, "gt_valid": valid.to(torch.uint8)}


@pytest.mark.parametrize("with_mask", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "area"])
@pytest.mark.parametrize("size", [(128, 192), (70, 100), (65, 127)])
def test_sizes_and_values(size: tuple[int, int], mode: str, with_mask: bool) -> None:
    flow = torch.tensor([7.5, -3.0]).view(1, 2, 1, 1).expand(2, 2, *size).contiguous()
    batch: dict[str, Any] = {"gt_flow": flow}
    if with_mask:
        batch["gt_valid"] = torch.ones(2, 1, *size, dtype=torch.uint8)
    out = Scale(TUTORIAL, mode)(batch)
    assert batch["gt_flow"] is flow
    assert out["gt_flow"] is flow  # one name, one type
    assert out["gt_ori_flow"] is flow
    for level, step in zip(out["gt_flow_levels"], (4, 8, 16, 32, 64), strict=True):
        assert level.shape == (2, 2, math.ceil(size[0] / step), math.ceil(size[1] / step))
        assert torch.equal(level[:, 0], torch.full_like(level[:, 0], 7.5))
        assert torch.equal(level[:, 1], torch.full_like(level[:, 1], -3.0))
    if with_mask:
        assert out["gt_valid"] is batch["gt_valid"]
        assert out["gt_ori_valid"] is batch["gt_valid"]
        for level, valid in zip(out["gt_flow_levels"], out["gt_valid_levels"], strict=True):
            assert valid.shape == (2, 1, *level.shape[2:])
            assert valid.dtype == torch.float32
            assert valid.all()


@pytest.mark.parametrize("mode", ["bilinear", "area"])
@pytest.mark.parametrize("size", [(128, 192), (100, 150)])
def test_cells_sit_on_the_grid_of_the_network(size: tuple[int, int], mode: str) -> None:
    """Cell i of level 1/k is centred at k i + (k - 1) / 2, for sizes that k does not divide too."""
    out = Scale(TUTORIAL, mode)({"gt_flow": ramp(*size)})
    for level, step in zip(out["gt_flow_levels"], (4, 8, 16, 32, 64), strict=True):
        whole = (size[0] // step, size[1] // step)
        expected = ramp(*whole) * step + (step - 1) / 2
        torch.testing.assert_close(level[..., : whole[0], : whole[1]], expected)


def test_bilinear_is_the_plain_interpolation() -> None:
    flow = torch.randn(2, 2, 64, 128, generator=torch.Generator().manual_seed(0))
    out = Scale((0.5, 1 / 16), "bilinear")({"gt_flow": flow})["gt_flow_levels"]
    for level, scale in zip(out, (0.5, 1 / 16), strict=True):
        expected = functional.interpolate(
            flow, scale_factor=scale, mode="bilinear", align_corners=False
        )
        torch.testing.assert_close(level, expected)


def test_nearest_takes_the_pixel_at_the_centre() -> None:
    out = Scale((1 / 8,), "nearest")({"gt_flow": ramp(16, 24)})["gt_flow_levels"][0]
    assert torch.equal(out, ramp(2, 3) * 8 + 4)


def test_area_averages_the_whole_cell() -> None:
    flow = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    out = Scale((1 / 8,), "area")({"gt_flow": flow})["gt_flow_levels"][0]
    torch.testing.assert_close(out[0, 1, 1, 0], flow[0, 1, 8:, :8].mean())


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e9])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "area"])
def test_invalid_pixels_do_not_count(mode: str, poison: float) -> None:
    valid = torch.ones(1, 1, 128, 128)
    valid[..., :64, :64] = 0  # exactly one cell of the coarsest level
    valid[..., 100, 100] = 0
    flow = torch.full((1, 2, 128, 128), 5.0)
    flow[valid.expand_as(flow) == 0] = poison
    out = Scale(TUTORIAL, mode)(with_valid(flow, valid))
    for level, known in zip(out["gt_flow_levels"], out["gt_valid_levels"], strict=True):
        half = level.shape[-1] // 2
        assert not known[..., :half, :half].any()
        assert not level[..., :half, :half].any()
        assert known[..., half:, :].sum() >= 2 * half * half - 1
        torch.testing.assert_close(level[known.expand_as(level) > 0].unique(), torch.tensor([5.0]))


def test_average_is_over_the_valid_pixels() -> None:
    flow = ramp(4, 4)
    valid = torch.zeros(1, 1, 4, 4)
    valid[0, 0, 1, 1] = valid[0, 0, 1, 2] = valid[0, 0, 3, 3] = 1
    area = Scale((1 / 4,), "area")(with_valid(flow, valid))["gt_flow_levels"][0]
    torch.testing.assert_close(area.flatten(), torch.tensor([2.0, 5.0 / 3.0]))
    bilinear = Scale((1 / 4,), "bilinear")(with_valid(flow, valid))["gt_flow_levels"][0]
    torch.testing.assert_close(bilinear.flatten(), torch.tensor([1.5, 1.0]))


def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="mode"):
        Scale((0.5,), "cubic")
    with pytest.raises(ValueError, match="scales"):
        Scale((2.0,))
    with pytest.raises(ValueError, match="finest"):
        Scale((0.25, 0.5))
    with pytest.raises(InputError, match="gt_flow"):
        Scale((0.5,))({"img": torch.zeros(1)})
    once = Scale((0.5,))({"gt_flow": ramp(8, 8)})
    with pytest.raises(InputError, match="once"):
        Scale((0.5,))(once)
