"""What every operator of a program has in common: its attributes, their checks, its errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from horizon.errors import InputError
from horizon.hbir.fixed_point import ACCUMULATOR_LIMIT, LIMITS, MULTIPLIER_LIMIT, SHIFT_RANGE

if TYPE_CHECKING:
    from horizon.hbir.graph import Node, TensorInfo

Shape = tuple[int, int, int, int]
NARROW = ("int8", "int16")
ARRAYS = {"int8 array": np.int8, "int32 array": np.int32, "int64 array": np.int64}


class Operator(ABC):
    """One operator: its form, its shape inference and its arithmetic. It has no state.

    Attributes:
        required, optional: names of attributes and their kinds: "int", "pair" (a tuple of two
            ints), "int8 array", "int32 array", "int64 array", "int or int64 array".
        input_types: the types that each input may have; the last entry holds for all further
            inputs.
        input_count: smallest and largest number of inputs.
    """

    required: ClassVar[Mapping[str, str]]
    optional: ClassVar[Mapping[str, str]] = {}
    input_types: ClassVar[tuple[tuple[str, ...], ...]]
    input_count: ClassVar[tuple[int, int]]

    @abstractmethod
    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        """Shape of the output, NHWC. Raises InputError where the inputs do not fit."""

    @abstractmethod
    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """The output for int64 inputs. Raises InputError if an accumulator overflows."""

    @abstractmethod
    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        """What is particular to the operator: sizes of arrays, proofs, types."""

    def resize(self, node: Node, scale_batch: Any) -> dict[str, Any]:
        """The attributes for another batch size; ``scale_batch`` converts a batch index."""
        return node.attributes

    def verify(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        """Everything that can be known of a node before it runs. Raises InputError."""
        low, high = self.input_count
        if not low <= len(inputs) <= high:
            raise problem(node, f"{len(inputs)} inputs", f"{low} to {high}")
        self._check_attributes(node)
        for index, info in enumerate(inputs):
            types = self.input_types[min(index, len(self.input_types) - 1)]
            if info.dtype not in types:
                raise problem(node, f"input {info.name} is {info.dtype}", " or ".join(types))
        shape = self.infer(node, inputs)
        if shape != output.shape:
            raise problem(node, f"output {output.name} has shape {output.shape}", f"{shape}")
        if "lo" in self.required:
            lo, hi = node.attributes["lo"], node.attributes["hi"]
            low, high = LIMITS[output.dtype]
            if not low <= lo <= hi <= high:
                raise problem(
                    node,
                    f"limits lo {lo}, hi {hi}",
                    f"{low} <= lo <= hi <= {high}, {output.dtype}",
                )
        self.check(node, inputs, output)

    def _check_attributes(self, node: Node) -> None:
        kinds = {**self.required, **self.optional}
        for name in self.required:
            if name not in node.attributes:
                raise problem(node, f"no attribute {name!r}", f"{sorted(self.required)}")
        for name, value in node.attributes.items():
            if name not in kinds:
                raise problem(node, f"attribute {name!r}", f"{sorted(kinds)}")
            if not _is_kind(value, kinds[name]):
                found = f"{value.dtype} array" if isinstance(value, np.ndarray) else repr(value)
                raise problem(node, f"attribute {name} is {found}", kinds[name])


def problem(node: Node, found: str, expected: str) -> InputError:
    """The error of a node: what was found there and what was expected."""
    return InputError(
        f"layer {node.name} ({node.op}): {found}; expected {expected}; "
        "convert the model again or correct the program"
    )


def _is_kind(value: Any, kind: str) -> bool:
    if kind == "int":
        return isinstance(value, int | np.integer) and not isinstance(value, bool)
    if kind == "pair":
        return (
            isinstance(value, tuple) and len(value) == 2 and all(_is_kind(v, "int") for v in value)
        )
    if kind == "int or int64 array":
        return _is_kind(value, "int") or _is_kind(value, "int64 array")
    return isinstance(value, np.ndarray) and value.dtype == ARRAYS[kind]


def check_multiplier(node: Node, name: str, channels: int) -> None:
    """A multiplier is in 0..2^24, one number or one per output channel."""
    _check_vector(node, name, channels)
    values = np.asarray(node.attributes[name])
    if values.size and (values.min() < 0 or values.max() > MULTIPLIER_LIMIT):
        raise problem(
            node, f"{name} has values {values.min()}..{values.max()}", f"0..2^24 = {2**24}"
        )


def check_shift(node: Node, name: str, channels: int, minus: int = 0) -> None:
    """A shift is in 1..47, also after ``minus`` fraction bits have been taken off."""
    _check_vector(node, name, channels)
    low, high = SHIFT_RANGE
    values = np.asarray(node.attributes[name])
    if values.size and (values.min() - minus < low or values.max() > high):
        bits = f" less {minus} fraction bits" if minus else ""
        raise problem(node, f"{name} {values.min()}..{values.max()}{bits}", f"{low}..{high}")


def _check_vector(node: Node, name: str, channels: int) -> None:
    value = node.attributes[name]
    if isinstance(value, np.ndarray) and value.shape != (channels,):
        raise problem(node, f"{name} has shape {value.shape}", f"({channels},), one per channel")


def checked_accumulator(node: Node, acc: np.ndarray) -> np.ndarray:
    """``acc`` as int64; InputError if a value reaches 2^28, whatever the proof said."""
    acc = acc.astype(np.int64, copy=False)
    if acc.size and max(int(acc.max()), -int(acc.min())) >= ACCUMULATOR_LIMIT:
        raise problem(node, f"accumulator {acc.min()}..{acc.max()}", "magnitude less than 2^28")
    return acc
