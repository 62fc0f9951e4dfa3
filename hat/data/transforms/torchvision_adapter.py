"""Any image transform of torchvision as a batch transform."""

from __future__ import annotations

from typing import Any

import torch
from torchvision import transforms

from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY, nearest

# These move pixels of the images and know nothing of the flow.
_MOVES_PIXELS = {
    "CenterCrop": "CenterCrop",
    "ElasticTransform": "SegRandomAffine",
    "FiveCrop": "RandomCrop",
    "Pad": "Resize",
    "RandomAffine": "SegRandomAffine",
    "RandomCrop": "RandomCrop",
    "RandomHorizontalFlip": "RandomFlip",
    "RandomPerspective": "SegRandomAffine",
    "RandomResizedCrop": "FlowRandomAffineScale and RandomCrop",
    "RandomRotation": "SegRandomAffine",
    "RandomVerticalFlip": "RandomFlip",
    "Resize": "Resize",
    "TenCrop": "RandomCrop",
}


@OBJECT_REGISTRY.register
class TorchVisionAdapter:
    """Batch transform: ``torchvision.transforms.<interface>(**arguments)`` on ``img``.

    Six channels are two images: torchvision sees (2 B, 3, H, W), so that values per channel are
    given for the three channels of one image, or one number for all.

    Args:
        interface: name of a class in ``torchvision.transforms``, e.g. "Normalize".
        arguments: its arguments, e.g. ``mean=128.0, std=128.0``.

    Raises:
        ValueError: no such transform, or one that moves pixels: the flow would be wrong
            afterwards; the message names the transform to use in the data set instead.
        InputError: ``img`` is neither one image nor two, or torchvision refuses it.
    """

    def __init__(self, interface: str, **arguments: Any) -> None:
        if interface in _MOVES_PIXELS:
            raise ValueError(
                f"interface={interface!r} moves the pixels of the images but not the flow; use "
                f"{_MOVES_PIXELS[interface]} in the transforms of the data set"
            )
        known = [
            name
            for name in vars(transforms)
            if name[0].isupper() and isinstance(getattr(transforms, name), type)
        ]
        if interface not in known:
            raise ValueError(
                f"interface={interface!r} is no transform of torchvision{nearest(interface, known)}"
            )
        self.interface = interface
        self.transform = getattr(transforms, interface)(**arguments)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        image = batch["img"]
        if not isinstance(image, torch.Tensor) or image.ndim != 4 or image.shape[1] not in (3, 6):
            found = tuple(image.shape) if isinstance(image, torch.Tensor) else type(image).__name__
            raise InputError(
                f"TorchVisionAdapter({self.interface}): expected img (B, 3 or 6, H, W), "
                f"found {found}"
            )
        size, channels, height, width = image.shape
        single = image.reshape(size * channels // 3, 3, height, width)
        try:
            result = self.transform(single)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"TorchVisionAdapter({self.interface}) refuses img of {image.dtype} "
                f"{tuple(image.shape)}: {error}"
            ) from error
        return {**batch, "img": result.reshape(size, channels, *result.shape[-2:])}
