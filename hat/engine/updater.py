"""One guarded update of the weights.

A step whose loss or gradients are not finite is skipped in every process alike: the weights keep
their values, and so do the running statistics of batch normalisation, which the forward pass has
changed by then. After ``max_skipped`` such steps in a row training stops and says what was first
to go wrong.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn

from hat.engine import distributed

logger = logging.getLogger(__name__)


class TrainingDiverged(RuntimeError):
    """Several steps in a row had a loss or gradients that are not finite.

    Attributes:
        by_data: the last of them because its batch is not finite.
    """

    by_data = False


class Updater:
    """Back-propagates, clips, checks and applies one step of an optimizer.

    Args:
        model: the model whose parameters and buffers are guarded.
        optimizer: its optimizer.
        clip_norm: largest L2 norm of all gradients together; None does not clip.
        max_skipped: this many skipped steps in a row end the training.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        clip_norm: float | None = None,
        max_skipped: int = 5,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.max_skipped = max_skipped
        self.skipped_total = 0
        self.skipped_in_a_row = 0
        self.gradient_norm = 0.0
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._buffers = list(model.buffers())
        self._saved = [b.clone() for b in self._buffers]
        self._loss_finite = True
        self._cause = ""
        self._in_data = False

    def begin(self) -> None:
        """Forget the gradients and keep the buffers as they are now."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for saved, buffer in zip(self._saved, self._buffers, strict=True):
                saved.copy_(buffer)
        self._loss_finite = True
        self._cause = ""
        self._in_data = False

    def backward(self, loss: Tensor, batch: dict, outputs: Any) -> None:
        """Add the gradients of ``loss``; batch and outputs serve to explain a failure."""
        loss.backward()
        if not torch.isfinite(loss.detach()):
            self._loss_finite = False
            in_data = _explain_data(batch)
            self._in_data = self._in_data or bool(in_data)
            self._cause = self._cause or in_data or _explain_loss(outputs)

    def step(self) -> bool:
        """Apply the gradients; False if the step was skipped.

        Raises:
            TrainingDiverged: after ``max_skipped`` skipped steps in a row.
        """
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        self.gradient_norm = float(norm)
        finite = self._loss_finite and bool(torch.isfinite(norm))
        if not distributed.everywhere(finite, norm.device):
            self._skip()
            return False
        self.skipped_in_a_row = 0
        if self.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self._parameters, self.clip_norm, norm)
        self.optimizer.step()
        return True

    def _skip(self) -> None:
        cause = self._cause or self._explain_gradients()
        with torch.no_grad():
            for saved, buffer in zip(self._saved, self._buffers, strict=True):
                buffer.copy_(saved)
        self.optimizer.zero_grad(set_to_none=True)
        self.skipped_total += 1
        self.skipped_in_a_row += 1
        logger.warning("Step skipped (%d in a row): %s", self.skipped_in_a_row, cause)
        if self.skipped_in_a_row >= self.max_skipped:
            advice = "Lower the learning rate, or clip gradients (clip_grad_norm)"
            if self._in_data:
                advice = "Mend this sample, or leave it out of the data set"
            error = TrainingDiverged(
                f"Training stopped: {self.skipped_in_a_row} steps in a row were not finite. "
                f"{cause}. The weights are those of the last good step. {advice}."
            )
            error.by_data = self._in_data
            raise error

    def _explain_gradients(self) -> str:
        for name, parameter in self.model.named_parameters():
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                return f"the gradient of {name} is not finite"
        return "the loss or a gradient is not finite in another process"


def _explain_data(batch: dict) -> str:
    """Which sample of the batch is not finite; empty if all are."""
    for key, value in batch.items():
        if isinstance(value, Tensor) and value.dim() and not torch.isfinite(value).all():
            bad = [i for i, sample in enumerate(value) if not torch.isfinite(sample).all()]
            names = batch.get("img_name", [])
            which = [names[i] if i < len(names) else f"number {i} of the batch" for i in bad]
            return f"the input {key!r} of sample {', '.join(map(str, which))} is not finite"
    return ""


def _explain_loss(outputs: Any) -> str:
    losses = outputs.get("losses") if isinstance(outputs, dict) else None
    if losses is None or isinstance(losses, Tensor) or len(losses) == 1:
        return "the inputs are finite, the loss is not"
    bad = [i for i, loss in enumerate(losses) if not torch.isfinite(loss).all()]
    if "pred_flows" in outputs:
        return f"the inputs are finite, the loss of level(s) {bad} (0 = finest) is not"
    return f"the inputs are finite, of the {len(losses)} losses number {bad} (from 0) is not"
