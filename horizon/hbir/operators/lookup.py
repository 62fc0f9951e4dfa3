"""Lookup: any function of one int8 value, by a table of 256 entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from horizon.hbir.activations import ENTRIES, FIRST, activation_table, parse_activation
from horizon.hbir.activations_onnx import add_activation
from horizon.hbir.node import Node, Shape, TensorInfo
from horizon.hbir.operators.attributes import problem
from horizon.hbir.operators.operator import NARROW, Operator

if TYPE_CHECKING:
    from horizon.hbir.onnx_integer_export import IntegerExport
    from horizon.hbir.onnx_qdq_export import QdqExport


class Lookup(Operator):
    """``y = table[x + 128]``.

    The table alone says what is computed. ``function`` names the activation that it was made of
    (``horizon.hbir.activations``), for forms in real numbers.
    """

    name = "lookup"
    required: ClassVar[Mapping[str, str]] = {
        "function": "activation",
        "table": "int8 or int16 array",
    }
    input_types = (("int8",),)
    input_count = (1, 1)
    instruction = "lookup"
    typed_inputs = 1
    without_unit = "use nn.ReLU, fused with the convolution before it, or choose one of {others}"

    def infer(self, node: Node, inputs: Sequence[TensorInfo]) -> Shape:
        return inputs[0].shape

    def check(self, node: Node, inputs: Sequence[TensorInfo], output: TensorInfo) -> None:
        table = node.attributes["table"]
        parse_activation(node.attributes["function"])
        if table.shape != (ENTRIES,):
            raise problem(node, f"table has shape {table.shape}", f"({ENTRIES},)")
        if output.dtype not in NARROW:
            raise problem(node, f"output {output.dtype}", " or ".join(NARROW))
        if table.dtype != output.dtype:
            raise problem(node, f"table of {table.dtype}", f"the output's {output.dtype}")

    def run(self, node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
        found = node.attributes["table"][inputs[0] - FIRST]
        return np.asarray(found, np.int64)

    def entries(self, node: Node) -> np.ndarray | None:
        table: np.ndarray = node.attributes["table"]
        return table

    def is_identity(
        self, node: Node, source: TensorInfo, output: TensorInfo, low: int, high: int
    ) -> bool:
        kept = node.attributes["table"][low - FIRST : high - FIRST + 1]
        return source.dtype == output.dtype and bool((kept == np.arange(low, high + 1)).all())

    def pass_advice(self, node: Node) -> tuple[str, str] | None:
        found = "an activation by table: a pass over the tensor"
        return found, "nn.ReLU, nn.LeakyReLU or nn.PReLU, with which a convolution rounds"

    def integer_onnx(self, node: Node, export: IntegerExport) -> None:
        # The stored input is larger by 128: it is the number of the entry.
        builder, table = export.builder, node.attributes["table"].astype(np.int64)
        offset = export.offset(node.output)
        dtype = "uint8" if offset else "int16"
        entries = builder.constant(table + offset, dtype)
        places = builder.cast(export.stored(node.inputs[0]), "int32")
        builder.add("Gather", entries, places, output=export.stored(node.output), axis=0)

    def qdq_onnx(self, node: Node, export: QdqExport) -> None:
        (name,), builder = node.inputs, export.builder
        if self._is_function(node, export):
            real = add_activation(builder, node.attributes["function"], export.real(name))
        else:
            # A scale was multiplied by a number behind or before it.
            table = node.attributes["table"] * export.scales(node.output)
            offset = builder.constant(FIRST, "int32")
            places = builder.add("Sub", builder.cast(export.stored[name], "int32"), offset)
            real = builder.add("Gather", builder.constant(table, "float32"), places, axis=0)
        export.quantise(node.output, real)

    def _is_function(self, node: Node, export: QdqExport) -> bool:
        """Whether the table is the function's for the scales of the input and the output."""
        scales = [np.unique(export.scales(name)) for name in (*node.inputs, node.output)]
        if any(len(found) != 1 for found in scales):
            return False
        table = node.attributes["table"]
        made = activation_table(
            node.attributes["function"], *(float(found[0]) for found in scales), str(table.dtype)
        )
        return bool((made == table).all())
