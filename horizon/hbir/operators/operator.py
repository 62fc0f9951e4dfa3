"""What an operator of a program is: everything that the tool chain asks of one, in one class.

The graph, the exports, the checker, the compiler and the tools ask an operator's definition and
know no operator by its name. What stands a second time, independently, are the guards: the
compiler's verifier, the rules of a file, the kernels (``docs/adding_an_operator.md``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import (
    check_attributes,
    check_limits,
    check_slopes,
    problem,
)
from horizon.isa.instructions import INSTRUCTIONS, Opcode

if TYPE_CHECKING:
    from horizon.hbir.onnx_integer_export import IntegerExport
    from horizon.hbir.onnx_qdq_export import QdqExport

T = TypeVar("T", int, np.ndarray)
Pair = tuple[int, int]
NARROW = ("int8", "int16")
ANY = ("int8", "int16", "int32")
MAP_LIMITS = ("height", "width", "pixels")


class Moves(Enum):
    """How an operator without arithmetic renames elements: it needs no instruction of its own."""

    JOIN = "each input is a part of the output"
    CUT = "the output is a part of the input"


class Products(Enum):
    """What an operator multiplies its first input by, and adds up."""

    WEIGHTS = "constants, the same for all pixels"
    PAIRS = "its second input, pixel by pixel"
    MATRIX = "its second input, all of it for each pixel"


class Operator(ABC):
    """One operator. It has no state.

    Attributes:
        name: in programs and in their text.
        required, optional: names of attributes and their kinds: "int", "pair" (a tuple of two
            ints), "int8 array", "int8 or int16 array", "int32 array", "int64 array", "int or int64
            array", "activation" (its text). With "lo" and "hi" the output is clamped to these.
        input_types: the types that each input may have; the last entry holds for all further
            inputs.
        input_count: smallest and largest number of inputs.
        instruction: name of the opcode that computes it; its operands "a" and "b" are the first
            and the second input. None where it only moves integers.
        moves: how it moves them.
        products: what it multiplies by; None where it does not add up products.
        columns: of the instruction's channel table, with the attribute that each is.
        entry_per_channel: whether a table of several entries has one for each output channel.
        slopes: the attributes that are multipliers, each with the attribute that takes its place
            where the sum is negative. These are optional; with them there are two slopes.
        cuts_channels: whether parts of the output's channels can be computed by themselves.
        cuts_map: whether parts of its rows and columns can.
        limits: what machines may limit (:meth:`limit_values`), besides the types of inputs.
        typed_inputs: so many inputs, from the first, have types that machines may limit.
        without_unit: what to do where a machine lacks the unit; ``{others}`` are machines with it.
        kernel_remedy: instead of a kernel above a machine's ``{limit}``; ``{count}`` of that size
            see as far.
        whole_note: why its smallest tile is large, for a message; may be empty.
        qdq_opset: the oldest version of ONNX's operators that :meth:`qdq_onnx` can do with.
    """

    name: ClassVar[str]
    required: ClassVar[Mapping[str, str]]
    optional: ClassVar[Mapping[str, str]] = {}
    input_types: ClassVar[tuple[tuple[str, ...], ...]]
    input_count: ClassVar[tuple[int, int]]
    instruction: ClassVar[str | None]
    moves: ClassVar[Moves | None] = None
    products: ClassVar[Products | None] = None
    columns: ClassVar[Mapping[str, str]] = {}
    entry_per_channel: ClassVar[bool] = True
    slopes: ClassVar[Mapping[str, str]] = {}
    cuts_channels: ClassVar[bool] = True
    cuts_map: ClassVar[bool] = True
    limits: ClassVar[tuple[str, ...]] = ("input_channels", *MAP_LIMITS)
    typed_inputs: ClassVar[int] = 2
    without_unit: ClassVar[str] = "choose a machine that has it ({others})"
    kernel_remedy: ClassVar[str] = (
        "{count} convolutions of at most {limit}x{limit}, one after the other, see as far"
    )
    whole_note: ClassVar[str] = ""
    qdq_opset: ClassVar[int] = 20

    # What it computes.

    @abstractmethod
    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        """Shape of the output, NHWC. Raises InputError where the inputs do not fit."""

    @abstractmethod
    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """The output for int64 inputs. Raises InputError if an accumulator overflows."""

    @abstractmethod
    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        """Check what is particular to the operator: sizes of arrays, proofs, types."""

    def resize(self, node: Node, scale_batch: Callable[[int], int]) -> dict[str, Any]:
        """The attributes for another batch size; ``scale_batch`` converts a batch index."""
        return node.attributes

    def fixed_axis(self, node: Node) -> int | None:
        """The axis along which inputs of another size would mean nothing to the node."""
        return None

    def verify(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        """Everything that can be known of a node before it runs. Raises InputError."""
        low, high = self.input_count
        if not low <= len(inputs) <= high:
            raise problem(node, f"{len(inputs)} inputs", f"{low} to {high}")
        check_attributes(node, self.required, self.optional)
        for index, info in enumerate(inputs):
            types = self.input_types[min(index, len(self.input_types) - 1)]
            if info.dtype not in types:
                raise problem(node, f"input {info.name} is {info.dtype}", " or ".join(types))
        shape = self.infer(node, inputs)
        if shape != output.shape:
            raise problem(node, f"output {output.name} has shape {output.shape}", f"{shape}")
        if "lo" in self.required:
            check_limits(node, output)
        check_slopes(node, self.slopes, shape[3])
        self.check(node, inputs, output)

    # What its instruction needs.

    @property
    def unit(self) -> str | None:
        """The unit of a machine that carries it out; None where it only moves integers."""
        name = self.instruction
        return None if name is None else INSTRUCTIONS[Opcode[name]].unit.name

    @property
    def weighted(self) -> bool:
        """Whether it has weights, which an instruction reads as an operand of its own."""
        return "weight" in self.required

    def two_slopes(self, node: Node) -> bool:
        """Whether negative sums have multipliers of their own."""
        return any(below in node.attributes for below in self.slopes.values())

    def below(self, node: Node) -> list[Any] | None:
        """The multipliers where the sum is negative, of each summand; None with one slope."""
        values = node.attributes
        if not self.two_slopes(node):
            return None
        return [values[below] for above, below in self.slopes.items() if above in values]

    def window(
        self, node: Node, shapes: Sequence[Shape], operand: int, axis: int, out: tuple[T, T]
    ) -> tuple[T, T] | None:
        """The part of an input that a part of the output needs, along one axis.

        Args:
            shapes: of the inputs, as a whole.
            operand: number of the input.
            axis: of N, H, W, C.
            out: start and stop in the output, or arrays of them.

        Returns:
            Start and stop in the input, of which some may lie outside; None for all of it.
        """
        return out

    def fields(
        self, node: Node, shapes: Sequence[Shape], out: Shape, starts: Sequence[Shape]
    ) -> dict[str, Any]:
        """The instruction's fields, besides limits, table and weights, for a part of the output.

        Args:
            shapes: of the inputs, as a whole.
            out: (n, y, x, c) where the part begins in the output.
            starts: where the operands' parts begin in the inputs.
        """
        return {}

    def table(self, node: Node, shapes: Sequence[Shape]) -> dict[str, Any]:
        """The columns of the channel table: numbers, or (C,) each; empty without a table."""
        values = node.attributes
        return {column: values[key] for column, key in self.columns.items() if key in values}

    def entries(self, node: Node) -> np.ndarray | None:
        """The table that results are looked up in, in the place of a channel table."""
        return None

    # What it costs.

    def taps(self, node: Node) -> float:
        """Products of one output element for each channel that it reads, on average; 0 if none."""
        return 0.0

    def channels_read(self, node: Node, shapes: Sequence[Shape]) -> int:
        """Channels of the first input that one output element's products read."""
        return shapes[0][3]

    def macs(self, node: Node, shapes: Sequence[Shape], output: Shape) -> int:
        """Multiply-accumulates, those on the padding included; 0 where it adds up no products."""
        return 0

    def limit_values(
        self, node: Node, shapes: Sequence[Shape], output: Shape
    ) -> dict[str, tuple[int, str]]:
        """The values that machines may limit, by name: a number, and its text for messages."""
        _, height, width, channels = shapes[0]
        return {
            "input_channels": (channels, f"{channels:,}"),
            "output_channels": (output[3], f"{output[3]:,}"),
            "height": (height, f"{height:,}"),
            "width": (width, f"{width:,}"),
            "pixels": (height * width, f"{height * width:,} ({height}x{width})"),
        }

    # What can be left out.

    def folded(self, node: Node) -> Node:
        """The node, simplified by what follows from its constants alone."""
        return node

    def is_identity(
        self, node: Node, source: TensorInfo, output: TensorInfo, low: int, high: int
    ) -> bool:
        """Whether the output is the first input, whose integers are in low..high."""
        return False

    def only_clamps(self, node: Node) -> bool:
        """Whether it does nothing but limit its only input to lo..hi."""
        return False

    def only_pads(self, node: Node) -> tuple[Pair, Pair] | None:
        """The zeros (above, left) and (below, right) of a node that adds nothing but these."""
        return None

    def padded(self, node: Node, begin: Pair, end: Pair) -> Node | None:
        """The node for an input without these zeros around it; None where it cannot add them."""
        return None

    def pass_advice(self, node: Node) -> tuple[str, str] | None:
        """If the node is a pass over tensors that could be saved: what it is, and what helps."""
        return None

    # How others write it.

    @abstractmethod
    def integer_onnx(self, node: Node, export: IntegerExport) -> None:
        """Append its exact form in integer operators of ONNX."""

    @abstractmethod
    def qdq_onnx(self, node: Node, export: QdqExport) -> None:
        """Append its form in ONNX operators on dequantised tensors."""
