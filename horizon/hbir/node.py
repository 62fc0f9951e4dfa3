"""The parts of a program: its tensors, and the nodes that make them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a program.

    Attributes:
        shape: (N, H, W, C).
        dtype: "int8", "int16" or "int32".
        scales: one number, or one per channel; real value = integer * scale. They describe the
            tensor, no arithmetic of a program reads them.
    """

    name: str
    shape: Shape
    dtype: str
    scales: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Node:
    """One operation of a program.

    Attributes:
        op: a name of ``horizon.hbir.operators.OPERATORS``.
        name: the layer's name, unique in the program.
        inputs, output: names of tensors.
        attributes: ints, tuples of ints and numpy arrays of ints; each operator says which.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        own = (self.op, self.name, self.inputs, self.output)
        return own == (other.op, other.name, other.inputs, other.output) and _equal_attributes(
            self.attributes, other.attributes
        )


def _equal_attributes(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    if a.keys() != b.keys():
        return False
    for name, value in a.items():
        other = b[name]
        if isinstance(value, np.ndarray) != isinstance(other, np.ndarray):
            return False
        if isinstance(value, np.ndarray):
            if value.dtype != other.dtype or not np.array_equal(value, other):
                return False
        elif value != other:
            return False
    return True
