"""What the task takes and returns, in training and in evaluation."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hat.errors import InputError
from hat.models.tasks import PwcnetTask
from horizon.nn.correlation import shifted_products
from tests.models.networks import build, build_lite, random_batch, with_losses


def test_training_and_evaluation_contract() -> None:
    network = build_lite()
    batch = random_batch(2, 128, 192)
    out = with_losses(network, batch)
    assert set(out) == {"losses", "pred_flows"}
    assert [loss.shape for loss in out["losses"]] == [()] * 5
    assert out["pred_flows"].shape == (2, 2, 32, 48)
    assert not out["pred_flows"].requires_grad
    sum(out["losses"]).backward()
    missing = [name for name, p in network.named_parameters() if p.grad is None]
    assert missing == []
    with torch.no_grad():
        flow = network.eval()({"img": batch["img"]})
    assert flow.shape == (2, 2, 32, 48)


class Recorded(nn.Module):
    """A head that predicts given flows (network units) and keeps what it is asked with."""

    pyr_lvls, flow_pred_lvl = 6, 2

    def __init__(self, flows: list[Tensor]) -> None:
        super().__init__()
        self.flows = flows
        self.scale = 0.0

    def forward(self, first: Any, second: Any, flow_scale: float) -> list[Tensor]:
        self.scale = flow_scale
        return self.flows


def test_loss_compares_flow_over_twenty_and_results_are_pixels() -> None:
    batch = random_batch(2, 64, 128)
    flows = [truth / 20 + 0.25 for truth in batch["gt_flow_levels"]]
    lite = build_lite()
    head = Recorded(flows)
    weights = [0.005, 0.01, 0.02, 0.08, 0.32]
    task = PwcnetTask(lite.backbone, head, lite.loss, weights)  # type: ignore[arg-type]
    out = with_losses(task, batch)
    assert head.scale == 20
    for weight, flow, loss in zip(weights, flows, out["losses"], strict=True):
        pixels = flow.shape[-1] * flow.shape[-2]
        assert loss.item() == pytest.approx(weight * pixels * 0.25 * 2**0.5, rel=1e-4)
    torch.testing.assert_close(out["pred_flows"], batch["gt_flow_levels"][0] + 5)
    torch.testing.assert_close(task.eval()({"img": batch["img"]}), batch["gt_flow_levels"][0] + 5)


def test_head_warps_by_twenty_over_the_stride() -> None:
    """At 1/32 a flow of 0.25 (5 px) moves features by 5 / 32 level pixels; finer levels follow."""
    network = build_lite().eval()
    seen: dict[int, float] = {}
    for index, estimator in enumerate(network.head.estimators):  # type: ignore[arg-type, union-attr]
        if hasattr(estimator, "up_flow"):
            nn.init.zeros_(estimator.up_flow.weight)
            nn.init.constant_(estimator.up_flow.bias, 0.25)
        if hasattr(estimator, "warp"):
            estimator.warp.register_forward_hook(
                lambda _, inputs, __, i=index: seen.update({i: inputs[1].unique().item()})
            )
    with torch.no_grad():
        network({"img": torch.zeros(1, 6, 64, 64)})
    assert seen == {0: 5 / 4, 1: 5 / 8, 2: 5 / 16, 3: 5 / 32}


@pytest.mark.parametrize("size", [(1, 1), (63, 65), (100, 130), (64, 64), (5, 200)])
def test_any_size(size: tuple[int, int]) -> None:
    network = build_lite().eval()
    height, width = size
    image = random_batch(1, height, width)["img"]
    with torch.no_grad():
        flow = network({"img": image})
        assert flow.shape == (1, 2, -(-height // 4), -(-width // 4))
        padded = torch.nn.functional.pad(image, (0, -width % 64, 0, -height % 64), "replicate")
        whole = network({"img": padded})
    torch.testing.assert_close(flow, whole[..., : flow.shape[-2], : flow.shape[-1]])


def test_training_on_a_size_that_needs_padding() -> None:
    out = with_losses(build_lite(), random_batch(2, 70, 100))
    assert out["pred_flows"].shape == (2, 2, 18, 25)
    assert all(torch.isfinite(loss) for loss in out["losses"])


def test_forward_gives_the_same_kind_in_training_and_in_evaluation() -> None:
    """Which flows it gives is said by the caller and not by the mode."""
    network = build_lite()
    image = random_batch(2, 64, 64)["img"]
    for mode in (True, False):
        network.train(mode)
        assert network({"img": image}).shape == (2, 2, 16, 16)
        levels = network({"img": image}, all_levels=True)
        assert [tuple(level.shape[2:]) for level in levels] == [
            (16,) * 2,
            (8,) * 2,
            (4,) * 2,
            (2,) * 2,
            (1,) * 2,
        ]
    torch.testing.assert_close(network({"img": image}), levels[0] * 20)


def test_both_images_share_weights_and_statistics() -> None:
    """One pass over 2N images: running statistics move once, by the mean of all of them."""
    network = build_lite()
    batch = random_batch(2, 64, 64)
    bn = network.backbone.levels[0][0].bn  # type: ignore[index, union-attr]
    conv = network.backbone.levels[0][0].conv  # type: ignore[index, union-attr]
    with_losses(network, batch)
    stacked = torch.cat([batch["img"][:, :3], batch["img"][:, 3:]])
    torch.testing.assert_close(bn.running_mean, 0.1 * conv(stacked).mean(dim=(0, 2, 3)))
    assert bn.num_batches_tracked == 1


def test_masked_pixels_change_nothing() -> None:
    network = build_lite()
    batch = random_batch(2, 64, 64)
    batch["gt_valid_levels"] = [torch.ones(2, 1, *t.shape[-2:]) for t in batch["gt_flow_levels"]]
    for mask in batch["gt_valid_levels"]:
        mask[0, :, : mask.shape[-2] // 2 + 1] = 0
    other = copy.deepcopy(batch)
    for truth, mask in zip(other["gt_flow_levels"], other["gt_valid_levels"], strict=True):
        truth.masked_fill_(mask == 0, float("nan"))
    losses = [sum(with_losses(network, b)["losses"]).item() for b in (batch, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    del batch["gt_valid_levels"]
    assert sum(with_losses(network, batch)["losses"]).item() != pytest.approx(losses[0], rel=1e-2)


def test_zero_images_give_finite_gradients() -> None:
    network = build_lite()
    batch = random_batch(2, 64, 64)
    batch["img"] = torch.zeros_like(batch["img"])
    batch["gt_flow_levels"] = [torch.zeros_like(t) for t in batch["gt_flow_levels"]]
    sum(with_losses(network, batch)["losses"]).backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_autocast_trains_in_bfloat16_and_stays_close() -> None:
    """Without batch statistics and at the coarsest level: an untrained network warps by random
    flow, and its finer levels change as much under any disturbance of a bfloat16 step's size."""
    batch = random_batch(2, 128, 256)
    wide, narrow = build_lite(use_bn=False), build_lite(use_bn=False)
    exact = with_losses(wide, batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = with_losses(narrow, batch)
    assert rough["pred_flows"].dtype == torch.float32
    assert all(loss.dtype == torch.float32 for loss in rough["losses"])
    assert sum(rough["losses"]).item() == pytest.approx(sum(exact["losses"]).item(), rel=0.02)
    for out in (exact, rough):
        out["losses"][-1].backward()
    ours, theirs = (
        torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
        for network in (narrow, wide)
    )
    assert ours.dtype == torch.float32
    assert torch.cosine_similarity(ours, theirs, dim=0) > 0.95


def test_gradients_equal_those_of_the_plain_formulation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole network in float64 with 81 shifted products instead of the matrix products."""
    batch = random_batch(2, 64, 64)
    batch = {
        "img": batch["img"].double(),
        "gt_flow_levels": [truth.double() for truth in batch["gt_flow_levels"]],
    }
    network = build_lite(use_dense=True).double()
    twin = copy.deepcopy(network)
    sum(with_losses(network, batch)["losses"]).backward()
    monkeypatch.setattr(
        "horizon.nn.Correlation.forward",
        lambda self, first, second: shifted_products(first, second, self.max_displacement),
    )
    sum(with_losses(twin, batch)["losses"]).backward()
    for (name, ours), theirs in zip(network.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"img": None}, r'batch\["img"\]: expected a tensor \(N, 6, H, W\).*found nothing'),
        ({"img": torch.zeros(1, 3, 64, 64)}, r"found a tensor \(1, 3, 64, 64\)"),
        ({"img": torch.zeros(1, 6, 64, 64, dtype=torch.uint8)}, "uint8.*BgrToYuv444"),
        (
            {"gt_flow_levels": None},
            r"batch\['gt_flow_levels'\].*list of 5 tensors.*found nothing.*Scale",
        ),
        ({"gt_flow_levels": torch.zeros(2, 2, 64, 64)}, r"found a tensor \(2, 2, 64, 64\)"),
        ({"gt_flow_levels": [torch.zeros(2, 2, 16, 16)] * 5}, r"where \(2, 2, 8, 8\) belongs"),
        (
            {"gt_valid_levels": [torch.zeros(2, 1, 9, 9)] * 5},
            r"'gt_valid_levels'.*where \(2, 1, 16, 16\)",
        ),
    ],
)
def test_wrong_batches_are_explained(change: dict[str, Any], message: str) -> None:
    batch = {**random_batch(2, 64, 64), **change}
    batch = {key: value for key, value in batch.items() if value is not None}
    with pytest.raises(InputError, match=message):
        with_losses(build_lite(), batch)


def test_loss_weights_must_fit_the_levels() -> None:
    lite = build_lite()
    with pytest.raises(ValueError, match="loss_weights needs one entry per predicted level, 5"):
        PwcnetTask(lite.backbone, lite.head, lite.loss, [1.0, 2.0])  # type: ignore[arg-type]


def test_network_without_loss_evaluates_and_refuses_to_train() -> None:
    lite = build_lite()
    task = PwcnetTask(lite.backbone, lite.head)  # type: ignore[arg-type]
    assert task.eval()({"img": torch.zeros(1, 6, 64, 64)}).shape == (1, 2, 16, 16)
    with pytest.raises(InputError, match=r"model\.loss"):
        with_losses(task.train(), random_batch(2, 64, 64))


def test_same_seed_same_network() -> None:
    first, second = build(seed=3).state_dict(), build(seed=3).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
