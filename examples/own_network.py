"""A classifier of drawn digits, written as one writes it, trained, and run in integers."""

import cv2
import numpy as np
import torch
from torch import nn

from hat.deploy.build import compile_model
from horizon import hbm, quantization
from horizon.runtime import Model


def digits(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (count, 1, 24, 24) from -1 to 1, and what they show."""
    rng, images = np.random.default_rng(seed), np.zeros((count, 24, 24), np.uint8)
    labels = rng.integers(0, 10, count)
    for image, label in zip(images, labels, strict=True):
        image[:] = rng.integers(0, 90, image.shape)
        place, size = (int(rng.integers(2, 9)), int(rng.integers(16, 23))), rng.uniform(0.5, 0.8)
        cv2.putText(image, str(label), place, rng.integers(0, 4), size, 255, rng.integers(1, 3))
    return torch.from_numpy(images[:, None] / np.float32(127.5) - 1), torch.from_numpy(labels)


torch.manual_seed(0)
network = nn.Sequential(
    *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Flatten(), nn.Linear(32 * 36, 10)),
)
(images, labels), (unseen, truth) = digits(3000, 1), digits(1000, 2)


def train(model: nn.Module, rate: float, epochs: int) -> None:
    optimizer = torch.optim.Adam(model.train().parameters(), rate)
    for batch in torch.cat([torch.randperm(3000) for _ in range(epochs)]).split(100):
        loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()


train(network, 2e-3, 12)
prepared = quantization.prepare_calibration(network, images[:100])
prepared(images[:500])
prepared = quantization.prepare_qat(quantization.finish_calibration(prepared))
train(prepared, 2e-4, 1)
integers = quantization.IntegerModel(quantization.trace(quantization.convert(prepared)))
program = Model(hbm.to_bytes(compile_model(integers, (24, 24), march="host").program))

entry, scales = program.inputs[0], np.array(program.outputs[0].scales)
steps = np.floor(unseen.numpy() / entry.scales[0] + 0.5).clip(-128, 127)  # what int8 stands for
pixels = (steps + 128).astype(np.uint8)
found = [next(iter(program.run({entry.name: image[None]}).values())) for image in pixels]
scores = np.concatenate(found).reshape(1000, 10)
with torch.no_grad():
    right = (network(unseen).argmax(1) == truth).float().mean()
    differing = int((scores != integers.integers(unseen).flatten(1).numpy()).sum())
accuracy = np.mean((scores * scales).argmax(1) == truth.numpy())
print(f"float {right:.1%}, integers {accuracy:.1%}, {differing} of {scores.size} integers differ")
