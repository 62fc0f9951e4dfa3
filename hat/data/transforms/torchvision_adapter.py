"""Image transforms of torchvision that leave pixels where they are, as batch transforms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torchvision import transforms
from torchvision.transforms import v2

from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY, nearest

# Every pixel of the result stands where it stood, so that the flow stays true. What is not in one
# of these tables is refused: torchvision's other transforms move, mix or erase pixels.
_CONTAINERS = ("Compose", "RandomApply", "RandomChoice", "RandomOrder")
_ANY_VALUES = ("ConvertImageDtype", "GaussianBlur", "Normalize")
# These take the channels for red, green and blue, as uint8 or in 0..1.
_COLOURS = (
    "ColorJitter",
    "Grayscale",
    "RandomAdjustSharpness",
    "RandomAutocontrast",
    "RandomEqualize",
    "RandomGrayscale",
    "RandomInvert",
    "RandomPosterize",
    "RandomSolarize",
)
_ANY_VALUES_V2 = (*_ANY_VALUES, "Identity", "ToDtype", "ToPureTensor")
_COLOURS_V2 = (
    *_COLOURS,
    "GaussianNoise",
    "JPEG",
    "RandomChannelPermutation",
    "RandomPhotometricDistort",
    "RGB",
)

# What follows the flow and does the same, in the transforms of the data set.
_INSTEAD = {
    "AugMix": "PhotometricJitter and SegRandomAffine",
    "AutoAugment": "PhotometricJitter and SegRandomAffine",
    "CenterCrop": "CenterCrop",
    "ElasticTransform": "SegRandomAffine",
    "FiveCrop": "RandomCrop",
    "Pad": "Resize",
    "RandAugment": "PhotometricJitter and SegRandomAffine",
    "RandomAffine": "SegRandomAffine",
    "RandomCrop": "RandomCrop",
    "RandomErasing": "RandomErase",
    "RandomHorizontalFlip": "RandomFlip",
    "RandomPerspective": "SegRandomAffine",
    "RandomResizedCrop": "RandomScaleCrop",
    "RandomRotation": "SegRandomAffine",
    "RandomVerticalFlip": "RandomFlip",
    "RandomZoomOut": "RandomScaleCrop",
    "Resize": "Resize",
    "ScaleJitter": "RandomScaleCrop",
    "TenCrop": "RandomCrop",
    "TrivialAugmentWide": "PhotometricJitter and SegRandomAffine",
}


def _classes(module: Any, names: tuple[str, ...]) -> dict[type, str]:
    return {getattr(module, name): name for name in names if hasattr(module, name)}


CONTAINERS = {
    **_classes(transforms, _CONTAINERS),
    **_classes(v2, _CONTAINERS),
    nn.Sequential: "Sequential",
}
COLOURS = {**_classes(transforms, _COLOURS), **_classes(v2, _COLOURS_V2)}
ALLOWED = {
    **COLOURS,
    **_classes(transforms, _ANY_VALUES),
    **_classes(v2, _ANY_VALUES_V2),
    nn.Identity: "Identity",
}


@OBJECT_REGISTRY.register
class TorchVisionAdapter:
    """Batch transform: ``torchvision.transforms.<interface>(**arguments)`` on ``img``.

    Six channels are two images: torchvision sees (2 B, 3, H, W), so that values per channel are
    given for the three channels of one image, or one number for all. Only transforms are taken
    that are known to leave every pixel where it is, and lists of such transforms: the flow would
    be wrong after any other.

    Args:
        interface: name of a class in ``torchvision.transforms``, e.g. "Normalize", or of one in
            ``torchvision.transforms.v2`` after ``v2.``, e.g. "v2.GaussianNoise".
        arguments: its arguments, e.g. ``mean=128.0, std=128.0``; of Compose, RandomApply,
            RandomChoice and RandomOrder, ``transforms`` is a list of torchvision's objects.

    Raises:
        ValueError: no such transform, or one that is not known to keep pixels in place, by itself
            or inside of another; the message says what is allowed and what to use instead.
        InputError: ``img`` is neither one image nor two, torchvision refuses it, a change of
            colour meets YUV images or floats outside 0..1, or the result has another shape.
    """

    def __init__(self, interface: str, **arguments: Any) -> None:
        version, _, name = interface.rpartition(".")
        module = {"": transforms, "v2": v2}.get(version)
        known = [*_public(transforms), *(f"v2.{name}" for name in _public(v2))]
        if module is None or interface not in known:
            raise ValueError(
                f"interface={interface!r} is no transform of torchvision{nearest(interface, known)}"
            )
        kind = getattr(module, name)
        if kind not in ALLOWED and kind not in CONTAINERS:
            raise ValueError(f"interface={interface!r}: {_refusal(name)}")
        self.interface = interface
        self.transform = kind(**arguments)
        leaves = list(_leaves(self.transform, interface))
        for place, leaf in leaves:
            if type(leaf) not in ALLOWED:
                raise ValueError(f"interface={interface!r}: {place}: {_refusal(_name(leaf))}")
        self.colours = sorted({_name(leaf) for _, leaf in leaves if type(leaf) in COLOURS})

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        image = batch["img"]
        if not isinstance(image, torch.Tensor) or image.ndim != 4 or image.shape[1] not in (3, 6):
            found = tuple(image.shape) if isinstance(image, torch.Tensor) else type(image).__name__
            raise InputError(
                f"TorchVisionAdapter({self.interface}): expected img (B, 3 or 6, H, W), "
                f"found {found}"
            )
        if self.colours:
            self._check_colours(batch)
        size, channels, height, width = image.shape
        single = image.reshape(size * channels // 3, 3, height, width)
        try:
            result = self.transform(single)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"TorchVisionAdapter({self.interface}) refuses img of {image.dtype} "
                f"{tuple(image.shape)}: {error}"
            ) from error
        if result.shape != single.shape:
            raise InputError(
                f"TorchVisionAdapter({self.interface}) makes {tuple(result.shape)} of images "
                f"{tuple(single.shape)}; the shape must stay (Grayscale: num_output_channels=3)"
            )
        return {**batch, "img": result.reshape(image.shape)}

    def _check_colours(self, batch: dict[str, Any]) -> None:
        """InputError where torchvision would take YUV for RGB, or clamp grey levels to 0..1."""
        image, spaces = batch["img"], batch.get("color_space", "rgb")
        found = {spaces} if isinstance(spaces, str) else set(spaces)
        names = ", ".join(self.colours)
        if found != {"rgb"}:
            raise InputError(
                f"TorchVisionAdapter({self.interface}): {names} changes colours of RGB images, the "
                f"batch holds {', '.join(sorted(map(str, found)))}; put it before BgrToYuv444, "
                "with to_rgb=True of the data set"
            )
        if image.is_floating_point() and image.numel():
            low, high = (float(value) for value in image.aminmax())
            if low < 0 or high > 1:
                raise InputError(
                    f"TorchVisionAdapter({self.interface}): {names} takes uint8 images or floats "
                    f"in 0 to 1 and would clamp these, which go from {low:g} to {high:g}; put it "
                    "before BgrToYuv444 and Normalize, where img is uint8"
                )


def without_torchvision(steps: Sequence[Any] | None, advice: str) -> list[Any]:
    """``steps`` as a list; ValueError if one is torchvision's own.

    Called on a sample or a batch, a transform of ``torchvision.transforms.v2`` would change the
    first tensor that it finds, the images, and leave the flow.
    """
    for index, step in enumerate(steps or ()):
        if type(step).__module__.startswith("torchvision."):
            raise ValueError(
                f"[{index}] is torchvision's {_name(step)}, which knows nothing of the flow; "
                f"{advice}"
            )
    return list(steps or ())


def _public(module: Any) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if name[0].isupper() and isinstance(value, type)
    ]


def _leaves(transform: Any, place: str) -> Iterator[tuple[str, Any]]:
    """The transforms inside of lists of transforms, with their places."""
    if type(transform) not in CONTAINERS:
        yield place, transform
        return
    inner = transform if isinstance(transform, nn.Sequential) else transform.transforms
    for index, part in enumerate(inner):
        yield from _leaves(part, f"{place}.transforms[{index}]")


def _name(transform: Any) -> str:
    return getattr(transform, "__name__", None) or type(transform).__name__


def _refusal(name: str) -> str:
    allowed = sorted({*_CONTAINERS, *ALLOWED.values()})
    moves, instead = "may move", ""
    if name in _INSTEAD:
        moves, instead = "moves", f"use {_INSTEAD[name]} in the transforms of the data set, or "
    return (
        f"{name} {moves} the pixels of the images but not the flow: {instead}write a transform "
        "of your own, a registered class whose __call__(batch) changes img, gt_flow and gt_valid "
        f"together (docs/data.md); this adapter takes {', '.join(allowed)}"
    )
