"""Recording a converted model as a program graph."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from horizon.errors import InputError
from horizon.hbir import Graph, Node, TensorInfo, verify
from horizon.quantization.convert import example_input
from horizon.quantization.qtensor import QTensor
from horizon.quantization.quantized import QuantizedStub


class Tracer:
    """Takes a node for every operation on the quantised tensors that it has marked."""

    def __init__(self, input_names: Sequence[str]) -> None:
        self.input_names = list(input_names)
        self.tensors: dict[str, TensorInfo] = {}
        self.nodes: list[Node] = []
        self.inputs: list[str] = []
        self.outputs: list[str] = []

    def add_input(self, x: QTensor) -> QTensor:
        """Mark ``x`` as an input of the program."""
        index = len(self.inputs)
        name = self.input_names[index] if index < len(self.input_names) else f"input{index}"
        self.inputs.append(name)
        return self._mark(x, name)

    def record(
        self,
        op: str,
        layer: str,
        inputs: Sequence[QTensor],
        result: QTensor,
        attributes: dict[str, Any],
    ) -> QTensor:
        """Add the node that makes ``result``; names that repeat get a number."""
        if any(x.tracer is not self for x in inputs):
            raise InputError(
                f"{layer}: an input does not come from the program's inputs and cannot be recorded"
            )
        name = f"{layer}.slice" if op == "slice" else layer
        if name in self.tensors:
            name = self._numbered(name)
        names = tuple(x.name for x in inputs)
        self.nodes.append(Node(op, name, names, name, attributes))
        return self._mark(result, name)

    def add_output(self, x: QTensor) -> None:
        """Mark ``x`` as an output; a factor on the way to it has changed its scale only."""
        self.outputs.append(x.name)
        self._mark(x, x.name)

    def graph(
        self, name: str, output_names: Sequence[str], attributes: dict[str, str | int]
    ) -> Graph:
        """The recorded program, checked."""
        new = dict(zip(self.outputs, output_names, strict=False))
        for taken in set(new.values()) & set(self.tensors) - set(new) - set(self.inputs):
            # A layer inside that is called like an output.
            new[taken] = self._numbered(taken)
        tensors = {
            new.get(key, key): replace(info, name=new.get(key, key))
            for key, info in self.tensors.items()
        }
        nodes = tuple(
            replace(
                node,
                inputs=tuple(new.get(i, i) for i in node.inputs),
                output=new.get(node.output, node.output),
            )
            for node in self.nodes
        )
        outputs = tuple(new.get(o, o) for o in self.outputs)
        graph = Graph(name, tensors, nodes, tuple(self.inputs), outputs, attributes)
        verify(graph)
        return graph

    def _numbered(self, name: str) -> str:
        """``name`` with the first number that no tensor has yet."""
        numbers = itertools.count(1)
        return next(n for n in (f"{name}.{i}" for i in numbers) if n not in self.tensors)

    def _mark(self, x: QTensor, name: str) -> QTensor:
        images, channels, height, width = x.shape
        assert x.scale is not None
        scales = tuple(x.scale.double().flatten().tolist())
        self.tensors[name] = TensorInfo(
            name, (images, height, width, channels), f"int{x.bits}", scales
        )
        return replace(x, tracer=self, name=name)


@torch.no_grad()
def trace(
    model: nn.Module,
    example: Any = None,
    *,
    name: str = "model",
    input_names: Sequence[str] = ("img",),
    output_names: Sequence[str] = ("flow",),
) -> Graph:
    """Record one evaluation of a converted model.

    Args:
        model: of :func:`horizon.quantization.convert`.
        example: an input with one image (pair); default ``model.example_input()``.
        name: the program's name.
        input_names, output_names: of the program's inputs and outputs, in order.

    Returns:
        The program for the example's size; ``attributes["size_multiple"]`` is
        ``model.size_multiple`` where the model has that.

    Raises:
        InputError: a model that is not converted, or one that the checks of ``verify`` refuse.
    """
    stubs = [m for m in model.modules() if isinstance(m, QuantizedStub)]
    if not stubs:
        raise InputError("trace: the model has no converted QuantStub; call convert() first")
    example = example_input(model) if example is None else example
    tracer = Tracer(input_names)
    for stub in stubs:
        stub.tracer = tracer
    try:
        model.eval()
        model(example)
    finally:
        for stub in stubs:
            stub.tracer = None
    attributes: dict[str, str | int] = {}
    if hasattr(model, "size_multiple"):
        attributes["size_multiple"] = int(model.size_multiple)  # type: ignore[arg-type]
    return tracer.graph(name, output_names, attributes)
