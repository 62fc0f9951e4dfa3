"""A float task as ONNX, for any batch and any image size.

The graph comes from torch's tracing exporter (``dynamo=False``). The cost volume has 81 shifts per
level; tracing turns them into a graph within seconds, where the exporter that works by symbolic
shapes (``dynamo=True``) reasons about the shapes of several thousand nodes and takes minutes.
What tracing cannot see, a branch that depends on the image's size, is kept out of the graph:
the padding to a multiple of the coarsest level is computed from the input's shape inside of it,
and the task below sees multiples only.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from hat.data.files import atomic_path
from hat.errors import InputError

INPUT_NAME, OUTPUT_NAME = "img", "flow"
# GridSample is there from opset 16 on; 17 is read by every ONNX Runtime since 1.12.
OPSETS = range(16, 20)
DEFAULT_OPSET = 17


class AnySizeTask(nn.Module):
    """An evaluated task as a function of one tensor, without branches on its size.

    Args:
        task: maps ``{"img": (N, 6, H, W)}`` to flow (N, 2, ceil(H / 2**l), ceil(W / 2**l)), for H
            and W multiples of ``2**task.pyr_lvls``, with l ``task.flow_pred_lvl``.
    """

    def __init__(self, task: nn.Module) -> None:
        super().__init__()
        self.task = task
        self.multiple = 2 ** int(task.pyr_lvls)  # type: ignore[arg-type]
        self.reduction = 2 ** int(task.flow_pred_lvl)  # type: ignore[arg-type]

    def forward(self, img: Tensor) -> Tensor:
        """(N, 6, H, W) to the task's flow, for any H and W."""
        height, width = img.shape[2], img.shape[3]
        # Rounding up with positive numbers only: ONNX divides integers towards zero.
        bottom = (height + self.multiple - 1) // self.multiple * self.multiple - height
        right = (width + self.multiple - 1) // self.multiple * self.multiple - width
        padded = functional.pad(img, (0, right, 0, bottom), mode="replicate")
        flow: Tensor = self.task({"img": padded})
        rows = (height + self.reduction - 1) // self.reduction
        columns = (width + self.reduction - 1) // self.reduction
        return flow[:, :, :rows, :columns]


def export_onnx(
    task: nn.Module,
    path: str | Path,
    opset: int = DEFAULT_OPSET,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Write a task as ONNX.

    Input ``img``: float32 (batch, 6, height, width), image 1 and 2 in YUV444, normalised as in
    training. Output ``flow``: float32 (batch, 2, ceil(height / 4), ceil(width / 4)) for the finest
    level 2, px of the full-resolution image. Batch, height and width are free.

    Args:
        task: on the CPU, in evaluation mode.
        path: the file, replaced as a whole.
        opset: version of the ONNX operators.
        metadata: entries for the file's ``metadata_props``.

    Returns:
        The model as written.

    Raises:
        InputError: an opset that has no bilinear sampling or that the exporter does not know, or
            a file that cannot be written.
    """
    if opset not in OPSETS:
        raise InputError(f"opset {opset}: expected {OPSETS[0]} to {OPSETS[-1]}")
    module = AnySizeTask(task).eval()
    # An odd size, so that no size in the graph can be mistaken for a constant of the network.
    example = torch.zeros(2, 6, module.multiple + 5, 2 * module.multiple - 7)
    free = {0: "batch", 2: "height", 3: "width"}
    with atomic_path(path) as temporary:
        with warnings.catch_warnings(), torch.no_grad():
            # Checks of shapes that were right for the example are no part of the graph, and that
            # the tracing exporter will go one day says nothing about this file.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (example,),
                str(temporary),
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                dynamic_axes={
                    INPUT_NAME: free,
                    OUTPUT_NAME: {0: "batch", 2: "flow_height", 3: "flow_width"},
                },
                opset_version=opset,
                dynamo=False,
            )
        model = onnx.load(str(temporary))
        onnx.helper.set_model_props(model, dict(metadata or {}))
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(temporary))
    return model
