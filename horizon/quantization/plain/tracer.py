"""Traces a network by torch.fx, with the values that its example gives.

A stand-in for what is no tensor of real numbers (a size, a type, the number of parts of a chunk)
may be asked for its value: branches, loops and ranges follow what the example leads to. Branches
on the values of tensors cannot be followed. An assignment to a part of a tensor becomes a node that
gives a changed copy.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import Attribute
from torch.utils._pytree import tree_leaves

from horizon.errors import InputError
from horizon.quantization.fuse import CONVOLUTIONS
from horizon.quantization.layers import prepared_form
from horizon.quantization.layers.conv_geometry import computes_more
from horizon.quantization.survey.source_line import line_of_caller

COMPARISONS = (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)
MAKERS = ("zeros", "ones", "full", "tensor", "as_tensor", "arange", "linspace", "eye")
"""Functions of torch that make constant tensors of sizes."""
SIZED = ("expand", "repeat", "tile", "view", "reshape")
"""Methods of tensors that take sizes one by one."""
UNKNOWN = object()


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


class Tracer(fx.Tracer):
    """Layers of torch and those that have a fixed-point form are not looked into.

    Args:
        example: the arguments of the network, in their order.

    Attributes:
        decided: the nodes whose value is that of the example, as a condition or as a number that
            is no node, and that could be another for images of another size.
    """

    def __init__(self, example: tuple[Any, ...]) -> None:
        super().__init__()
        self.given = list(example)
        self.values: dict[fx.Node, Any] = {}
        self.decided: list[fx.Node] = []
        self.computing = False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, CONVOLUTIONS) and computes_more(m):
            return False
        return prepared_form(m) is not None or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if self.computing:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if self.computing:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta["line"] = line_of_caller()
        self.values[node] = self._value(node)
        return node

    def to_bool(self, obj: fx.Proxy) -> bool:
        value = self.values[obj.node]
        if value is UNKNOWN or holds_tensors(value):
            return super().to_bool(obj)
        self.decide(obj.node)
        return bool(value)

    def decide(self, node: fx.Node) -> None:
        """What follows is for the value of ``node`` alone."""
        if not _is_guard(node):
            self.decided.append(node)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        value = self.values[obj.node]
        if not isinstance(value, list | tuple):
            return super().iter(obj)
        return iter([obj[i] for i in range(len(value))])  # type: ignore[index]

    def _value(self, node: fx.Node) -> Any:
        """What a node gives for the example; ``UNKNOWN`` where that cannot be said."""
        if node.op == "placeholder":
            return self.given.pop(0) if self.given else UNKNOWN
        if node.op == "output" or any(self.values[x] is UNKNOWN for x in node.all_input_nodes):
            return UNKNOWN
        args, kwargs = fx.map_arg((node.args, node.kwargs), self.values.__getitem__)
        self.computing = True
        try:
            if node.op == "get_attr":
                return operator.attrgetter(str(node.target))(self.root)
            return carried_out(self.root, node, args, kwargs)
        finally:
            self.computing = False


class _Answers(fx.Proxy):
    """A stand-in that can be asked for numbers."""

    def __getattr__(self, k: str) -> Any:
        return _AttributeOf(self, k)

    def __len__(self) -> int:
        value = self._number_or(list | tuple | dict)
        return len(value)

    def __index__(self) -> int:
        return int(self._number_or(int))

    def __int__(self) -> int:
        return int(self._number_or(int | float))

    def __float__(self) -> float:
        return float(self._number_or(int | float))

    def __iadd__(self, other: Any) -> Any:
        return self._changed(operator.iadd, operator.add, other)

    def __isub__(self, other: Any) -> Any:
        return self._changed(operator.isub, operator.sub, other)

    def __imul__(self, other: Any) -> Any:
        return self._changed(operator.imul, operator.mul, other)

    def __itruediv__(self, other: Any) -> Any:
        return self._changed(operator.itruediv, operator.truediv, other)

    def _changed(self, in_place: Any, otherwise: Any, other: Any) -> Any:
        """``self`` after ``+=`` and the like, which change a tensor, and give another number."""
        tracer: Any = self.tracer
        known = isinstance(tracer.values[self.node], Tensor)
        function = in_place if known else otherwise
        return tracer.create_proxy("call_function", function, (self, other), {})

    def __setitem__(self, index: Any, value: Any) -> None:
        made: Any = self.tracer.create_proxy("call_function", with_part, (self, index, value), {})
        self.node = made.node

    def __str__(self) -> str:
        """Of a size, what the network itself sees: it may be the key under which it keeps grids."""
        tracer: Any = self.tracer
        value = tracer.values[self.node]
        return repr(self) if value is UNKNOWN or holds_tensors(value) else str(value)

    def _number_or(self, kinds: Any) -> Any:
        tracer: Any = self.tracer
        value = tracer.values[self.node]
        if not isinstance(value, kinds):
            raise TypeError(
                f"{line_of_caller() or 'forward()'} asks a tensor for the value of an element"
            )
        tracer.decide(self.node)
        return value


class _Value(_Answers):
    """What a node gives."""


class _AttributeOf(_Answers, Attribute):
    """An attribute of what a node gives; a node is made when it is used."""


def holds_tensors(value: Any) -> bool:
    return any(isinstance(x, Tensor) for x in tree_leaves(value))


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


def _is_guard(node: fx.Node) -> bool:
    """Whether a condition is for the smallest maps alone, as that of ``max(width - 1, 1)``, or asks
    for no size, as ``x.is_cuda`` does.
    """
    sizes = [n for n in ancestors(node) if n.target in ("size", "numel") or "shape" in n.args]
    small = any(isinstance(x, int | float) and x in (0, 1) for x in node.args)
    return not sizes or (node.target in COMPARISONS and small)


@contextmanager
def recording_factories(tracer: Tracer) -> Iterator[None]:
    """Within the block, what makes or repeats tensors is traced where it takes traced sizes."""

    def recording(function: Any, kind: str, target: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if any(isinstance(x, fx.Proxy) for x in tree_leaves((args, kwargs))):
                return tracer.create_proxy(kind, target, args, kwargs)
            return function(*args, **kwargs)

        return call

    with ExitStack() as patches:
        for name in (*MAKERS, "empty"):  # which stand-ins for sizes do not reach
            function = getattr(torch, name)
            made = recording(function, "call_function", function)
            patches.enter_context(mock.patch.object(torch, name, made))
        for name in SIZED:
            method = recording(getattr(Tensor, name), "call_method", name)
            patches.enter_context(mock.patch.object(Tensor, name, method))
        yield
