"""What happens to one batch: to the device, batch transforms, forward, loss, update."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hat.data.transforms.torchvision_adapter import without_torchvision
from hat.engine.autocast import autocast, check_enable_amp
from hat.engine.updater import Updater
from hat.errors import InputError
from hat.models.tasks.network_task import ONE_VALUE
from hat.registry import OBJECT_REGISTRY


@OBJECT_REGISTRY.register(name="MultiBatchProcessor")
@OBJECT_REGISTRY.register(name="BasicBatchProcessor")
class BatchProcessor:
    """Runs one step of training (``need_grad_update``) or of evaluation.

    Args:
        need_grad_update: train: collect the loss, propagate it back and update the weights.
        batch_transforms: called in turn on the batch, on the device.
        loss_collector: takes the model's outputs with its losses, a dict with ``losses`` and
            ``pred_flows``, and returns a loss or a sequence of losses to sum.
        enable_amp: run the forward pass in bfloat16 autocast: True where the device is fast at
            it, "force" on any (see :mod:`hat.engine.autocast`). bfloat16 has the range of
            float32, so that no loss scaling is needed.

    A batch that is a list of dicts (one per data loader) is processed dict by dict; their losses
    are averaged into one update.
    """

    def __init__(
        self,
        need_grad_update: bool,
        batch_transforms: Sequence[Callable[[dict], dict]] | None = None,
        loss_collector: Callable[[Any], Any] | None = None,
        enable_amp: bool | str = False,
    ) -> None:
        if need_grad_update and loss_collector is None:
            raise ValueError("need_grad_update=True needs a loss_collector")
        self.need_grad_update = need_grad_update
        self.batch_transforms = without_torchvision(
            batch_transforms, "give it to TorchVisionAdapter by its name"
        )
        self.loss_collector = loss_collector
        self.enable_amp = check_enable_amp(enable_amp)

    def prepare(self, batch: dict, device: torch.device) -> dict:
        """The batch on ``device`` after the batch transforms."""
        batch = to_device(batch, device)
        for transform in self.batch_transforms:
            batch = transform(batch)
        return batch

    def forward(self, model: nn.Module, batch: dict, device: torch.device) -> Any:
        """The model's outputs for a prepared batch."""
        with autocast(self.enable_amp, device):
            return model(batch)

    def forward_with_losses(self, model: nn.Module, batch: dict, device: torch.device) -> Any:
        """What ``loss_collector`` and the training metrics get: the losses and the finest flow.

        The model computes the flow of every level, and its ``compute_losses(flows, batch)`` the
        losses. A model without this method has them in the outputs of its forward pass.
        """
        task = model.module if isinstance(model, DistributedDataParallel) else model
        compute_losses: Any = getattr(task, "compute_losses", None)
        if compute_losses is None:
            return self.forward(model, batch, device)
        with autocast(self.enable_amp, device):
            flows = model(batch, all_levels=True)
            return compute_losses(flows, batch)

    def evaluate(self, model: nn.Module, batch: dict, device: torch.device) -> tuple[dict, Any]:
        """Prepared batch and outputs, without gradients. The model should be in eval mode."""
        with torch.inference_mode():
            prepared = self.prepare(batch, device)
            return prepared, self.forward(model, prepared, device)

    def train(
        self,
        model: nn.Module,
        batch: dict | Sequence[dict],
        device: torch.device,
        updater: Updater,
    ) -> tuple[dict, Any]:
        """One update of the weights; returns the last prepared batch and its outputs."""
        if self.loss_collector is None or not self.need_grad_update:
            raise InputError("the trainer's batch_processor needs need_grad_update=True")
        parts = [batch] if isinstance(batch, Mapping) else list(batch)
        updater.begin()
        prepared: dict = {}
        outputs: Any = None
        for part in parts:
            prepared = self.prepare(dict(part), device)
            try:
                outputs = self.forward_with_losses(model, prepared, device)
            except ValueError as error:
                if ONE_VALUE not in str(error):
                    raise
                raise InputError(
                    "training with batches of one image that are a single pixel at the coarsest "
                    "level: batch normalisation needs more; use batches of at least two images "
                    "(batch_size_per_gpu, batch_size), or larger ones; drop_last=True of the data "
                    "loader leaves out a last batch of one image"
                ) from error
            losses = self.loss_collector(outputs)
            loss = losses if isinstance(losses, Tensor) else sum(losses)
            updater.backward(loss / len(parts), prepared, outputs)
        updater.step()
        return prepared, outputs


def to_device(value: Any, device: torch.device) -> Any:
    """Every tensor in nested dicts, lists and tuples moved to ``device``."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {key: to_device(item, device) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_device(item, device) for item in value)
    return value
