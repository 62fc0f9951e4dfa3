"""A small experiment for tests of the engine: shifted random textures and three-layer networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from hat.data.collates import collate_2d
from hat.registry import OBJECT_REGISTRY, build_from_registry

SIZE = 16


@OBJECT_REGISTRY.register(name="TinyPairs")
class TinyPairs(Dataset):
    """``count`` smooth textures, each moved by a constant flow of a few pixels.

    A sample depends on its index, and on the epoch where ``jitter`` is on.
    """

    def __init__(self, count: int = 16, jitter: bool = True, poison: tuple[int, ...] = ()) -> None:
        self.count = count
        self.jitter = jitter
        self.poison = poison
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng((index, int(self._epoch) if self.jitter else 0))
        u, v = rng.integers(-3, 4, 2)
        first = rng.normal(size=(3, SIZE, SIZE)).astype(np.float32)
        second = np.roll(first, (v, u), axis=(1, 2))
        flow = np.full((2, SIZE, SIZE), [[[u]], [[v]]], dtype=np.float32)
        if index in self.poison:
            flow[0, 0, 0] = np.nan
        return {
            "img": torch.from_numpy(np.concatenate([first, second])),
            "gt_flow": torch.from_numpy(flow),
            "img_id": index,
            "img_name": f"{index:05d}",
        }


@OBJECT_REGISTRY.register(name="TinyFlow")
class TinyFlow(nn.Module):
    """Convolutions with batch normalisation that answer like PwcnetTask."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(6, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2, 3, padding=1),
        )

    def forward(self, batch: dict[str, Any]) -> dict[str, Any] | Tensor:
        flow = self.body(batch["img"])
        if not self.training:
            return flow
        truth = batch["gt_flow"][:, :, ::4, ::4]
        loss = (flow - truth).norm(dim=1).mean()
        return {"losses": [loss], "pred_flows": flow.detach()}


def losses(outputs: dict[str, Any]) -> list[Tensor]:
    return outputs["losses"]


def update_metrics(metrics: list, batch: dict, outputs: dict) -> None:
    metrics[0].update(outputs["losses"])


def loader(**dataset: Any) -> dict[str, Any]:
    return {
        "type": DataLoader,
        "dataset": {"type": "TinyPairs", **dataset},
        "batch_size": 4,
        "collate_fn": collate_2d,
    }


def trainer_config(**changes: Any) -> dict[str, Any]:
    """Two epochs of four steps; ``changes`` replace the trainer's arguments."""
    return {
        "type": "distributed_data_parallel_trainer",
        "model": {"type": "TinyFlow"},
        "data_loader": {**loader(), "shuffle": True},
        "optimizer": {"type": torch.optim.Adam, "lr": 1e-2},
        "batch_processor": {
            "type": "MultiBatchProcessor",
            "need_grad_update": True,
            "loss_collector": losses,
        },
        "num_epochs": 2,
        "device": "cpu",
        **changes,
    }


def validation(**changes: Any) -> dict[str, Any]:
    return {
        "type": "Validation",
        "data_loader": loader(count=6, jitter=False),
        "batch_processor": {"type": "MultiBatchProcessor", "need_grad_update": False},
        **changes,
    }


def build(config: dict[str, Any], seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return build_from_registry(config, "float_trainer")


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    """Equal to the last bit, buffers included."""
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)
