"""The whole network against an independent, plain formulation with the same weights."""

from __future__ import annotations

import torch

from benchmarks.plain_pwcnet import PlainPwcnet
from tests.models.networks import build, random_batch, with_losses


def test_losses_gradients_and_statistics_are_those_of_the_plain_formulation() -> None:
    ours = build().double()
    plain = PlainPwcnet().double()
    plain.load_state_dict(ours.state_dict())
    batch = random_batch(2, 64, 64)
    image, truth = batch["img"].double(), [level.double() for level in batch["gt_flow_levels"]]
    found = with_losses(ours, {"img": image, "gt_flow_levels": truth})["losses"]
    expected = plain(image, truth)
    torch.testing.assert_close(torch.stack(found), torch.stack(expected), rtol=1e-10, atol=0)
    torch.stack(found).sum().backward()
    torch.stack(expected).sum().backward()
    gradients = {name: p.grad for name, p in plain.named_parameters()}
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        # A bias in front of batch normalisation has the gradient 0, and rounding around it.
        scale = max(gradients[name].abs().max().item(), 1e-3)
        assert (parameter.grad - gradients[name]).abs().max().item() < 1e-8 * scale, name
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(ours.get_buffer(name), buffer, msg=lambda m, n=name: f"{n}: {m}")
