"""Products by factors with sides of 1: tiles read their part of them, and the verifier knows it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from horizon.compiler import compile_program
from horizon.compiler.verify import verify_program
from horizon.errors import InputError
from horizon.hbir import Graph
from horizon.hbm.records import Opcode
from tests.horizon.compiler.checks import check, small
from tests.horizon.compiler.mutations import changed
from tests.horizon.hbir.programs import ONE, one_node, tensor

WHOLE = (2, 12, 10, 33)
FACTORS = [WHOLE, (2, 1, 1, 33), (2, 12, 10, 1), (1, 12, 1, 33), (1, 1, 10, 1), (1, 1, 1, 1)]


def product(factor: Any) -> Graph:
    a, b = tensor("a", WHOLE), tensor("b", factor)
    values = {"multiplier": ONE + 99, "shift": 30, "lo": -128, "hi": 127}
    return one_node("mul", [a, b], tensor("y", WHOLE), values)


@pytest.mark.parametrize("factor", FACTORS, ids=str)
@pytest.mark.parametrize("opt", ["O0", "O1", "O2", "O3"])
def test_tiles_of_every_form(factor: Any, opt: str) -> None:
    graph = product(factor)
    compiled = compile_program(graph, small(4096), opt)
    products = [i for i in compiled.program.instructions if i.opcode is Opcode.mul]
    assert len(products) > 1
    for item in products:
        assert item.b is not None
        assert all(side == 1 for side, own in zip(item.b.shape, factor, strict=True) if own == 1)
    check(graph, compiled)


@pytest.mark.parametrize("factor", FACTORS[:-1], ids=str)
def test_one_factor_for_all_where_each_has_its_own_is_refused(factor: Any) -> None:
    compiled = compile_program(product(factor), small(8192), "O1")
    number, item = next(
        (number, item)
        for number, item in enumerate(compiled.program.instructions)
        if item.opcode is Opcode.mul
    )
    assert item.b is not None
    axes = [axis for axis in range(4) if item.b.shape[axis] > 1]
    assert axes
    for axis in axes:
        shape = tuple(1 if i == axis else side for i, side in enumerate(item.b.shape))
        wrong = changed(compiled, number, b=replace(item.b, shape=shape))
        with pytest.raises(InputError, match=r"operand b.*a part of .*; expected"):
            verify_program(wrong)


def test_another_ratio_is_refused() -> None:
    compiled = compile_program(product(WHOLE), small(4096), "O2")
    verify_program(compiled)
    (node,) = compiled.graph.nodes
    other = replace(node, attributes=node.attributes | {"multiplier": ONE})
    graph = replace(compiled.graph, nodes=(other,))
    with pytest.raises(InputError, match="multiplier of channel 0"):
        verify_program(replace(compiled, graph=graph))
