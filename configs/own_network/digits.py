"""A classifier of drawn digits: a network of one's own through all stages, in under a minute on one core.

    python3 tools/train.py --stage float --config configs/own_network/digits.py
    python3 tools/train.py --stage calibration --config configs/own_network/digits.py
    python3 tools/train.py --stage qat --config configs/own_network/digits.py
    python3 tools/train.py --stage int_infer --config configs/own_network/digits.py
    python3 tools/predict.py --stage int_infer --config configs/own_network/digits.py
    python3 tools/compile_perf.py --config configs/own_network/digits.py

What is assigned here replaces the variable of the same name in own_network.py.
"""

import cv2
import numpy as np
import torch
from torch import nn

_base_ = "own_network.py"

task_name = "digits"
side = 24
width = 16
batch_size = 100
num_epochs = 12
lr = 2e-3
qat_epochs = 2
calibration_steps = 5


class DigitNetwork(nn.Module):
    """Scores (N, 10) of images (N, 1, side, side)."""

    def __init__(self, width, side):
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()),
            nn.MaxPool2d(2),
            *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU()),
            nn.MaxPool2d(2),
        )
        self.scores = nn.Linear(2 * width * (side // 4) ** 2, 10)

    def forward(self, image):
        return self.scores(self.features(image).flatten(1))


class DrawnDigits(torch.utils.data.Dataset):
    """Images (1, side, side) from -1 to 1 on noise, and the digit that each shows."""

    def __init__(self, count, seed, side):
        self.count, self.seed, self.side = count, seed, side

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        rng = np.random.default_rng([self.seed, index])
        label = int(rng.integers(0, 10))
        image = rng.integers(0, 90, (self.side, self.side), np.uint8)
        place = (int(rng.integers(2, 9)), int(rng.integers(16, 23)))
        font, size = int(rng.integers(0, 4)), rng.uniform(0.5, 0.8)
        cv2.putText(image, str(label), place, font, size, 255, int(rng.integers(1, 3)))
        return image[None] / np.float32(127.5) - 1, label


def accuracy(scores, label):
    """1 for each image whose digit has the highest score, else 0."""
    return (scores.argmax(1) == label).float()


model = dict(type=DigitNetwork, width=width, side=side)
deploy_inputs = dict(image=(1, 1, side, side))
targets = ["label"]
loss = dict(type=nn.CrossEntropyLoss)
metrics = dict(accuracy=accuracy)
best_metric = "accuracy"
best_mode = "max"
data_loader = dict(dataset=dict(type=DrawnDigits, count=4000, seed=1, side=side))
val_data_loader = dict(dataset=dict(type=DrawnDigits, count=2000, seed=2, side=side))
