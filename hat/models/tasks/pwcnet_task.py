"""Optical flow as a task: the network, from a batch to flow, and the losses of its levels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn
from torch.nn import functional

from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY
from horizon.nn import DeQuantStub, FloatFunctional, QuantStub
from horizon.quantization import get_default_qat_out_qconfig, get_default_qat_qconfig

OBSERVER = {"observer": "percentile", "percentile": 99.9}
"""Where the config says nothing else; docs/fixed_point.md has the comparison."""
WIDE_MARGIN = 2.0
"""int16 has bits to spare: room for flow twice as large as any that calibration met."""


@OBJECT_REGISTRY.register
class PwcnetTask(nn.Module):
    """PWC-Net with its loss.

    The network regresses flow divided by ``flow_scale``; this class alone knows that. Everything
    it takes and returns is in pixels of the full-resolution image. Images of any size are padded
    at the right and at the bottom to a multiple of ``2 ** pyr_lvls`` (border pixels repeated), and
    the padding's share of the result is cut off.

    Args:
        backbone: images (2N, 3, H, W) to features, finest level first.
        head: features of both images to flow per level, finest first.
        loss: ``loss(pred, gt, valid)`` of one level.
        loss_weights: factors of the levels' losses, finest first.
        flow_scale: pixels per unit of the network's output.
        qconfig: arguments of :func:`horizon.quantization.get_default_qat_qconfig` for the layers.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        loss: nn.Module | None = None,
        loss_weights: Sequence[float] | None = None,
        flow_scale: float = 20.0,
        qconfig: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        for name in ("pyr_lvls", "flow_pred_lvl"):
            if getattr(backbone, name) != getattr(head, name):
                raise ValueError(
                    f"backbone and head must agree in {name}, "
                    f"found {getattr(backbone, name)} and {getattr(head, name)}"
                )
        if not flow_scale > 0:
            raise ValueError(f"flow_scale must be positive, found {flow_scale!r}")
        self.pyr_lvls: int = head.pyr_lvls  # type: ignore[assignment]
        self.flow_pred_lvl: int = head.flow_pred_lvl  # type: ignore[assignment]
        levels = self.pyr_lvls - self.flow_pred_lvl + 1
        if loss is not None and (loss_weights is None or len(loss_weights) != levels):
            raise ValueError(
                f"loss_weights needs one entry per predicted level, {levels} (levels "
                f"{self.flow_pred_lvl} to {self.pyr_lvls}, finest first), found {loss_weights!r}"
            )
        self.quant = QuantStub(scale=1 / 128)
        self.backbone = backbone
        self.head = head
        self.to_pixels = FloatFunctional()
        self.dequants = nn.ModuleList(DeQuantStub() for _ in range(levels))
        self.loss = loss
        self.loss_weights = None if loss_weights is None else [float(w) for w in loss_weights]
        self.flow_scale = flow_scale
        self.qconfig_options = None if qconfig is None else dict(qconfig)

    @overload
    def forward(self, data: Mapping[str, Any]) -> Tensor: ...

    @overload
    def forward(self, data: Mapping[str, Any], all_levels: Literal[True]) -> list[Tensor]: ...

    def forward(self, data: Mapping[str, Any], all_levels: bool = False) -> Tensor | list[Tensor]:
        """The flow of the pairs ``data["img"]``, (N, 6, H, W): image 1 and image 2, normalised.

        Args:
            all_levels: every level for :meth:`compute_losses` instead of the finest one.

        Returns:
            (N, 2, ceil(H / 4), ceil(W / 4)), px, for the finest level 2; or a list of
            (N, 2, ceil(H / 2**l), ceil(W / 2**l)), finest first, in units of the network.

        Raises:
            InputError: a batch without such images.
        """
        image = data.get("img")
        if not isinstance(image, Tensor) or image.dim() != 4 or image.shape[1] != 6:
            raise InputError(
                f'batch["img"]: expected a tensor (N, 6, H, W), image 1 and image 2, '
                f"found {describe(image)}"
            )
        if not image.is_floating_point():
            raise InputError(
                f'batch["img"]: expected normalised float values, found {image.dtype}; add '
                "BgrToYuv444 and TorchVisionAdapter to the batch_transforms"
            )
        flows = self.predict(image)
        if not all_levels:
            flow = self.to_pixels.mul_scalar(flows[0], self.flow_scale)
            return self.crop(self.dequants[0](flow), image, self.flow_pred_lvl)
        return [
            self.crop(dequant(flow), image, self.flow_pred_lvl + index)
            for index, (dequant, flow) in enumerate(zip(self.dequants, flows, strict=True))
        ]

    def compute_losses(self, flows: Sequence[Tensor], data: Mapping[str, Any]) -> dict[str, Any]:
        """The training loss of each level (equation 1 of the paper), from a training step.

        Args:
            flows: of :meth:`forward` with ``all_levels``.
            data: the same batch, with ``gt_flow_levels``, (N, 2, ceil(H / 2**l), ceil(W / 2**l)),
                px, finest first; pixels without ``gt_valid_levels``, (N, 1, ...), do not count.

        Returns:
            ``losses``, one scalar per level, finest first, weighted; and ``pred_flows``, the finest
            flow in px, without gradient.

        Raises:
            InputError: a batch without these entries or with other shapes, or a task without loss.
        """
        ground_truth, valid = self.ground_truth(data, data["img"])
        assert self.loss is not None
        assert self.loss_weights is not None
        losses = [
            weight * self.loss(flow, truth / self.flow_scale, mask)
            for weight, flow, truth, mask in zip(
                self.loss_weights, flows, ground_truth, valid, strict=True
            )
        ]
        return {"losses": losses, "pred_flows": flows[0].detach() * self.flow_scale}

    def fuse_model(self, fold_bn: bool = True) -> None:
        """Fuse what can be one layer; ``fold_bn`` puts batch normalisation into the weights."""
        modules: list[Any] = list(self.modules())
        for module in modules:
            if module is not self and hasattr(module, "fuse_model"):
                module.fuse_model(fold_bn)

    def set_qconfig(self, **options: Any) -> None:
        """int8 everywhere, flow in int16, the result in int32.

        The result's step is the largest power of two that keeps its rounding under 1/256 pixel.

        Args:
            options: for :func:`horizon.quantization.get_default_qat_qconfig`; those given to the
                constructor as ``qconfig`` otherwise.
        """
        options = {**(self.qconfig_options or {}), **options}
        if "observer" not in options:
            options = {**OBSERVER, **options}
        options.setdefault("qat_scale", "fixed")
        self.qconfig = get_default_qat_qconfig(**options)
        common = {k: v for k, v in options.items() if k in ("qat_scale", "averaging_constant")}
        wide = get_default_qat_qconfig("int16", "minmax", margin=WIDE_MARGIN, **common)
        step = 2.0 ** math.floor(math.log2(1 / (128 * self.flow_scale)))
        output = get_default_qat_out_qconfig(step)
        modules: list[Any] = list(self.modules())
        for module in modules:
            if module is not self and hasattr(module, "set_qconfig"):
                module.set_qconfig(wide, output)

    @property
    def size_multiple(self) -> int:
        """Sides that need no padding are multiples of this."""
        return 2**self.pyr_lvls

    def example_input(self) -> dict[str, Tensor]:
        """The smallest input without padding, for :func:`horizon.quantization.convert`."""
        side = self.size_multiple
        device = next(self.parameters(), torch.empty(0)).device
        return {"img": torch.zeros(1, 6, side, side, device=device)}

    def predict(self, image: Tensor) -> list[Tensor]:
        """The network alone: flows of the padded image pair in network units, finest first."""
        multiple = 2**self.pyr_lvls
        height, width = image.shape[-2:]
        bottom, right = -height % multiple, -width % multiple
        # A traced program has no branch on sizes: it pads always, perhaps by nothing.
        if torch.compiler.is_compiling() or bottom or right:
            image = functional.pad(image, (0, right, 0, bottom), mode="replicate")
        image = self.quant(image)
        # One pass over both images: the same weights and, in training, the same statistics.
        pair = torch.cat([image[:, :3], image[:, 3:]])
        if torch.is_autocast_enabled(pair.device.type):
            # Half-precision convolutions want channels innermost; in float32 it does not pay.
            pair = pair.contiguous(memory_format=torch.channels_last)
        features = [level.chunk(2) for level in self.backbone(pair)]
        return self.head(
            [first for first, _ in features], [second for _, second in features], self.flow_scale
        )

    def crop(self, flow: Tensor, image: Tensor, level: int) -> Tensor:
        """The part of a level's flow that belongs to the image and not to its padding."""
        height, width = (-(-size // 2**level) for size in image.shape[-2:])
        return flow[..., :height, :width]

    def ground_truth(
        self, data: Mapping[str, Any], image: Tensor
    ) -> tuple[list[Tensor], list[Tensor | None]]:
        """Ground truth and masks per level; InputError unless they fit the network's levels."""
        if self.loss is None:
            raise InputError("model.loss: training needs a loss and loss_weights, found none")
        levels = len(self.dequants)
        sizes = [
            tuple(-(-size // 2 ** (self.flow_pred_lvl + index)) for size in image.shape[-2:])
            for index in range(levels)
        ]
        wanted = f"a list of {levels} tensors, finest first, of the sizes {sizes}"
        advice = "add Scale with these levels to the batch_transforms"
        truth = data.get("gt_flow_levels")
        valid = data.get("gt_valid_levels", [None] * levels)
        for key, entries, channels in (("gt_flow_levels", truth, 2), ("gt_valid_levels", valid, 1)):
            if not isinstance(entries, list | tuple) or len(entries) != levels:
                raise InputError(
                    f"batch[{key!r}]: training needs {wanted}; found {describe(entries)}; {advice}"
                )
            for entry, size in zip(entries, sizes, strict=True):
                shape = (image.shape[0], channels, *size)
                if entry is not None and tuple(entry.shape) != shape:
                    raise InputError(
                        f"batch[{key!r}]: training needs {wanted}; found {describe(entry)} where "
                        f"{shape} belongs; {advice}"
                    )
        assert truth is not None
        return list(truth), list(valid)


def describe(value: object) -> str:
    """What an entry of a batch is, for error messages."""
    if value is None:
        return "nothing"
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {value.dtype}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {len(value)} entries"
    return type(value).__name__
