"""Batches with names, of any data set's samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_map
from torch.utils.data import default_collate

from hat.errors import InputError


class NamedCollate:
    """Samples to a batch that is a dict.

    Args:
        names: of the parts of a sample that is a tuple, as the data sets of torchvision give it.
            A sample that is a dict has names of its own.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    def __call__(self, samples: Sequence[Any]) -> dict[str, Any]:
        """Stack what has the same name along a new first axis.

        float64, which arrays of numpy have by default, becomes float32, as networks compute.

        Raises:
            InputError: a sample with another number of parts, or parts that cannot be stacked.
        """
        named = [self._named(sample) for sample in samples]
        try:
            return dict(tree_map(_single, default_collate(named)))
        except (RuntimeError, TypeError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"the samples of the data set make no batch: {reason}; expected tensors, arrays "
                "or numbers, of one shape under each name"
            ) from error

    def _named(self, sample: Any) -> Mapping[str, Any]:
        if isinstance(sample, Mapping):
            return sample
        if not isinstance(sample, list | tuple) or len(sample) != len(self.names):
            found = f"{len(sample)} parts" if isinstance(sample, list | tuple) else type(sample)
            raise InputError(
                f"a sample of the data set has {found}; expected {len(self.names)}: "
                f"{', '.join(self.names)} (deploy_inputs, then targets), or a dict with these keys"
            )
        return dict(zip(self.names, sample, strict=True))


def _single(value: Any) -> Any:
    """float32 of float64, anything else as it is."""
    is_double = isinstance(value, torch.Tensor) and value.dtype == torch.float64
    return value.float() if is_double else value
