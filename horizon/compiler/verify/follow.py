"""Executes a program on tags instead of values, and checks that operands have the right ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from horizon.compiler.verify.geometry import OPCODES, Part, reads
from horizon.compiler.verify.parameters import Parameters
from horizon.compiler.verify.problem import Wrong, at
from horizon.compiler.verify.shadow import INSIDE, NOTHING, TORN, Shadow, fits, whole
from horizon.compiler.verify.tags import Quad, Tags
from horizon.errors import CompilerError
from horizon.hbir.graph import Graph
from horizon.hbm.records import DataType, Instruction, Opcode, Program, Space, View

# The compiler's claim of what each operand contains: (tensor, place of its first element).
Regions = Mapping[str, tuple[str, Quad] | None]
MOVES = (Opcode.load, Opcode.store, Opcode.copy)


class Follower:
    """Executes a program on tags instead of values."""

    def __init__(self, program: Program, graph: Graph) -> None:
        self._program, self._graph = program, graph
        self._tags = Tags(graph)
        self._shadow = Shadow(program, self._tags)
        self._parameters = Parameters(program, self._shadow)
        self._computed: set[str] = set()

    def follow(self, instruction: Instruction, regions: Regions) -> None:
        """One instruction. Raises Wrong."""
        if instruction.opcode in MOVES:
            self._move(instruction, regions)
        else:
            self._compute(instruction, regions)

    def finish(self, where: str) -> None:
        """After the last instruction: the outputs are complete, no layer was forgotten."""
        for index, tensor in enumerate(self._program.outputs):
            view = whole(tensor, Space.output, index)
            try:
                self._shadow.expect("out", view, tensor.name, (0, 0, 0, 0))
            except Wrong as wrong:
                raise CompilerError(
                    f"{where}: output {tensor.name} is incomplete at its end: {wrong}; this is a "
                    "fault of the compiler, report it"
                ) from None
        for node in self._graph.nodes:
            if node.op in OPCODES and node.name not in self._computed:
                raise CompilerError(
                    f"{where}: no instruction for layer {node.name} ({node.op}); expected at least "
                    "one; this is a fault of the compiler, report it"
                )

    def _move(self, instruction: Instruction, regions: Regions) -> None:
        a, out = instruction.a, instruction.out
        # A uint8 is the graph's integer + 128; a layer that reads it would compute wrong integers.
        if a.space is Space.input and out.dtype is DataType.uint8:
            raise Wrong(at("out", out), "uint8", "int8, which subtracts the zero point 128")
        tags = self._shadow.read(a)
        for bad in (NOTHING, INSIDE, TORN):
            if (tags == bad).any():
                place = np.unravel_index((tags == bad).argmax(), tags.shape)
                byte = a.offset + sum(i * s for i, s in zip(place, a.strides, strict=True))
                found = f"byte {int(byte)} holds {self._shadow.describe(bad)}"
                raise Wrong(at("a", a), found, "an element of the graph")
        if out.space is Space.output and (self._shadow.read(out) != NOTHING).any():
            raise Wrong(at("out", out), "it stores some elements again", "each stored once")
        self._shadow.move(out, tags)
        if a.space is Space.constant:
            return  # weights: compared with the layer's when they are used
        for name, view in (("a", a), ("out", out)):
            claim = regions.get(name)
            if claim is not None:
                self._check_claim(name, view, claim)

    def _compute(self, instruction: Instruction, regions: Regions) -> None:
        part = self._part(instruction, regions.get("out"))
        for name, start in reads(part).items():
            view = getattr(instruction, name)
            tensor = part.node.inputs[0 if name == "a" else 1]
            self._check_type(name, view, tensor)
            claim = regions.get(name)
            if claim is not None:
                known = claim[0] in self._graph.tensors
                if not known or not self._tags.same(*claim, tensor, start, view.shape):
                    raise Wrong(at(name, view), f"{claim} by its region", f"{(tensor, start)}")
            self._shadow.expect(name, view, tensor, start)
        self._parameters.check(part)
        self._shadow.write(instruction.out, part.node.output, part.start)
        self._computed.add(part.node.name)

    def _part(self, instruction: Instruction, claim: tuple[str, Quad] | None) -> Part:
        """Which part of which layer the instruction makes, from the region of its output."""
        where, shape = at("out", instruction.out), instruction.out.shape
        if claim is None or claim[0] not in self._graph.tensors:
            raise Wrong(where, f"region {claim}", "a tensor of the graph")
        name, start = claim
        if not self._tags.inside(name, start, shape):
            raise Wrong(where, f"region {claim} of {shape}", f"inside {self._tags.shapes[name]}")
        tensor, first = self._tags.origin(name, start)
        inside = self._tags.inside(tensor, first, shape)
        if not inside or not self._tags.same(name, start, tensor, first, shape):
            raise Wrong(where, f"region {claim} of {shape}", "the output of one layer")
        self._check_type("out", instruction.out, tensor)
        node = self._tags.producer[tensor]
        if node is None or instruction.opcode is not OPCODES[node.op]:
            made = "an input" if node is None else f"made by {node.op} {node.name}"
            raise Wrong(where, f"{tensor}, {made}", f"the output of a {instruction.opcode.name}")
        if node.name != instruction.layer:
            raise Wrong("layer", f"{instruction.layer}", f"{node.name}, which makes {tensor}")
        shapes = tuple(self._tags.shapes[source] for source in node.inputs)
        return Part(instruction, node, first, shapes)

    def _check_claim(self, name: str, view: View, claim: tuple[str, Quad]) -> None:
        if claim[0] not in self._graph.tensors:
            raise Wrong(at(name, view), f"region {claim}", "a tensor of the graph")
        self._check_type(name, view, claim[0])
        self._shadow.expect(name, view, *claim)

    def _check_type(self, name: str, view: View, tensor: str) -> None:
        dtype = self._graph.tensors[tensor].dtype
        if not fits(view, dtype):
            raise Wrong(at(name, view), f"{view.dtype.name}", f"{dtype}, the type of {tensor}")
