"""The functions of an ``infer_cfg`` that were written for the original tool kit."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hat.errors import InputError


def takes_transforms(function: Callable[..., Any]) -> bool:
    """Whether this is ``process_inputs(inputs, transforms)`` and not ``process_inputs(inputs)``."""
    return "transforms" in inspect.signature(function).parameters or not _takes(function, 1)


def takes_flow_and_batch(function: Callable[..., Any]) -> bool:
    """Whether this is ``process_outputs(outputs, batch)``; others draw by themselves."""
    return "viz_func" not in inspect.signature(function).parameters and _takes(function, 2)


def _takes(function: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True


class PairInputs:
    """``process_inputs(inputs, transforms)`` as ``process_inputs(inputs)``.

    The function reads the images and gets transforms that change nothing; the command applies the
    config's own to the batch, on its device.

    Args:
        function: returns the batch, or a tuple that begins with it.
        rgb: the order of the colours in its images.
    """

    def __init__(self, function: Callable[..., Any], rgb: bool) -> None:
        self.function, self.rgb = function, rgb

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """A batch of one pair, as :func:`hat.inference.read_pair` gives it.

        Raises:
            InputError: the function returns no batch with an image of six channels.
        """
        import torch

        found = self.function(inputs, _Unchanged())
        batch = found[0] if isinstance(found, tuple) else found
        image = torch.as_tensor(batch["img"]) if isinstance(batch, Mapping) else torch.empty(0)
        if image.ndim == 3:
            image = image[None]
        if image.ndim == 4 and image.shape[1] != 6:
            image = image.permute(0, 3, 1, 2)
        if image.ndim != 4 or image.shape[1] != 6:
            raise InputError(
                "infer_cfg.process_inputs returns no image of six channels, image 1 and image 2, "
                f"under the key 'img': found {tuple(image.shape)}"
            )
        bytes_ = image.clamp(0, 255).to(torch.uint8)
        if image.is_floating_point() and torch.equal(bytes_.to(image.dtype), image):
            image = bytes_
        return {
            **batch,
            "img": image.contiguous(),
            "color_space": ["rgb" if self.rgb else "bgr"],
        }


class _Unchanged:
    """Transforms that change nothing, called as one or walked as a list."""

    def __call__(self, data: Any) -> Any:
        return data

    def __iter__(self) -> Iterator[Any]:
        return iter(())
