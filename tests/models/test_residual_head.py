"""The small network: a matcher from the start, shared weights, and its way to integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hat.data.synthesis.spectra import spectral_texture
from hat.models import backbones, heads, losses, tasks
from horizon.quantization import convert, prepare_qat, trace
from tests.models.test_pwcnet_quantised import (
    assert_three_executors_agree,
    calibrated,
    smooth_pair,
)


def network(finest: int = 2, match_depths: tuple[int, ...] = (), **head: Any) -> tasks.PwcnetTask:
    torch.manual_seed(0)
    common = {"bn_kwargs": {}, "pyr_lvls": 4, "flow_pred_lvl": finest, "act_type": nn.ReLU()}
    backbone = backbones.MatchPyramid(
        [8, 12, 16, 16], [1, 1, 1, 1], 8, use_bn=True, match_depths=match_depths, **common
    )
    arguments = {"channels": [16, 16, 8], "dilations": [1, 2, 1], "hidden_channels": 3, **head}
    return tasks.PwcnetTask(
        backbone,
        heads.ResidualHead(8, use_bn=False, md=3, **common, **arguments),
        losses.RobustFlowLoss(),
        [1.0, 0.5, 0.25, 0.125][: 5 - finest],
    )


def shifted_pair(dx: int, dy: int) -> torch.Tensor:
    texture = spectral_texture(np.random.default_rng(0), 128, 1.0).astype(np.float32) / 128 - 1
    moved = np.roll(texture, (dy, dx), axis=(0, 1))
    pair = np.concatenate([texture, moved], axis=2).transpose(2, 0, 1)
    return torch.from_numpy(pair[None].copy())


def test_it_matches_before_it_has_learnt() -> None:
    model = network()
    for dx, dy in ((8, 0), (0, -8), (-8, 4)):
        with torch.no_grad():
            flow = model.train()({"img": shifted_pair(dx, dy)}, all_levels=True)[0] * 20
        u, v = flow.mean(dim=(0, 2, 3)).tolist()
        assert u * dx + v * dy > 0.1 * (dx * dx + dy * dy)


def test_levels_share_their_convolutions() -> None:
    shared, own = network(), network(shared=False)
    assert len(list(shared.head.parameters())) < len(list(own.head.parameters()))
    finest, coarsest = shared.head.correctors[0], shared.head.correctors[-1]
    assert finest.convs[1].conv.weight is coarsest.convs[1].conv.weight
    assert finest.convs[0].conv.weight is not coarsest.convs[0].conv.weight


def test_levels_with_other_dilations_share_nothing_there() -> None:
    model = network(decoders={2: {"dilations": (1, 1, 1)}})
    fine, coarse = model.head.correctors[:2]
    shared = [a.conv.weight is b.conv.weight for a, b in zip(fine.convs, coarse.convs, strict=True)]
    assert shared == [True, False, True]


def test_channels_and_dilations_go_together() -> None:
    with pytest.raises(ValueError, match=r"one entry per convolution \(3\), found 1"):
        network(dilations=[1])


def test_a_fine_level_may_have_a_small_cost_volume_and_features_of_its_own() -> None:
    model = network(finest=1, match_depths=(2,), decoders={1: {"md": 1}})
    fine, next_one = model.head.correctors[:2]
    assert (fine.correlation.out_channels, next_one.correlation.out_channels) == (9, 49)
    assert fine.convs[1].conv.weight is next_one.convs[1].conv.weight
    assert fine.convs[0].conv.weight is not next_one.convs[0].conv.weight
    assert [len(match.own) for match in model.backbone.matches] == [2, 0, 0, 0]
    before = [flow.detach() for flow in model.eval()({"img": shifted_pair(4, 2)}, all_levels=True)]
    with torch.no_grad():
        model.backbone.matches[0].own[0].conv.weight.zero_()
    after = model({"img": shifted_pair(4, 2)}, all_levels=True)
    assert not torch.equal(after[0], before[0])
    assert all(torch.equal(a, b) for a, b in zip(after[1:], before[1:], strict=True))


WIDE = {"channels": (24, 16, 16), "md": 4}


def test_coarse_levels_may_have_decoders_of_their_own() -> None:
    model = network(decoders={3: WIDE, 4: WIDE})
    fine, coarse, coarsest = model.head.correctors
    assert [one.correlation.out_channels for one in (fine, coarse, coarsest)] == [49, 81, 81]
    widths = [[conv.conv.out_channels for conv in one.convs] for one in model.head.correctors]
    assert widths == [[16, 16, 8], [24, 16, 16], [24, 16, 16]]
    assert coarse.convs[1].conv.weight is coarsest.convs[1].conv.weight
    flows = model({"img": shifted_pair(4, 2)}, all_levels=True)
    assert [flow.shape[-1] for flow in flows] == [32, 16, 8]


def test_aggregated_costs_are_sums_of_neighbours_above_a_threshold() -> None:
    model = network(decoders={level: {"aggregate": True} for level in (2, 3)})
    fine, coarse, coarsest = model.head.correctors
    assert [len(one.aggregate) for one in (fine, coarse, coarsest)] == [2, 2, 0]
    assert fine.aggregate[0].conv.weight is coarse.aggregate[0].conv.weight
    seen = {}
    fine.correlation.register_forward_hook(lambda module, given, costs: seen.update(costs=costs))
    fine.convs[0].register_forward_hook(lambda module, given, output: seen.update(read=given[0]))
    model({"img": shifted_pair(4, 2)})
    kernel = torch.outer(torch.tensor([1.0, 2, 1]), torch.tensor([1.0, 2, 1])) / 16

    def blurred(costs: torch.Tensor) -> torch.Tensor:
        summed = nn.functional.conv2d(costs.transpose(0, 1), kernel[None, None], padding=1)
        return summed.transpose(0, 1)

    wanted = blurred((blurred(seen["costs"]) - 0.3).relu())
    torch.testing.assert_close(seen["read"][:, -49:], wanted, rtol=1e-4, atol=1e-5)
    assert torch.equal(seen["read"][:, :49], seen["costs"])
    assert 0 < float((wanted > 0).float().mean()) < 0.5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({1: {"md": 1}}, "decoders: found level 1, expected levels from 2 to 4"),
        ({3: {"chanels": (8,)}}, "decoders: found 'chanels', expected md, channels, dilations"),
        ({3: {"channels": (24, 16)}}, r"one entry per convolution \(2\), found 3"),
        ({3: {"channels": (24, 16, 0)}}, "channels"),
    ],
)
def test_decoders_that_do_not_fit_are_refused(wrong: dict[int, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(decoders=wrong)


@pytest.mark.parametrize("depths", [(1, 0, 0, 0), (-1,)])
def test_match_depths_that_do_not_fit_are_refused(depths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"match_depths: expected at most 3 numbers"):
        network(match_depths=depths)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"finest": 1, "match_depths": (2,), "decoders": {1: {"md": 1}}},
        {"decoders": {level: {**WIDE, "aggregate": True} for level in (3, 4)}},
    ],
    ids=["quarter", "half", "coarse"],
)
def test_it_becomes_integers_that_compute_the_same(arguments: dict[str, Any]) -> None:
    model = network(**arguments).eval()
    batch = smooth_pair(1, 64, 64, seed=1)
    with torch.no_grad():
        wanted = model(batch)
        model.fuse_model()
        assert torch.allclose(model(batch), wanted, atol=1e-3)
    prepared = prepare_qat(calibrated(model)).eval()
    assert_three_executors_agree(prepared, trace(convert(prepared)))
