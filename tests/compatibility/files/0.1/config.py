"""A whole config: a network of one's own, as a module that the config defines."""

import torch
from torch import nn

_base_ = "own_network"
task_name = "kept"


class Kept(nn.Sequential):
    def __init__(self, width):
        super().__init__(
            *(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()),
            nn.Conv2d(width, 2, 1),
        )


model = dict(type=Kept, width=4)
deploy_inputs = dict(image=(1, 3, 16, 16))
targets = ["wanted"]
loss = dict(type=nn.MSELoss)
data_loader = dict(dataset=dict(type=torch.utils.data.TensorDataset))
