"""Waits of hand-made operation lists."""

from __future__ import annotations

from dataclasses import replace

import pytest

from horizon.compiler.hazards import list_waits
from horizon.compiler.schedule import Access, Operation
from horizon.hbm.records import DataType, Opcode, Quad, Space, View

LOAD, STORE, TENSOR, VECTOR = 0, 1, 2, 3
A, B = (Space.sram, 0, 64), (Space.sram, 64, 128)
WHOLE = (0, 0, 0, 0)


def access(block: str, at: Quad | None = WHOLE, shape: Quad = (1, 4, 4, 4)) -> Access:
    view = View(Space.sram, DataType.int8, shape, (64, 16, 4, 1), 0)
    return Access(block, view, at, "t", WHOLE)


def outside(space: Space) -> Access:
    view = View(space, DataType.int8, (1, 4, 4, 4), (64, 16, 4, 1), 0)
    return Access(None, view, None, "t", WHOLE)


def load(out: Access) -> Operation:
    return Operation(Opcode.load, "l", {"out": out, "a": outside(Space.input)})


def store(a: Access) -> Operation:
    return Operation(Opcode.store, "l", {"out": outside(Space.output), "a": a})


def conv(out: Access, a: Access) -> Operation:
    return Operation(Opcode.conv, "l", {"out": out, "a": a})


def rescale(out: Access, a: Access) -> Operation:
    return Operation(Opcode.rescale, "l", {"out": out, "a": a})


def waits(operations: list[Operation], **ranges: tuple[Space, int, int]) -> list[dict[int, int]]:
    """The waits that are not 0, by unit."""
    found = list_waits(operations, ranges)
    return [{unit: count for unit, count in enumerate(one) if count} for one in found]


def test_reads_wait_for_writes_and_writes_for_reads() -> None:
    a, b = access("a"), access("b")
    operations = [load(a), conv(b, a), store(b), load(a), conv(b, a)]
    assert waits(operations, a=A, b=B) == [{}, {LOAD: 1}, {TENSOR: 1}, {TENSOR: 1}, {0: 2, 1: 1}]


def test_one_unit_does_not_wait_for_itself_nor_for_readers() -> None:
    a, b = access("a"), access("b")
    assert waits([load(a), load(a), store(a), conv(b, a)], a=A, b=B)[1:] == [
        {},
        {LOAD: 2},
        {LOAD: 2},
    ]


def test_parts_that_do_not_meet_do_not_wait() -> None:
    upper, lower = access("a", (0, 0, 0, 0), (1, 2, 4, 4)), access("a", (0, 2, 0, 0), (1, 2, 4, 4))
    left = access("a", (0, 0, 0, 0), (1, 4, 4, 2))
    operations = [load(upper), load(lower), store(upper), conv(access("b"), left)]
    assert waits(operations, a=A, b=B) == [{}, {}, {LOAD: 1}, {LOAD: 2}]


def test_slots_are_used_as_a_whole() -> None:
    upper, lower = access("a", None, (1, 2, 4, 4)), access("a", None, (1, 1, 4, 4))
    assert waits([load(upper), conv(access("b"), upper), load(lower)], a=A, b=B)[2] == {TENSOR: 1}


def test_the_next_owner_of_memory_waits_for_all_uses_by_the_one_before() -> None:
    a, b, c, d = (access(name) for name in "abcd")
    operations = [load(a), rescale(b, a), conv(c, a), load(d), store(d)]
    c_range, d_range = (Space.sram, 128, 192), (Space.sram, 32, 96)  # d: half of a, half of b
    found = waits(operations, a=A, b=B, c=c_range, d=d_range)
    assert found[3] == {TENSOR: 1, VECTOR: 1}
    assert found[4] == {LOAD: 2, TENSOR: 1, VECTOR: 1}


def test_the_same_addresses_of_another_memory_are_no_hazard() -> None:
    a = access("a")
    ddr = replace(a, block="d", view=replace(a.view, space=Space.ddr))
    operations = [load(a), store(a), load(ddr)]
    assert waits(operations, a=A, d=(Space.ddr, 0, 64)) == [{}, {LOAD: 1}, {}]


def test_waits_that_are_implied_are_left_out() -> None:
    a, b = access("a"), access("b")
    operations = [load(a), conv(b, a), conv(b, a), load(access("c")), conv(b, access("c"))]
    found = waits(operations, a=A, b=B, c=(Space.sram, 128, 192))
    assert found == [{}, {LOAD: 1}, {}, {}, {LOAD: 2}]


def test_blocks_that_share_memory_at_the_same_time_are_an_error_of_the_compiler() -> None:
    a, b = access("a"), access("b")
    with pytest.raises(AssertionError, match="overlaps a block in use"):
        list_waits([load(a), conv(b, a)], {"a": A, "b": (Space.sram, 32, 96)})
