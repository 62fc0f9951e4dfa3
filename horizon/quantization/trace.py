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
from horizon.hbir.graph import ONE_SIZE, needed_nodes
from horizon.quantization.convert import example_input
from horizon.quantization.examples import call_with
from horizon.quantization.layers.rescale import IDENTITY
from horizon.quantization.layers.stubs import QuantizedStub
from horizon.quantization.qtensor import LIMITS, QTensor


class Tracer:
    """Takes a node for every operation on the quantised tensors that it has marked."""

    def __init__(self, input_names: Sequence[str]) -> None:
        self.input_names = list(input_names)
        self.tensors: dict[str, TensorInfo] = {}
        self.nodes: list[Node] = []
        self.inputs: list[str] = []
        self.outputs: list[QTensor] = []

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
        if any(x.recorder is not self for x in inputs):
            raise InputError(
                f"{layer}: an input does not come from the program's inputs and cannot be recorded"
            )
        name = self._numbered(layer) if layer in self.tensors else layer
        names = tuple(x.name for x in inputs)
        self.nodes.append(Node(op, name, names, name, attributes))
        return self._mark(result, name)

    def add_output(self, x: QTensor) -> None:
        """Mark ``x`` as an output."""
        self.outputs.append(x)

    def graph(
        self, name: str, output_names: Sequence[str], attributes: dict[str, str | int]
    ) -> Graph:
        """The recorded program, checked."""
        made = self._finished_outputs()
        self._leave_out_unread(made)
        names = [
            output_names[index] if index < len(output_names) else f"output{index}"
            for index in range(len(made))
        ]
        if len(made) < len(output_names) and len(output_names) > 1:
            raise InputError(
                f"trace: {len(output_names)} output names ({', '.join(output_names)}), and the "
                f"network has {len(made)} outputs; name each once"
            )
        if again := [name for name in names if names.count(name) > 1]:
            raise InputError(
                f"trace: several outputs are called {again[0]!r}; give each a name of its own"
            )
        new = dict(zip(made, names, strict=True))
        for taken in set(new.values()) & set(self.tensors) - set(new):
            if taken in self.inputs:
                raise InputError(
                    f"trace: an input and an output are both called {taken!r}; give them names of "
                    "their own"
                )
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
        graph = Graph(name, tensors, nodes, tuple(self.inputs), tuple(names), attributes)
        verify(graph)
        return graph

    def _finished_outputs(self) -> list[str]:
        """The outputs' tensors, one for each.

        A factor on the way to an output has changed its scale only. Where its integers are an
        input, another output, or read by a layer under another scale, the output is a copy.
        """
        read = {name for node in self.nodes for name in node.inputs}
        made: list[str] = []
        for x in self.outputs:
            assert x.scale is not None
            scales = tuple(x.scale.double().flatten().tolist())
            other = x.name in read and scales != self.tensors[x.name].scales
            if x.name in self.inputs or x.name in made or other:
                multiplier, shift = IDENTITY
                low, high = LIMITS[x.bits]
                limits = {"lo": low, "hi": high}
                copy = {"multiplier": multiplier, "shift": shift, **limits}
                x = self.record("rescale", f"{x.name}.output", [x], x, copy)
            self._mark(x, x.name)
            made.append(x.name)
        return made

    def _leave_out_unread(self, outputs: Sequence[str]) -> None:
        """Drop the nodes that no output needs, such as a movement that the next one undoes."""
        made = [node.output for node in self.nodes]
        self.nodes = needed_nodes(self.nodes, outputs)
        for name in set(made) - {node.output for node in self.nodes}:
            del self.tensors[name]

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
        return replace(x, recorder=self, name=name)


@torch.no_grad()
def trace(
    model: nn.Module,
    example: Any = None,
    *,
    name: str = "model",
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> Graph:
    """Record one evaluation of a converted model.

    Args:
        model: of :func:`horizon.quantization.convert`.
        example: an input with one image (pair); default ``model.example_input()``.
        name: the program's name.
        input_names, output_names: of the program's inputs and outputs, in the order in which the
            network reaches their stubs; default "img" and "flow" where there is one, otherwise
            "input0", "input1", ... and "output0", "output1", ...

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
    if input_names is None:
        input_names = ("img",) if _count_inputs(model, stubs, example) == 1 else ()
    tracer = Tracer(input_names)
    for stub in stubs:
        stub.recorder = tracer
    try:
        model.eval()
        call_with(model, example)
    finally:
        for stub in stubs:
            stub.recorder = None
    attributes: dict[str, str | int] = {}
    if hasattr(model, "size_multiple"):
        attributes["size_multiple"] = int(model.size_multiple)  # type: ignore[arg-type]
    if getattr(model, ONE_SIZE, False):
        attributes[ONE_SIZE] = 1
    if not tracer.inputs or not tracer.outputs:
        raise InputError(
            "trace: the example reached no QuantStub or no DeQuantStub; hand one that the whole "
            "network runs on"
        )
    if output_names is None:
        output_names = ("flow",) if len(tracer.outputs) == 1 else ()
    return tracer.graph(name, output_names, attributes)


def _count_inputs(model: nn.Module, stubs: Sequence[nn.Module], example: Any) -> int:
    """How many inputs an evaluation of ``example`` quantises."""
    calls: list[nn.Module] = []
    handles = [stub.register_forward_hook(lambda m, *_: calls.append(m)) for stub in stubs]
    try:
        model.eval()
        call_with(model, example)
    finally:
        for handle in handles:
            handle.remove()
    return len(calls)
