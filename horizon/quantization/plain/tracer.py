"""The tracer of plain networks: torch.fx, with what networks do that sample by a grid.

torch.fx alone stops at a tensor made of a size (``torch.arange(x.shape[3])``), at an assignment to
a part of a tensor, and at a condition. Here the first two become nodes, and a condition on sizes,
devices or types is decided for the example, as is what ``int`` and ``float`` make of a size.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import Attribute

from horizon.errors import InputError
from horizon.quantization.layers import prepared_form
from horizon.quantization.survey.source_line import line_of_caller

MAKERS = ("arange", "linspace", "zeros", "ones", "full", "empty", "tensor", "as_tensor", "eye")
"""Functions of torch that make tensors of numbers, and that torch.fx does not see."""
COMPARISONS = (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)


def with_part(x: Tensor, index: Any, value: Any) -> Tensor:
    """A copy of ``x`` after ``x[index] = value``."""
    if not isinstance(x, Tensor):
        raise InputError(
            "an assignment to a part of a quantised tensor has no fixed-point form; join its parts "
            "by torch.cat instead"
        )
    x = x.clone()
    x[index] = value
    return x


class _Proxy(fx.Proxy):
    """A stand-in that can be assigned to in part, and that knows what it is without tensors."""

    tracer: Tracer

    def __getattr__(self, name: str) -> _Attribute:
        return _Attribute(self, name)

    def __setitem__(self, index: Any, value: Any) -> None:
        made = self.tracer.create_proxy("call_function", with_part, (self, index, value), {})
        self.node = made.node

    def __int__(self) -> int:
        return int(self.tracer.decide(self))

    def __float__(self) -> float:
        return float(self.tracer.decide(self))

    def __index__(self) -> int:
        return operator.index(self.tracer.decide(self))

    def __str__(self) -> str:
        """Of a size, what the network itself sees: it may be the key under which it keeps grids."""
        value = self.tracer.value(self.node)
        return repr(self) if _holds_tensors(value) else str(value)


class _Attribute(Attribute, _Proxy):
    """An attribute of a stand-in, as a size is."""

    tracer: Tracer


class Tracer(fx.Tracer):
    """Layers of torch and those that have a fixed-point form are not looked into.

    Attributes:
        decided: the nodes whose value is that of the example, as a condition or as a number that
            is no node, and that could be another for images of another size.
    """

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        super().__init__()
        self.arguments = arguments
        self.decided: list[fx.Node] = []
        self._values: dict[fx.Node, Any] = {}
        self._plain = {name: getattr(nn.Module, name) for name in ("__call__", "__getattr__")}

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        makers = {name: _seen(getattr(torch, name)) for name in MAKERS}
        with _replaced(torch, makers):
            return super().trace(root, concrete_args)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return prepared_form(m) is not None or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta["line"] = line_of_caller()
        return node

    def to_bool(self, obj: fx.Proxy) -> bool:
        return bool(self.decide(obj))

    def decide(self, obj: fx.Proxy) -> Any:
        """A number or a condition, as it is for the example; torch's error for those of tensors."""
        value = self.value(obj.node)
        if _holds_tensors(value):
            return super().to_bool(obj)
        if not _is_guard(obj.node):
            self.decided.append(obj.node)
        return value

    @torch.no_grad()
    def value(self, node: fx.Node) -> Any:
        """What ``node`` gives for the example."""
        with _replaced(nn.Module, self._plain):  # layers run, and are not traced
            for each in ancestors(node):
                if each not in self._values:
                    self._values[each] = self._evaluated(each)
        return self._values[node]

    def _evaluated(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            inputs = [n for n in node.graph.nodes if n.op == "placeholder"]
            given = inputs.index(node)
            value = self.arguments[given] if given < len(self.arguments) else node.args[0]
            return value.clone() if isinstance(value, Tensor) else value
        if node.op == "get_attr":
            return operator.attrgetter(str(node.target))(self.root)
        args, kwargs = fx.map_arg((node.args, node.kwargs), self._values.__getitem__)
        return carried_out(self.root, node, args, kwargs)


def carried_out(root: nn.Module, node: fx.Node, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """The result of a call with these arguments."""
    if node.op == "call_module":
        return root.get_submodule(str(node.target))(*args, **kwargs)
    if node.op == "call_method":
        own, *rest = args
        return getattr(own, str(node.target))(*rest, **kwargs)
    assert callable(node.target)
    return node.target(*args, **kwargs)


def ancestors(node: fx.Node, ends: Any = ()) -> list[fx.Node]:
    """``node`` and what it depends on, in the graph's order; nothing before one of ``ends``."""
    found, waiting = {node}, [node]
    while waiting:
        at = waiting.pop()
        if at not in ends:
            new = [source for source in at.all_input_nodes if source not in found]
            found.update(new)
            waiting += new
    return [each for each in node.graph.nodes if each in found]


def _holds_tensors(value: Any) -> bool:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return any(map(_holds_tensors, value))
    return isinstance(value, Tensor)


def _is_guard(node: fx.Node) -> bool:
    """Whether a condition is for the smallest maps alone, as that of ``max(width - 1, 1)``, or asks
    for no size, as ``x.is_cuda`` does.
    """
    sizes = [n for n in ancestors(node) if n.target in ("size", "numel") or "shape" in n.args]
    small = any(isinstance(x, int | float) and x in (0, 1) for x in node.args)
    return not sizes or (node.target in COMPARISONS and small)


@contextmanager
def _replaced(owner: Any, attributes: Mapping[str, Any]) -> Iterator[None]:
    """Within the block, ``owner`` has these attributes instead of its own."""
    originals = {name: getattr(owner, name) for name in attributes}
    for name, value in attributes.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in originals.items():
            setattr(owner, name, value)


def _seen(function: Any) -> Any:
    def maker(*args: Any, **kwargs: Any) -> Any:
        proxies: list[fx.Proxy] = []
        fx.node.map_aggregate(
            (args, kwargs), lambda x: proxies.append(x) if isinstance(x, fx.Proxy) else None
        )
        if not proxies:
            return function(*args, **kwargs)
        return proxies[0].tracer.create_proxy("call_function", function, args, kwargs)

    return maker
