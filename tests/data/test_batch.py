"""The keys of a batch have one type at every point, which is the documented one."""

from __future__ import annotations

from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import pytest
import torch
from torch.utils.data import DataLoader

from hat.config import Config
from hat.data.batch import Batch, with_levels_under_old_keys
from hat.data.collates import collate_2d
from hat.data.datasets import FlyingChairs
from hat.data.transforms import BgrToYuv444, Scale, TorchVisionAdapter, ToTensor
from hat.metrics import EndPointError, LossShow
from tests.data.raw_chairs import write_raw_chairs

CONFIG = "configs/opticalflow_pred/pwcnet/pwcnet_pwcnetneck_flyingchairs.py"
STEPS = [
    BgrToYuv444(rgb_input=True),
    TorchVisionAdapter("Normalize", mean=128.0, std=128.0),
    Scale((1 / 4, 1 / 8)),
]


@pytest.mark.parametrize("with_valid", [False, True])
def test_every_key_keeps_its_documented_type(tmp_path: Path, with_valid: bool) -> None:
    root = write_raw_chairs(tmp_path / "chairs", "11", (64, 96))
    chairs = FlyingChairs(root, transforms=[ToTensor()], with_valid=with_valid)
    batch = next(iter(DataLoader(chairs, batch_size=2, collate_fn=collate_2d)))
    hints = get_type_hints(Batch)
    before: set[str] = set()
    for step in (lambda batch: batch, *STEPS):
        batch = step(batch)
        assert before <= batch.keys()  # no key is lost on the way
        before = set(batch)
        for key, value in batch.items():
            assert isinstance(value, get_origin(hints[key]) or hints[key]), key
            if get_origin(hints[key]) is list:
                kind = get_args(hints[key])[0]
                assert all(isinstance(item, get_origin(kind) or kind) for item in value), key
    masks = {"gt_valid", "gt_valid_levels", "gt_ori_valid"}
    keys = hints.keys() - {"gt_occlusion", "gt_noc", "gt_object"}  # FlyingChairs has none of them
    assert batch.keys() == keys - (set() if with_valid else masks)
    assert batch["gt_flow"].shape == (2, 2, 64, 96)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("old", [False, True])
def test_update_functions_with_the_new_keys_and_with_the_old_ones(masked: bool, old: bool) -> None:
    """The config's own, and one written when Scale put the levels under ``gt_flow``."""

    def with_old_keys(metrics, batch, model_outs):
        loss_show, end_point_error = metrics
        loss_show.update(model_outs["losses"])
        valid = batch["gt_valid"][0] if "gt_valid" in batch else None
        end_point_error.update(batch["gt_flow"][0], model_outs["pred_flows"], valid)

    update = with_old_keys if old else Config.fromfile(CONFIG).section("update_train_metrics")
    flow = torch.full((2, 2, 16, 24), 3.0)
    batch = {"gt_flow": flow}
    if masked:
        batch["gt_valid"] = torch.ones(2, 1, 16, 24, dtype=torch.uint8)
    metrics = [LossShow(), EndPointError()]
    outputs = {"losses": [torch.tensor(1.0)], "pred_flows": torch.zeros(2, 2, 4, 6)}
    scaled = Scale((1 / 4,))(batch)
    update(metrics, with_levels_under_old_keys(scaled), outputs)
    assert metrics[1].results()["EPE"] == pytest.approx(18**0.5)
    assert scaled["gt_flow"] is flow


def test_batches_without_levels_stay_as_they_are() -> None:
    batch = {"img": torch.zeros(1), "gt_flow": torch.zeros(1)}
    assert with_levels_under_old_keys(batch) == batch
