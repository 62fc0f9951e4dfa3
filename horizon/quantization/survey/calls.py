"""The calls between the layers of a float network, and what each becomes in fixed point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from horizon.errors import InputError
from horizon.quantization.calls import pop_caller, push_caller
from horizon.quantization.expansions import expansion
from horizon.quantization.layers import bound_call, prepared_form
from horizon.quantization.movement.rearranged import Rearranged, with_values
from horizon.quantization.moves import function_name, move
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import QTensor
from horizon.quantization.remedies import instead_of_call
from horizon.quantization.sites import Site, SiteCounter
from horizon.quantization.survey.found import Finding, SiteUse, Survey
from horizon.quantization.survey.origins import Origins
from horizon.quantization.survey.source_line import line_of_caller

FIRST_SCALE = 1.0
NEXT_SCALE = 1.0 + 2.0**-13
NO_CONSTANT = (
    "a plain tensor that is not a constant (an input of the network, or the output of a "
    "DeQuantStub) meets a quantised one; send the inputs of the quantised part through a QuantStub"
)


class Calls:
    """Carries out the calls of torch during a survey, and collects the findings.

    Attributes:
        found: the findings so far.
        origins: the origins of plain tensors.
        running: the modules whose forward runs, outermost first, with their names.
        qconfigs: the qconfig that applies to each module.
    """

    def __init__(self, model: nn.Module) -> None:
        self.origins = Origins(model)
        self.found = Survey()
        self.running: list[tuple[nn.Module, str, SiteCounter]] = []
        self.qconfigs: dict[nn.Module, QConfig | None] = {}
        self.scale = FIRST_SCALE
        self._seen: set[tuple[str, str, str]] = set()

    def __call__(self, function: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        expanded = expansion(function, args, kwargs)
        if expanded is not None:
            try:
                return expanded(*args, **kwargs)
            except InputError as error:
                return self._refused(function, args, kwargs, str(error), line_of_caller())
        push_caller(move)
        try:
            return self._call(function, args, kwargs)
        finally:
            pop_caller()

    def _call(self, function: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        module, path, counter = self.running[-1]
        line = line_of_caller()
        refused = ""
        try:
            bound = bound_call(function, args, kwargs)
            site = None if bound is None else counter.next(bound)
        except InputError as error:
            bound, refused = None, str(error)
        if bound is None and not refused:
            try:
                moved = move(function, args, kwargs)
                return self._with_values(moved, function, args, kwargs)
            except InputError as error:
                refused = str(error)
        elif bound is not None:
            if not bound.needs_layer:
                try:
                    moved = move(function, args, kwargs)
                    return self._with_values(moved, function, args, kwargs)
                except InputError:
                    pass
            try:
                assert site is not None
                return self._site(module, path, site, bound, function, args, kwargs)
            except InputError as error:
                refused = str(error)
        return self._refused(function, args, kwargs, refused, line)

    def _refused(
        self,
        function: Callable,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        reason: str,
        line: str,
    ) -> Any:
        """Note that a call is refused; return its result on real numbers."""
        _, path, _ = self.running[-1]
        name = function_name(function)
        self._refuse(path, "call", reason, line, name, instead_of_call(name))
        result = function(*tree_map(copies_of, tuple(args)), **tree_map(copies_of, dict(kwargs)))
        return self._quantised(result, self._next_scale(), 8)

    def _site(
        self,
        module: nn.Module,
        path: str,
        site: Site,
        bound: Any,
        function: Callable,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        qconfig = self.qconfigs[module]
        if qconfig is None:
            raise InputError(
                "a call on a quantised tensor in a module whose qconfig is None; give it a "
                "qconfig, or place a DeQuantStub before it"
            )
        known = self.found.sites.get((module, site))
        source = known.source if known else bound.source()
        form = prepared_form(source)
        assert form is not None
        where = bound.kind
        for x in bound.operands:
            if isinstance(x, Tensor) and not self.origins.is_constant(x):
                raise InputError(NO_CONSTANT)
        try:
            scale, bits = form.plan(source, qconfig, where, *bound.operands)
        except InputError as error:
            raise InputError(str(error).removeprefix(f"{where}: ")) from error
        if known is None:
            known = self.found.sites[module, site] = SiteUse(source, path, qconfig)
        known.uses += 1
        result = function(*tree_map(copies_of, tuple(args)), **tree_map(copies_of, dict(kwargs)))
        return self._quantised(result, self._next_scale() if scale is None else scale, bits)

    # Tensors.

    def _next_scale(self) -> Tensor:
        self.scale *= NEXT_SCALE
        return torch.tensor(self.scale)

    def _quantised(self, output: Any, scale: Tensor, bits: int) -> Any:
        def wrap(x: Any) -> Any:
            real = isinstance(x, Tensor) and x.is_floating_point() and x.dim()
            return QTensor(x, scale, bits) if real else x

        return tree_map(wrap, output)

    def _with_values(
        self, moved: Any, function: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """``moved`` with the function's result on real numbers as its values."""
        if not isinstance(moved, QTensor):
            return moved
        values = function(*tree_map(copies_of, tuple(args)), **tree_map(copies_of, dict(kwargs)))
        return with_values(moved, values)

    def _refuse(
        self, path: str, kind: str, message: str, line: str, found: str, instead: str = ""
    ) -> None:
        key = (path, message, line)
        if key not in self._seen:
            self._seen.add(key)
            self.found.findings.append(Finding(path, kind, message, True, line, found, instead))


def values_of(x: Any) -> Any:
    """The real numbers of a quantised tensor; any other object unchanged."""
    return x.values if isinstance(x, QTensor | Rearranged) else x


def copies_of(x: Any) -> Any:
    """Like :func:`values_of`, but a copy, which a call may change in place."""
    return x.values.clone() if isinstance(x, QTensor | Rearranged) else x
