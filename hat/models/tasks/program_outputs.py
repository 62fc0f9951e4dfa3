"""The outputs of an integer program in the form that its network gives.

A program ends with maps (N, C, H, W). What the network makes of them, flat scores, a softmax in
real numbers, a tuple or a dict, is the part of its graph behind the DeQuantStubs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor, fx
from torch.utils._pytree import tree_flatten_with_path

from horizon.hbir import Graph
from horizon.nn import DeQuantStub
from horizon.quantization import IntegerModel
from horizon.quantization.layers.converted import bits_of, scale_of
from horizon.quantization.layers.stubs import QATDeQuantStub
from horizon.quantization.qtensor import QTensor

SINGLE, NUMBERED = "output", "output{}"


class ProgramTask(IntegerModel):
    """An integer model that takes what a NetworkTask takes, and gives its network's outputs.

    Args:
        graph: the program.
        names: the network's inputs, in the order of its arguments.
        outputs: of :func:`outputs_of`.
    """

    def __init__(self, graph: Graph, names: Sequence[str], outputs: fx.GraphModule) -> None:
        super().__init__(graph)
        self.names = list(names)
        self.outputs = outputs

    def forward(self, data: Mapping[str, Any]) -> Any:  # type: ignore[override]
        """The outputs for a batch with the inputs by name."""
        return self.network_outputs(data, self.output_integers(self.input_integers(data)))

    def input_integers(self, data: Mapping[str, Any]) -> dict[str, Tensor]:
        """The program's inputs for a batch, by name."""
        stubs = zip(self.graph.inputs, self.stubs, strict=True)
        return {name: stub(data[name]).values for name, stub in stubs}

    def output_integers(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """The program's outputs (N, C, H, W), in their order."""
        found = self.integers(inputs)
        return list(found.values()) if isinstance(found, dict) else [found]

    def network_outputs(self, data: Mapping[str, Any], integers: Sequence[Tensor]) -> Any:
        """The network's outputs for a batch, of which ``integers`` are the program's outputs."""
        real = []
        for name, values in zip(self.graph.outputs, integers, strict=True):
            scales = scale_of(self.graph.tensors[name]).to(values.device)
            real.append(QTensor(values, scales, bits_of(self.graph.tensors[name])).dequantize())
        return self.outputs(*(data[name] for name in self.names), *real)


def named_outputs(outputs: Any) -> list[tuple[str, Any]]:
    """The tensors, or nodes, that a network gives, each with a name.

    That is its key in a dict, the key and its place (``boxes_0``) in a list of a dict, else its
    number; "output" where there is one alone.
    """
    leaves, _ = tree_flatten_with_path(outputs)
    if len(leaves) == 1:
        return [(SINGLE, leaves[0][1])]
    keys = [getattr(path[-1], "key", None) for path, _ in leaves]
    names = [key for key in keys if isinstance(key, str)]
    if len(set(names)) < len(leaves) and all(_in_dict(path) for path, _ in leaves):
        names = ["_".join(str(_place(part)) for part in path) for path, _ in leaves]
    if len(set(names)) < len(leaves):
        names = [NUMBERED.format(number) for number in range(len(leaves))]
    return [(name, leaf) for name, (_, leaf) in zip(names, leaves, strict=True)]


def _place(part: Any) -> Any:
    """The key or the number that leads to a part of nested dicts, lists and named tuples."""
    return next(getattr(part, name) for name in ("key", "idx", "name") if hasattr(part, name))


def _in_dict(path: Sequence[Any]) -> bool:
    return isinstance(getattr(path[0], "key", None), str)


def program_outputs(module: fx.GraphModule) -> list[tuple[str, fx.Node]]:
    """A name for each output of the program of a quantisable network, and the node that gives it.

    An output is named after the one of the network's that alone depends on it.
    """
    nodes = [node for node in module.graph.nodes if _is_end(module, node)]
    if len(nodes) == 1:
        return [(SINGLE, nodes[0])]
    owners: dict[fx.Node, list[str]] = {node: [] for node in nodes}
    for name, leaf in named_outputs(_result(module).args[0]):
        for node in _behind(leaf) & set(nodes):
            owners[node].append(name)
    names = [found[0] if len(found) == 1 else "" for found in owners.values()]
    if len(set(names)) < len(names) or "" in names:
        names = [NUMBERED.format(number) for number in range(len(nodes))]
    return list(zip(names, nodes, strict=True))


def outputs_of(module: fx.GraphModule) -> fx.GraphModule:
    """From a network's inputs and its program's outputs, as arguments, to its own outputs."""
    graph, copies = fx.Graph(), {}
    for node in module.graph.nodes:
        if node.op == "placeholder":
            copies[node] = graph.node_copy(node)
    ends = [node for _, node in program_outputs(module)]
    for number, node in enumerate(ends):
        copies[node] = graph.placeholder(f"program_{NUMBERED.format(number)}")
    result = _result(module)
    needed = _behind(result, copies)
    for node in module.graph.nodes:
        if node in needed and node not in copies:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(fx.map_arg(result.args[0], copies.__getitem__))
    return fx.GraphModule(module, graph)


def _result(module: fx.GraphModule) -> fx.Node:
    """The node that gives a network's outputs."""
    return next(node for node in module.graph.nodes if node.op == "output")


def _is_end(module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether numbers leave the quantised part here."""
    if node.op != "call_module":
        return False
    return isinstance(module.get_submodule(str(node.target)), DeQuantStub | QATDeQuantStub)


def _behind(node: Any, ends: Collection[fx.Node] = ()) -> set[fx.Node]:
    """``node`` and all nodes that it depends on, not looking behind ``ends``."""
    found: set[fx.Node] = set()
    todo = [node] if isinstance(node, fx.Node) else []
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo += [] if node in ends else node.all_input_nodes
    return found
