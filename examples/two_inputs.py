"""A network with two inputs and two outputs, from float to compiled programs for two machines."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from hat.deploy.build import compile_model
from horizon import hbm, quantization
from horizon.runtime import Model


class Fusion(nn.Module):
    """Colours and depth to a map of two channels, and to scores of five classes."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.SiLU(), nn.MaxPool2d(2))
        self.depth = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.pointwise, self.out = nn.Conv2d(16, 24, 1), nn.Conv2d(24, 2, 3, padding=1)
        self.scores = nn.Linear(24, 5)

    def forward(self, image: torch.Tensor, depth: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.colour(image) + self.depth(depth)
        x = F.silu(self.pointwise(self.depthwise(x)))
        up = F.interpolate(self.out(x), scale_factor=2, mode="bilinear", align_corners=False)
        return up, self.scores(F.adaptive_avg_pool2d(x, 1).flatten(1))


torch.manual_seed(0)
network, example = Fusion().eval(), (torch.rand(4, 3, 32, 48) - 0.5, torch.rand(4, 1, 32, 48))
prepared = quantization.prepare_calibration(network, example)
prepared(*example)
prepared = quantization.prepare_qat(quantization.finish_calibration(prepared)).train()
optimizer, wanted = torch.optim.Adam(prepared.parameters(), 1e-4), network(*example)
for _ in range(20):  # here: to what the float network gives
    pairs = zip(prepared(*example), wanted, strict=True)
    optimizer.zero_grad()
    torch.stack([F.mse_loss(found, real.detach()) for found, real in pairs]).sum().backward()
    optimizer.step()
integers = quantization.IntegerModel(quantization.trace(quantization.convert(prepared.eval())))
images = [x[:1] for x in example]
for march in ("host", "nash-e"):
    model = Model(hbm.to_bytes(compile_model(integers, (32, 48), march=march).program))
    pixels = {
        entry.name: (np.floor(x.numpy() / entry.scales[0] + 0.5).clip(-128, 127) + 128).astype("u1")
        for entry, x in zip(model.inputs, images, strict=True)
    }
    pairs = [(model.run(pixels)[name], x) for name, x in integers.integers(images).items()]
    differing = sum(int((found != right.numpy()).sum()) for found, right in pairs)
    print(f"{march}: {differing} of {sum(x.numel() for _, x in pairs)} integers differ")
