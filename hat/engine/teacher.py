"""Training towards another network's flow instead of the true one (knowledge distillation)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from hat.engine.convert import ModelConvertPipeline
from hat.registry import OBJECT_REGISTRY


@OBJECT_REGISTRY.register
class TeacherFlow:
    """Batch transform: the flow of a trained network as the ground truth of every level.

    Quantisation-aware training with the float network as its teacher asks for what it is there for:
    that the integers give the flow of the float network. The true flow asks for more. Where the
    float network is wrong, the gradient of its error is large in every batch, drowns that of the
    rounding, and drives the weights away from what they have learnt.

    ``gt_flow_levels`` becomes the teacher's flow, (N, 2, ceil(H / 2**l), ceil(W / 2**l)) in px, at
    all pixels: ``gt_valid_levels`` is dropped. A training metric then measures the distance to the
    teacher. Images without true flow do as well.

    Args:
        model: a :class:`hat.models.tasks.PwcnetTask` with the levels of the trained network.
        model_convert_pipeline: loads its weights.
    """

    def __init__(
        self, model: nn.Module, model_convert_pipeline: ModelConvertPipeline | None = None
    ) -> None:
        pipeline = model_convert_pipeline or ModelConvertPipeline()
        self.teacher = pipeline(model).eval().requires_grad_(False)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Raises InputError for a batch without prepared images."""
        image = batch.get("img")
        if isinstance(image, torch.Tensor):
            self.teacher.to(image.device)
        with torch.no_grad():
            flows = self.teacher(batch, all_levels=True)
        levels = [flow.float() * self.teacher.flow_scale for flow in flows]
        taught = {key: value for key, value in batch.items() if key != "gt_valid_levels"}
        return {**taught, "gt_flow_levels": levels}
