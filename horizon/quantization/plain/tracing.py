"""A network's graph by torch.fx, with the shape of every value."""

from __future__ import annotations

import copy
import inspect
import operator
from typing import Any, ClassVar

import torch
from torch import Tensor, fx, nn

from horizon.errors import InputError
from horizon.quantization.examples import arguments_of, call_with
from horizon.quantization.plain.tracer import Tracer, recording_factories
from horizon.quantization.survey.source_line import line_of_error


class QuantisableModule(fx.GraphModule):
    """A traced network that is copied like any other module, hooks and qconfig included."""

    example: Any = None
    source_lines: ClassVar[dict[str, str]] = {}
    """The line of the network's source from which each node of the graph comes, by its name."""
    decided = False
    """Whether a condition on sizes was decided for the example."""

    def example_input(self) -> Any:
        """The example that the network was traced with."""
        return self.example

    def __deepcopy__(self, memo: dict[int, Any]) -> QuantisableModule:
        copied = QuantisableModule.__new__(QuantisableModule)
        memo[id(self)] = copied
        copied.__dict__ = copy.deepcopy(self.__dict__, memo)
        copied.recompile()
        return copied


class _Values(fx.Interpreter):
    """Runs a graph, and keeps what every node gives in ``node.meta["value"]``."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        n.meta["value"] = result
        return result


@torch.no_grad()
def traced(model: nn.Module, example: Any) -> QuantisableModule:
    """``model`` as a graph whose nodes have their values for ``example`` (``meta["value"]``).

    Args:
        model: in evaluation mode; its layers become those of the graph.
        example: see :func:`~horizon.quantization.examples.call_with`.

    Raises:
        InputError: what runs depends on the values of tensors.
    """
    call_with(model, example)  # what the network itself raises is for the user
    arguments = arguments_of(model, example)
    tracer = Tracer(copy.deepcopy(arguments))  # what the network changes in place stays
    try:
        with recording_factories(tracer):
            graph = tracer.trace(model, _defaults(model, len(arguments)))
        _forget_defaults(graph)
        module = QuantisableModule(model, graph, type(model).__name__)
        _Values(module).run(*arguments)
    except Exception as error:  # whatever the forward function does with a stand-in for a tensor
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        line = line_of_error(error)
        at = f", in {line}" if line and line not in reason else ""
        at += "".join(
            f"; name the arguments that it takes by {p}"
            for p in inspect.signature(model.forward).parameters.values()
            if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        )
        raise InputError(
            f"prepare: {type(model).__name__} has no QuantStub, and where it would need one cannot "
            f"be found, because its graph cannot be traced ({reason}{at}); expected a forward() "
            "whose steps depend on no tensor's values; send what enters the quantised part through "
            "a horizon.nn.QuantStub and what leaves it through a DeQuantStub"
        ) from error
    module.example = example
    module.decided = bool(tracer.decided)
    return module


def _defaults(model: nn.Module, given: int) -> dict[str, Any]:
    """Values of ``forward``'s arguments beyond the given ones, that branches may test."""
    parameters = list(inspect.signature(model.forward).parameters.values())
    return {
        p.name: p.default
        for p in parameters[given:]
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        and isinstance(p.default, bool | int | float | str | None)
    }


def _forget_defaults(graph: fx.Graph) -> None:
    """Take out the inputs that stand for such arguments, and what checks them."""
    fixed = {node for node in graph.nodes if node.op == "placeholder" and node.args}
    checks = [node for node in graph.nodes if fixed & set(node.all_input_nodes)]
    checks += [user for node in checks for user in node.users]
    for node in reversed(checks):
        if not node.users:
            graph.erase_node(node)
    for node in fixed:
        if not node.users:
            graph.erase_node(node)


def keep_lines(module: fx.GraphModule) -> None:
    """Keep the source lines of the nodes; a node that a pass has added has those it reads."""
    lines: dict[str, str] = {}
    for node in module.graph.nodes:
        own = node.meta.get("line") or ""
        before = (lines[x.name] for x in node.all_input_nodes if lines[x.name])
        lines[node.name] = own or next(before, "")
    setattr(module, "source_lines", lines)  # noqa: B010


def value_of(node: Any) -> Any:
    return node.meta.get("value") if isinstance(node, fx.Node) else None


def shape_of(node: Any) -> tuple[int, ...]:
    """Shape of the tensor that a node returns; empty for anything else."""
    value = value_of(node)
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def is_real(node: Any) -> bool:
    """Whether a node gives a tensor of real numbers."""
    value = value_of(node)
    return isinstance(value, Tensor) and value.is_floating_point()


def add_layer(module: fx.GraphModule, name: str, layer: nn.Module) -> str:
    """Give the graph's module a layer of this name, or one like it; returns the name."""
    name = name.replace(".", "_")
    taken = set(dict(module.named_children()))
    free = next(n for n in (name, *(f"{name}_{i}" for i in range(1, 10**6))) if n not in taken)
    module.add_submodule(free, layer.train(module.training))
    return free


def function_of(node: fx.Node) -> Any:
    """The function of torch or the method of its tensors that a node calls; None: it calls none."""
    if node.op == "call_function":
        return node.target
    return getattr(torch.Tensor, str(node.target), None) if node.op == "call_method" else None


def held_by(module: fx.GraphModule, node: Any) -> Any:
    """What a node takes from the module: a layer, a parameter or a buffer; None: it takes none."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    return operator.attrgetter(str(node.target))(module)


def layer_of(module: fx.GraphModule, node: Any) -> nn.Module | None:
    """The layer that a node calls; None: it calls none."""
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return None
    return module.get_submodule(str(node.target))
