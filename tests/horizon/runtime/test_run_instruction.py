"""One instruction on numpy arrays: the way by which PyTorch's integer model uses the kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from horizon import _native
from horizon.errors import InputError
from horizon.hbm import Instruction, Opcode, Program
from horizon.hbm.format import INSTRUCTION
from horizon.hbm.writer import _instruction
from tests.horizon.compiler.interpreter import CHANNEL, Memory, execute
from tests.horizon.hbm.programs import full_program

PROGRAM = full_program()
NUMBERS = [
    number
    for number, item in enumerate(PROGRAM.instructions)
    if item.opcode not in (Opcode.load, Opcode.store)
]


def memory_before(program: Program, number: int) -> Memory:
    """The memory when an instruction's turn has come."""
    rng = np.random.default_rng(number)
    image = rng.integers(0, 256, program.inputs[0].shape, np.uint8)
    memory = Memory(program, {"image": image})
    for item in program.instructions[:number]:
        execute(item, memory)
    return memory


def packed(item: Instruction) -> bytes:
    return np.array(_instruction(item, 0), INSTRUCTION).tobytes()


def arguments(item: Instruction, memory: Memory) -> dict[str, object]:
    """What run_instruction takes; the arrays are copies."""
    looks_up = item.opcode is Opcode.lookup
    size = item.table_count * (item.out.dtype.size if looks_up else CHANNEL.itemsize)
    return {
        "record": packed(item),
        "out": np.full(item.out.shape, 77, memory.view(item.out).dtype),
        "a": memory.view(item.a).copy(),
        "b": None if item.b is None else memory.view(item.b).copy(),
        "weight": None if item.weight is None else memory.view(item.weight).ravel().copy(),
        "table": memory.constants[item.table : item.table + size].tobytes(),
        "threads": 1,
    }


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: str(PROGRAM.instructions[n].layer))
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_it_does_what_the_program_does(number, threads):
    item = PROGRAM.instructions[number]
    memory = memory_before(PROGRAM, number)
    given = arguments(item, memory) | {"threads": threads}
    _native.run_instruction(**given)
    execute(item, memory)
    np.testing.assert_array_equal(given["out"], memory.view(item.out))


def sliced(array: np.ndarray) -> np.ndarray:
    """The same values as channels 4... of a wider array with gaps in every direction."""
    n, h, w, c = array.shape
    wide = np.full((n * 2, h * 2, w * 3, c + 9), 55, array.dtype)
    view = wide[::2, 1::2, ::3, 4 : 4 + c]
    view[...] = array
    return view


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: str(PROGRAM.instructions[n].layer))
def test_arrays_may_be_slices_of_others(number):
    item = PROGRAM.instructions[number]
    memory = memory_before(PROGRAM, number)
    given = arguments(item, memory)
    given |= {name: sliced(given[name]) for name in ("out", "a", "b") if given[name] is not None}
    given["a"].flags.writeable = False
    _native.run_instruction(**given)
    execute(item, memory)
    np.testing.assert_array_equal(given["out"], memory.view(item.out))
    wide = given["out"].base
    assert np.count_nonzero(wide != 55) <= given["out"].size, "it wrote beside its output"


def conv() -> tuple[Instruction, dict[str, object]]:
    number = next(n for n in NUMBERS if PROGRAM.instructions[n].opcode is Opcode.conv)
    item = PROGRAM.instructions[number]
    return item, arguments(item, memory_before(PROGRAM, number))


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"record": b"short"}, ValueError, "record of 5 bytes.*expected 352"),
        ({"table": b"12345"}, ValueError, "table of 5 bytes.*a multiple of 32"),
        ({"a": np.zeros((1, 4, 6, 3), np.float32)}, ValueError, "type of a: expected int8"),
        ({"a": np.zeros((1, 4, 6, 3), np.int8)[:, ::-1]}, ValueError, "a, axis 1: .*non-negative"),
        ({"a": np.zeros((4, 6, 3), np.int8)}, TypeError, "incompatible"),
        ({"a": np.zeros((1, 4, 6, 5), np.int8)}, InputError, "expected"),
        ({"a": np.zeros((1, 4, 6, 3), np.int32)}, InputError, "expected"),
        ({"out": np.zeros((1, 4, 6, 17), np.int8)}, InputError, "expected"),
        ({"weight": None}, InputError, "expected"),
        ({"weight": np.zeros(64, np.int8)}, InputError, "expected"),
        ({"table": b""}, InputError, "expected"),
        ({"threads": -1}, ValueError, "threads: found -1, expected 0 to 1024"),
    ],
)
def test_what_does_not_fit_is_refused(change, error, match):
    _, given = conv()
    with pytest.raises(error, match=match):
        _native.run_instruction(**(given | change))


def test_accumulators_that_could_overflow_are_refused():
    item, given = conv()
    table = np.frombuffer(given["table"], CHANNEL).copy()
    table["bias"] = 2**28
    with pytest.raises(InputError, match="expected"):
        _native.run_instruction(**(given | {"table": table.tobytes()}))
    record = packed(replace(item, stride=(0, 1)))
    with pytest.raises(InputError, match="expected"):
        _native.run_instruction(**(given | {"record": record}))


def test_an_output_may_not_be_read_only():
    _, given = conv()
    given["out"].flags.writeable = False
    with pytest.raises(TypeError, match="incompatible"):
        _native.run_instruction(**given)
