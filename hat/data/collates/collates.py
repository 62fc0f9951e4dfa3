"""From samples to batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from hat.data.transforms.sample import MASKS, UNKNOWN
from hat.errors import InputError


def collate_2d(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stack the tensors of samples with equal keys; everything else becomes a list.

    Tensors (C, H, W) become (B, C, H, W). Tensors that are views of (H, W, C) memory, as
    ``ToTensor`` makes them, are stacked in that order of memory (channels last): one straight copy
    instead of a transposition per sample.

    Masks that only some samples have, as in a mixture of data sets, are completed: ``gt_valid`` by
    ones, the others by 255, which says that nothing is known.

    Raises:
        InputError: no samples, different keys, different sizes (names the samples), or arrays that
            are not tensors yet.
    """
    if not samples:
        raise InputError("collate_2d: no samples")
    samples = _with_all_masks(samples)
    first = samples[0]
    for sample in samples[1:]:
        if sample.keys() != first.keys():
            raise InputError(
                f"collate_2d: {_name(first)} and {_name(sample)} differ in the keys "
                f"{sorted(first.keys() ^ sample.keys())}; every sample of a batch needs the same"
            )
    return {key: _collate(key, samples) for key in first}


class CollateBySize:
    """Collates the samples of each image size by themselves.

    Args:
        collate: collates samples of one size.
    """

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, samples: Sequence[Any]) -> Any:
        """A batch, or a list of batches where the images differ in size."""
        groups: dict[tuple[int, ...], list[Any]] = {}
        for sample in samples:
            image = sample.get("img") if isinstance(sample, dict) else None
            groups.setdefault(tuple(getattr(image, "shape", ())), []).append(sample)
        batches = [self.collate(group) for group in groups.values()]
        return batches[0] if len(batches) == 1 else batches


def _with_all_masks(samples: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """The samples that have a true flow, each with every mask that one of them has."""
    masks = [key for key in MASKS if any(key in sample for sample in samples)]
    if all(key in sample for key in masks for sample in samples):
        return samples
    completed = []
    for sample in samples:
        flow = sample.get("gt_flow")
        if isinstance(flow, torch.Tensor) and flow.ndim == 3:
            size = (1, *flow.shape[1:])
            missing = {
                key: torch.full(size, 1 if key == "gt_valid" else UNKNOWN, dtype=torch.uint8)
                for key in masks
                if key not in sample
            }
            sample = {**sample, **missing}
        completed.append(sample)
    return completed


def _collate(key: str, samples: Sequence[dict[str, Any]]) -> Any:
    values = [sample[key] for sample in samples]
    for sample, value in zip(samples, values, strict=True):
        if isinstance(value, np.ndarray):
            raise InputError(
                f"collate_2d: {key} of {_name(sample)} is a numpy array; "
                f"put ToTensor into the transforms of the data set"
            )
    if not isinstance(values[0], torch.Tensor):
        return values
    shape, kind = values[0].shape, values[0].dtype
    for sample, value in zip(samples, values, strict=True):
        if not isinstance(value, torch.Tensor) or value.shape != shape or value.dtype != kind:
            found = (
                f"{value.dtype} {tuple(value.shape)}"
                if isinstance(value, torch.Tensor)
                else type(value).__name__
            )
            raise InputError(
                f"collate_2d: {key} of {_name(samples[0])} is {kind} {tuple(shape)}, of "
                f"{_name(sample)} {found}; crop or resize to one size, or use batch_size=1"
            )
    # default_collate stacks into shared memory when it runs in a worker process
    if values[0].ndim == 3 and all(value.permute(1, 2, 0).is_contiguous() for value in values):
        return default_collate([value.permute(1, 2, 0) for value in values]).permute(0, 3, 1, 2)
    return default_collate(values)


def _name(sample: dict[str, Any]) -> str:
    return f"sample {sample.get('img_name', sample.get('img_id', '?'))}"
