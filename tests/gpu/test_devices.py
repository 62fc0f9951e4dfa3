"""Without a GPU: nothing on the way from a batch to its losses is left on the CPU.

Tensors without memory that say they were on a GPU; an operator of two devices is an error.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from hat.config import Config
from hat.registry import build_from_registry
from horizon.quantization.arithmetic import kernels
from tests.conftest import ROOT

CUDA = torch.device("cuda", 0)


def moved(model: nn.Module) -> nn.Module:
    """``model`` with tensors of the mode's that is on, shared ones shared."""
    own: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is not None:
                fake = torch.empty(value.shape, dtype=value.dtype, device=CUDA)
                module._parameters[name] = own.setdefault(id(value), nn.Parameter(fake))
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=CUDA)
    return model


@pytest.mark.parametrize("name", ["pwcnet_lite_generated", "pwcnet_pwcnetneck_flyingchairs"])
def test_forward_and_losses(name: str) -> None:
    config = Config.fromfile(ROOT / f"configs/opticalflow_pred/pwcnet/{name}.py")
    model = build_from_registry(config.model, "model").train()
    processor = build_from_registry({**config.batch_processor, "enable_amp": False}, "processor")
    with FakeTensorMode():
        model = moved(model)
        batch = {
            "img": torch.zeros(2, 6, 128, 192, dtype=torch.uint8, device=CUDA),
            "gt_flow": torch.zeros(2, 2, 128, 192, device=CUDA),
            "color_space": ["rgb"] * 2,
        }
        for transform in processor.batch_transforms:
            # Normalize asks a value whether it is 0, which a tensor without memory cannot say.
            if type(transform).__name__ != "TorchVisionAdapter":
                batch = transform(batch)
        outputs = processor.forward_with_losses(model, batch, CUDA)
        assert {loss.device for loss in outputs["losses"]} == {CUDA}
        assert outputs["pred_flows"].device == CUDA


def test_integer_kernels() -> None:
    with FakeTensorMode():
        x = torch.zeros(2, 24, 16, 20, dtype=torch.int8, device=CUDA)
        flow = torch.zeros(2, 2, 16, 20, dtype=torch.int16, device=CUDA)
        weight = torch.zeros(8, 24, 3, 3, device=CUDA)
        geometry = kernels.Geometry(padding=(1, 1))
        (acc,) = kernels.accumulate(x, weight, geometry, [(0, 24)])
        assert (acc.device, acc.dtype) == (CUDA, torch.float64)
        ratio = torch.zeros(8, dtype=torch.float64, device=CUDA)
        bias = torch.zeros(8, dtype=torch.int32, device=CUDA)
        for result in (
            kernels.requantize([acc], bias, ratio, -128, 127, torch.int8),
            kernels.correlate(x, x, 3),
            kernels.warp(x, flow),
            kernels.requantize_offset(flow, 0.5, (16, 20)),
        ):
            assert result.device == CUDA
