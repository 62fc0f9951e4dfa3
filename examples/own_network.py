"""A classifier of drawn digits: trained in float, calibrated, compiled and run in integers.

python examples/own_network.py
"""

import cv2
import numpy as np
import torch
from torch import nn

from hat.deploy.build import compile_model
from horizon import hbm, quantization
from horizon.runtime import Model

rng = np.random.default_rng(0)
pixels, labels = rng.integers(0, 90, (4000, 1, 24, 24), np.uint8), rng.integers(0, 10, 4000)
for (image,), label in zip(pixels, labels, strict=True):
    cv2.putText(image, str(label), rng.integers((2, 16), (9, 23)), 0, 0.7, 255, 2)
images, labels = torch.from_numpy(pixels).float() / 128 - 1, torch.from_numpy(labels)
torch.manual_seed(0)
layers = [nn.Conv2d(1, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
layers += [nn.Conv2d(16, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 36, 10))
optimizer = torch.optim.Adam(network.parameters(), 2e-3)
for batch in torch.cat([torch.randperm(3000) for _ in range(4)]).split(100):
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
    optimizer.step()
prepared = quantization.prepare_calibration(network.eval(), images[:1])
prepared(images[:500])
prepared = quantization.prepare_qat(quantization.finish_calibration(prepared)).eval()
integers = quantization.IntegerModel(quantization.trace(quantization.convert(prepared)))
program = Model(hbm.to_bytes(compile_model(integers, (24, 24), march="host").program))
unseen, step = images[3000:], program.inputs[0].scales[0]  # the input's int8, as bytes
steps = (unseen / step + 0.5).floor().clip(-128, 127).numpy() + 128
found = [next(iter(program.run({"img": x[None]}).values())) for x in steps.astype(np.uint8)]
scores = torch.from_numpy(np.concatenate(found)).flatten(1)
differing = int((scores != integers.integers(unseen).flatten(1)).sum())
right = [(s.argmax(1) == labels[3000:]).float().mean() for s in (network(unseen), scores)]
print(f"float {right[0]:.1%}, integers {right[1]:.1%}, {differing} of 10000 integers differ")
