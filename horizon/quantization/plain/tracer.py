"""Traces a network by torch.fx, with the values that its example gives.

A stand-in for what is no tensor of real numbers (a size, a type, the number of parts of a chunk)
may be asked for its value: branches, loops and ranges follow what the example leads to. Branches
on the values of tensors cannot be followed.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import Attribute
from torch.utils._pytree import tree_leaves

from horizon.quantization.fuse import CONVOLUTIONS
from horizon.quantization.layers import prepared_form
from horizon.quantization.layers.conv_geometry import computes_more
from horizon.quantization.survey.source_line import line_of_caller

ELEMENTS = "is assigned to elements of a tensor (x[...] = y), which cannot be followed: make the "
ELEMENTS += "parts one by one and join them by torch.cat, torch.stack or functional.pad"
FACTORIES = ("zeros", "ones", "full", "empty", "tensor", "as_tensor", "arange", "linspace", "eye")
"""Functions of torch that make tensors of sizes, and that stand-ins for sizes do not reach."""
UNKNOWN = object()


class Tracer(fx.Tracer):
    """Layers of torch and those that have a fixed-point form are not looked into.

    Args:
        example: the arguments of the network, in their order.
    """

    def __init__(self, example: tuple[Any, ...]) -> None:
        super().__init__()
        self.given = list(example)
        self.values: dict[fx.Node, Any] = {}
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
        if value is UNKNOWN or any(isinstance(x, Tensor) for x in tree_leaves(value)):
            return super().to_bool(obj)
        return bool(value)

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
            if node.op == "call_function":
                return node.target(*args, **kwargs)  # type: ignore[operator]
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            held: Any = self.root
            for part in str(node.target).split("."):
                held = getattr(held, part)
            return held if node.op == "get_attr" else held(*args, **kwargs)
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
        raise TypeError(f"{line_of_caller() or 'forward()'} {ELEMENTS}")

    def _number_or(self, kinds: Any) -> Any:
        tracer: Any = self.tracer
        value = tracer.values[self.node]
        if not isinstance(value, kinds):
            raise TypeError(
                f"{line_of_caller() or 'forward()'} asks a tensor for the value of an element"
            )
        return value


class _Value(_Answers):
    """What a node gives."""


class _AttributeOf(_Answers, Attribute):
    """An attribute of what a node gives; a node is made when it is used."""


@contextmanager
def recording_factories(tracer: Tracer) -> Iterator[None]:
    """Within the block, torch's functions that make tensors are traced where sizes are."""

    def recording(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if any(isinstance(x, fx.Proxy) for x in tree_leaves((args, kwargs))):
                return tracer.create_proxy("call_function", function, args, kwargs)
            return function(*args, **kwargs)

        return call

    with ExitStack() as patches:
        for name in FACTORIES:
            made = recording(getattr(torch, name))
            patches.enter_context(mock.patch.object(torch, name, made))
        yield
