"""Matrix products, whose tiles hold all of the second input, and exchanges of whole maps."""

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

MAPS = {"many pixels": ((2, 12, 10), (2, 2, 3)), "one row": ((2, 1, 40), (2, 1, 7))}


def product(first: Any, second: Any, transposed: int, heads: int = 2) -> Graph:
    channels, places = heads * 5, heads * second[1] * second[2]
    sides = (channels, places) if transposed else (places, channels)
    a, b = tensor("a", (*first, sides[0])), tensor("b", (*second, channels))
    values = {"heads": heads, "transposed": transposed, "multiplier": ONE + 99, "shift": 31}
    values |= {"lo": -128, "hi": 127}
    return one_node("matmul", [a, b], tensor("y", (*first, sides[1])), values)


def products_of(compiled: Any) -> list[tuple[int, Any]]:
    items = enumerate(compiled.program.instructions)
    return [(number, item) for number, item in items if item.opcode is Opcode.matmul]


@pytest.mark.parametrize("maps", MAPS.values(), ids=MAPS)
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("opt", ["O0", "O1", "O2", "O3"])
def test_tiles(maps: Any, transposed: int, opt: str) -> None:
    graph = product(*maps, transposed)
    compiled = compile_program(graph, small(1024), opt)
    found = products_of(compiled)
    assert len(found) > 2
    for _, item in found:
        assert item.b.shape[1:] == graph.tensors["b"].shape[1:]
        assert item.transposed == (transposed == 1)
    check(graph, compiled)


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_second_input_that_does_not_fit_is_refused(transposed: int) -> None:
    graph = product((1, 4, 4), (1, 20, 20), transposed)
    with pytest.raises(InputError, match="all pixels of the second input"):
        compile_program(graph, small(2048), "O3")


@pytest.mark.parametrize("sides", [(1, 6), (3, 2)])
def test_the_pixels_of_another_map_are_refused(sides: tuple[int, int]) -> None:
    compiled = compile_program(product((1, 4, 4), (1, 2, 3), 1), small(8192), "O1")
    ((number, item),) = products_of(compiled)
    batch, _, pixel, channel = item.b.strides
    strides = batch, sides[1] * pixel, pixel, channel
    wrong = changed(compiled, number, b=replace(item.b, shape=(1, *sides, 10), strides=strides))
    with pytest.raises(InputError, match=r"operand b.*a part of .*; expected the whole"):
        verify_program(wrong)


@pytest.mark.parametrize("values", [{"multiplier": ONE}, {"transposed": 0, "heads": 1}])
def test_another_node_is_refused(values: dict[str, int]) -> None:
    # 6 channels and 6 pixels: without transposition the shapes are the same.
    a, b = tensor("a", (1, 4, 4, 6)), tensor("b", (1, 2, 3, 6))
    own = {"heads": 1, "transposed": 1, "multiplier": ONE + 99, "shift": 31}
    graph = one_node("matmul", [a, b], tensor("y", (1, 4, 4, 6)), own | {"lo": -128, "hi": 127})
    compiled = compile_program(graph, small(4096), "O2")
    verify_program(compiled)
    (node,) = compiled.graph.nodes
    other = replace(node, attributes=node.attributes | values)
    graph = replace(compiled.graph, nodes=(other,))
    with pytest.raises(InputError, match=r"multiplier of channel 0|transposed"):
        verify_program(replace(compiled, graph=graph))


def exchange(shape: Any, heads: int, size: tuple[int, int], dtype: str = "int8") -> Graph:
    a = tensor("a", (*shape, heads * size[0] * size[1]), dtype)
    y = tensor("y", (shape[0], *size, heads * shape[1] * shape[2]), dtype)
    return one_node("transpose", [a], y, {"heads": heads, "size": size})


@pytest.mark.parametrize("opt", ["O0", "O1", "O2", "O3"])
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32"])
def test_exchanges(opt: str, dtype: str) -> None:
    graph = exchange((3, 5, 4), 2, (3, 2), dtype)
    compiled = compile_program(graph, small(2048), opt)
    found = [i for i in compiled.program.instructions if i.opcode is Opcode.transpose]
    assert sum(item.out.shape[0] for item in found) == 3
    assert all(item.out.shape[1:] == (3, 2, 40) for item in found)
    check(graph, compiled)


def test_an_exchange_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="whole maps are exchanged"):
        compile_program(exchange((1, 16, 16), 1, (4, 4)), small(4096), "O3")


def test_an_exchange_in_another_form_is_refused() -> None:
    compiled = compile_program(exchange((1, 5, 4), 2, (3, 2)), small(4096), "O2")
    verify_program(compiled)
    (node,) = compiled.graph.nodes
    other = replace(node, attributes={"heads": 1, "size": (3, 4)})
    info = replace(compiled.graph.tensors["y"], shape=(1, 3, 4, 20))
    graph = replace(compiled.graph, nodes=(other,), tensors=compiled.graph.tensors | {"y": info})
    with pytest.raises(InputError, match="expected"):
        verify_program(replace(compiled, graph=graph))
