"""What users hand over as images, as arrays of one form."""

from __future__ import annotations

from typing import Any

import numpy as np

from horizon.errors import InputError

PILLOW_MODES = ("RGB", "L")
CHANNELS = (1, 3)
FORMS = "uint8 (H, W, 3), grey (H, W), or a batch (N, H, W, 3)"


def image_batch(image: Any, name: str) -> tuple[np.ndarray, bool]:
    """One image or a batch of them.

    Args:
        image: a numpy array, what numpy takes for one (a Pillow image), or a torch tensor, with its
            channels last or first.
        name: of the argument, for messages.

    Returns:
        uint8 (N, H, W, 3) or (N, H, W), and whether a batch was given.

    Raises:
        InputError: another type, another shape, no pixels, a tensor whose channels may be its first
            or its last side.
    """
    if isinstance(image, str | bytes) or hasattr(image, "__fspath__"):
        raise InputError(
            f"{name}: found the path {image!r}, expected an image, {FORMS}; read it first, for "
            "instance with cv2.imread and channels='BGR'"
        )
    if image is None:
        raise InputError(
            f"{name}: found None, expected an image, {FORMS}; cv2.imread gives None for a file "
            "that it cannot read"
        )
    mode = getattr(image, "mode", None)
    if isinstance(mode, str) and mode not in PILLOW_MODES:
        raise InputError(
            f"{name}: found a Pillow image of mode {mode}, expected RGB or L; convert it: "
            "image.convert('RGB')"
        )
    tensor = hasattr(image, "detach") and hasattr(image, "cpu")
    if tensor:
        try:
            array = _channels_last(image.detach().cpu().numpy(), name)
        except (NotImplementedError, RuntimeError, TypeError) as error:
            raise InputError(
                f"{name}: found a tensor whose values numpy cannot have ({error}); expected {FORMS}"
            ) from error
    else:
        try:
            array = np.asarray(image)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{name}: found a {type(image).__name__} that is no array ({error}); expected "
                f"{FORMS}"
            ) from error
    if array.dtype != np.uint8:
        raise InputError(
            f"{name}: found {array.dtype} values, expected uint8; {_remedy(array, tensor)}"
        )
    if array.ndim in (3, 4) and array.shape[-1] == 1:
        array = array[..., 0]
        batch = array.ndim == 3
    else:
        batch = array.ndim == 4
        if array.ndim not in (2, 3, 4) or (array.ndim > 2 and array.shape[-1] != 3):
            raise InputError(f"{name}: found shape {array.shape}, expected {FORMS}{_hint(array)}")
    if array.size == 0:
        raise InputError(
            f"{name}: found shape {array.shape}, which has no pixels; expected {FORMS}"
        )
    return (array if batch else array[None]), batch


def one_image(image: Any, name: str) -> np.ndarray:
    """One image, uint8 (H, W, 3) or (H, W); arguments and errors as of :func:`image_batch`."""
    images, batch = image_batch(image, name)
    if batch:
        raise InputError(f"{name}: found a batch; hand over one image at a time")
    return images[0]


def _channels_last(array: np.ndarray, name: str) -> np.ndarray:
    """A tensor's array with its channels last: torch has them first."""
    if array.ndim not in (3, 4) or array.shape[-3] not in CHANNELS:
        return array
    if array.shape[-1] in CHANNELS:
        raise InputError(
            f"{name}: found a tensor of shape {array.shape}, whose channels may be the first or "
            "the last side; hand over a numpy array, whose channels are last: image.cpu().numpy(), "
            "or image.cpu().movedim(-3, -1).numpy() if they are first"
        )
    return np.moveaxis(array, -3, -1)


def _remedy(array: np.ndarray, tensor: bool) -> str:
    if tensor and array.dtype.kind == "f":
        return (
            "convert it: (255 * image).round().byte() if its values are in 0..1, "
            "image.round().byte() if they are in 0..255"
        )
    if tensor:
        return "convert values in 0..255 with image.byte()"
    if array.dtype.kind == "f":
        return (
            "convert it: (255 * image).round().astype(numpy.uint8) if its values are in 0..1, "
            "image.round().astype(numpy.uint8) if they are in 0..255"
        )
    if array.dtype == np.uint16:
        return "convert it: (image >> 8).astype(numpy.uint8)"
    if array.dtype == bool:
        return "convert it: 255 * image.astype(numpy.uint8)"
    if array.dtype.kind in "iu":
        return "convert values in 0..255 with image.astype(numpy.uint8)"
    return "hand over an array of pixels"


def _hint(array: np.ndarray) -> str:
    if array.ndim in (3, 4) and array.shape[-1] == 4:
        return "; leave the alpha channel out: image[..., :3]"
    if array.ndim in (3, 4) and array.shape[-3] == 3:
        return "; put the channels last: numpy.moveaxis(image, -3, -1)"
    if array.ndim == 3:
        return "; a batch of grey images has a last side of 1: images[..., None]"
    return ""
