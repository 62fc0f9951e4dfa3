"""Two inputs and two outputs: from float through QAT to the programs for two machines.

python examples/two_inputs.py
"""

import torch
from torch import nn

from hat.deploy.build import compile_model
from horizon import hbm, quantization
from horizon.runtime import Model


class Fusion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.colour = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.SiLU(), nn.MaxPool2d(2))
        self.depth = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.depthwise, self.scores = nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.Linear(16, 5)

    def forward(self, image: torch.Tensor, depth: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = nn.functional.silu(self.depthwise(self.colour(image) + self.depth(depth)))
        up = nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
        return up, self.scores(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


example = torch.rand(4, 3, 32, 48) - 0.5, torch.rand(4, 1, 32, 48)
prepared = quantization.prepare_calibration(Fusion().eval(), example)
prepared(*example)
prepared = quantization.prepare_qat(quantization.finish_calibration(prepared)).train()
sum(output.square().mean() for output in prepared(*example)).backward()  # train as usual from here
integers = quantization.IntegerModel(quantization.trace(quantization.convert(prepared.eval())))
wanted = integers.integers([x[:1] for x in example])
for march in ("host", "nash-e"):
    program = compile_model(integers, (32, 48), march=march, input_type="int8").program
    model, given = Model(hbm.to_bytes(program)), {}
    for entry, x in zip(model.inputs, example, strict=True):
        given[entry.name] = (x[:1] / entry.scales[0] + 0.5).floor().clip(-128, 127).char().numpy()
    differing = [int((y != wanted[name].numpy()).sum()) for name, y in model.run(given).items()]
    print(f"{march}: integers that differ, of each output: {differing}")
