from __future__ import annotations

import pytest
import torch
from torch import nn

from hat.models.conv_module import ConvModule


@pytest.mark.parametrize("in_channels", [24, 32, 40])
@pytest.mark.parametrize("dilation", [1, 2, 16])
@pytest.mark.parametrize("weight_format", [torch.contiguous_format, torch.channels_last])
def test_gradients_in_bfloat16_are_those_of_float32(in_channels, dilation, weight_format):
    torch.manual_seed(0)
    layer = ConvModule(in_channels, 16, dilation=dilation, act_type=nn.Identity(), use_bn=False)
    layer = layer.to(memory_format=weight_format)
    x = torch.randn(2, in_channels, 40, 48).to(memory_format=torch.channels_last)
    upstream = torch.randn(2, 16, 40, 48).to(memory_format=torch.channels_last)
    layer(x).backward(upstream)
    expected = layer.conv.weight.grad.clone()
    for _ in range(3):
        # memory that holds NaN when it is handed out again
        stale = [torch.full((1 << 18,), torch.nan) for _ in range(8)]
        del stale
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(x)
        out.backward(upstream.bfloat16())
        error = (layer.conv.weight.grad - expected).abs().max() / expected.abs().max()
        assert error < 0.02


def test_the_activation_is_a_copy():
    act = nn.ReLU()
    layers = [ConvModule(1, 1, act_type=act) for _ in range(2)]
    assert layers[0].act is not act
    assert layers[0].act is not layers[1].act
