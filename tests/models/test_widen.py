"""A wider network that begins with a trained one's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hat.cli.main import run_command
from hat.engine.checkpoint import load_checkpoint
from hat.errors import InputError
from hat.models import backbones, heads, losses, tasks
from hat.models.widen import widen_weights

CONFIGS = "configs/opticalflow_pred/pwcnet"


def network(
    levels: tuple[int, ...] = (8, 12, 16, 16),
    match: int = 8,
    md: int = 2,
    channels: tuple[int, ...] = (16, 16, 8),
    hidden: int = 3,
    pyr_lvls: int = 4,
    aggregate: tuple[int, ...] = (),
    finest: int = 2,
    match_depths: tuple[int, ...] = (),
    decoders: dict[int, Any] | None = None,
) -> tasks.PwcnetTask:
    torch.manual_seed(sum(levels))
    common = {"bn_kwargs": {}, "pyr_lvls": pyr_lvls, "act_type": nn.ReLU()}
    common["flow_pred_lvl"] = finest
    model = tasks.PwcnetTask(
        backbones.MatchPyramid(
            levels, [1] * pyr_lvls, match, use_bn=True, match_depths=match_depths, **common
        ),
        heads.ResidualHead(
            match,
            use_bn=False,
            md=md,
            channels=channels,
            dilations=[1, 2, 1],
            hidden_channels=hidden,
            decoders=decoders or {level: {"aggregate": True} for level in aggregate},
            **common,
        ),
        losses.RobustFlowLoss(),
        [1.0] * (pyr_lvls - finest + 1),
    )
    for module in model.modules():  # as after a training
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def wide(aggregate: tuple[int, ...] = ()) -> tasks.PwcnetTask:
    width = {"match": 12, "md": 3, "channels": (24, 32, 16), "hidden": 5}
    return network((8, 16, 24, 32), aggregate=aggregate, **width)


@pytest.mark.parametrize(("few", "many"), [((), ()), ((), (2, 3)), ((3,), (3,))])
def test_the_wider_network_computes_the_same(few: tuple[int, ...], many: tuple[int, ...]) -> None:
    old, new = network(aggregate=few), wide(many)
    batch = {"img": torch.rand(1, 6, 64, 96) * 2 - 1}
    with torch.no_grad():
        wanted, different = old(batch), new(batch)
        new.load_state_dict(widen_weights(old, new, new_match=0.0))
        found = new(batch)
    assert (different - wanted).abs().max() > 0.1
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_coarser_level_continues_the_coarsest_decoder() -> None:
    old, new = network(), network((8, 16, 24, 32, 40), match=12, md=3, hidden=5, pyr_lvls=5)
    weights = widen_weights(old, new)
    new.load_state_dict(weights)
    before = old.state_dict()
    first, second = "head.correctors.{}.convs.0.conv.weight", "head.correctors.{}.flow.weight"
    for index, source in enumerate((0, 1, 1, 2)):
        assert torch.equal(weights[second.format(index)], before[second.format(source)])
    cost = slice(0, 49)
    assert weights[first.format(3)].shape[1] == 49 + 12  # the coarsest receives no flow
    inner = weights[first.format(3)][:, cost].reshape(-1, 7, 7, 3, 3)[:, 1:6, 1:6].flatten(1, 2)
    torch.testing.assert_close(inner, before[first.format(2)][:, :25] * 12 / 8)
    flows = new({"img": torch.rand(1, 6, 64, 96) * 2 - 1}, all_levels=True)
    assert [flow.shape[-1] for flow in flows] == [24, 12, 6, 3]


def test_a_finer_level_continues_the_finest_decoder() -> None:
    old, new = network(), network(finest=1, match_depths=(2,), decoders={1: {"md": 1}})
    weights = widen_weights(old, new)
    new.load_state_dict(weights)
    before = old.state_dict()
    flow, first = (f"head.correctors.0.{name}.weight" for name in ("flow", "convs.0.conv"))
    assert torch.equal(weights[flow], before[flow])
    inner = before[first][:, :25].reshape(-1, 5, 5, 3, 3)[:, 1:4, 1:4].flatten(1, 2)
    assert torch.equal(weights[first], torch.cat([inner, before[first][:, 25:]], dim=1))
    # what the finest one handed to nobody is that of the next coarser one
    handed_on = before["head.correctors.1.up_feat.weight"]
    assert torch.equal(weights["head.correctors.1.up_feat.weight"], handed_on)
    batch = {"img": torch.rand(1, 6, 64, 96) * 2 - 1}
    with torch.no_grad():
        wanted, found = old(batch, all_levels=True), new(batch, all_levels=True)
    assert [flow.shape[-1] for flow in found] == [48, 24, 12, 6]
    for coarse, same in zip(wanted, found[1:], strict=True):
        torch.testing.assert_close(same, coarse)


def test_the_finest_level_may_be_left_out() -> None:
    old, new = network(finest=1, match_depths=(2,), decoders={1: {"md": 1}}), network()
    with torch.no_grad():
        new.load_state_dict(widen_weights(old, new))
        batch = {"img": torch.rand(1, 6, 64, 96) * 2 - 1}
        wanted, found = old(batch, all_levels=True), new(batch, all_levels=True)
    for flow, same in zip(wanted[1:], found, strict=True):
        torch.testing.assert_close(same, flow)


WIDE = {level: {"channels": (24, 32, 16), "md": 3} for level in (3, 4)}


def test_coarse_levels_alone_may_become_wider() -> None:
    old, new = network(), network(decoders=WIDE)
    with torch.no_grad():
        new.load_state_dict(widen_weights(old, new))
        batch = {"img": torch.rand(1, 6, 64, 96) * 2 - 1}
        for wanted, found in zip(old(batch, True), new(batch, True), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_what_coarse_levels_learn_alone_goes_back_into_the_whole() -> None:
    whole, part = network(decoders=WIDE), network(finest=3, decoders=WIDE)
    part.load_state_dict(widen_weights(whole, part))
    begun = {name: value.clone() for name, value in whole.state_dict().items()}
    again = widen_weights(part, whole)
    # the finer decoder has too few channels to continue a coarse one, and stays as it was
    for name, value in again.items():
        if "matches.0." in name or "correctors.0." in name or ".1.up_feat." in name:
            continue
        assert torch.equal(value, begun[name]), name
    name = "head.correctors.0.convs.0.conv.weight"
    assert torch.equal(again[name], begun[name])


def test_all_that_is_new_learns() -> None:
    old, new = network(), wide(aggregate=(3,))
    new.load_state_dict(widen_weights(old, new))
    with torch.no_grad():  # noise has no costs above its threshold
        new.head.correctors[1].aggregate[0].conv.bias.zero_()
    before = {name: p.detach().clone() for name, p in new.named_parameters()}
    optimizer = torch.optim.SGD(new.train().parameters(), lr=1e-2)
    batch = {"img": torch.rand(2, 6, 64, 96) * 2 - 1}
    for _ in range(3):  # what nothing listens to at first learns once something does
        optimizer.zero_grad()
        sum((flow - 0.3).abs().mean() for flow in new(batch, all_levels=True)).backward()
        optimizer.step()
    for name, parameter in new.named_parameters():
        changed = parameter != before[name]
        if parameter.ndim == 4 and "up_" not in name:
            assert changed.flatten(1).any(dim=1).float().mean() > 0.9, name


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"match": 6}, "no side may become smaller"),
        ({"md": 1}, "no side may become smaller"),
        ({"levels": (8, 12, 16), "pyr_lvls": 3}, "different layers"),
    ],
)
def test_what_does_not_fit_is_refused(other: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        widen_weights(network(), network(**other))


def test_levels_that_begin_to_share_are_refused() -> None:
    with pytest.raises(InputError, match=r"one parameter in the wider network.*decoders"):
        widen_weights(network(aggregate=(3,)), wide(aggregate=(2, 3)))


def test_the_command(tmp_path: Path) -> None:
    output = tmp_path / "start.pth.tar"
    words = ["--config", f"{CONFIGS}/pwcnet_small_generated.py", "--output", str(output)]
    words += ["--from-config", f"{CONFIGS}/pwcnet_lite_generated.py"]
    shipped = "models/pwcnet_lite_generated/float-checkpoint-best.pth.tar"
    assert run_command("widen", [*words, "--ckpt", shipped]) == 0
    weight = "backbone.levels.1.0.conv.weight"
    trained = load_checkpoint(shipped)["state_dict"][weight]
    assert torch.equal(load_checkpoint(output)["state_dict"][weight][:24], trained)
    assert run_command("widen", [*words[:3], shipped, *words[4:], "--ckpt", shipped]) == 2
