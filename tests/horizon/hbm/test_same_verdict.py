"""Forged files: the Python reader and the C++ loader accept and refuse the same.

``python -m tests.horizon.hbm.verdicts`` asks about a hundred thousand files and more.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon import _native
from horizon.errors import InputError
from horizon.hbm import Opcode, Program, Space, from_bytes, to_bytes
from tests.conftest import ROOT
from tests.csrc.native import tool
from tests.horizon.hbm.programs import full_program, short_program
from tests.horizon.hbm.sealed import sealed
from tests.horizon.hbm.verdicts import Count, compare, forged, forged_file, fuzzed, verdict

SHORT, FULL = to_bytes(short_program()), to_bytes(full_program())
FILES = 1500
OPTIONS = ["-std=c++20", "-O1", "-I", str(ROOT / "csrc")]


def _same(files: object) -> Count:
    count = compare(files, Count())  # type: ignore[arg-type]
    assert [(python, native) for _, python, native in count.differing] == []
    return count


@settings(deadline=None, max_examples=500, derandomize=True)
@given(st.sampled_from([SHORT, FULL]), st.randoms(use_true_random=False))
def test_forged_records(base, rng):
    _same([forged_file(base, SHORT, rng)])


def test_forged_records_by_number():
    count = _same(forged(FILES, 1))
    assert count.files == FILES
    assert count.accepted > FILES // 20
    assert count.refused > FILES // 2


def test_files_of_the_fuzzer_s_mutator(tmp_path):
    programs = {}
    for name in ("forge", "make_corpus"):
        programs[name] = str(tmp_path / name)
        sources = [str(ROOT / f"csrc/{path}") for path in (f"fuzz/{name}.cpp", "hbm/crc32.cpp")]
        subprocess.run([tool("g++"), *OPTIONS, *sources, "-o", programs[name]], check=True)
    folder = tmp_path / "corpus"
    folder.mkdir()
    subprocess.run([programs["make_corpus"], str(folder)], check=True)
    corpus = sorted(map(str, Path(folder).iterdir()))
    count = _same(fuzzed(programs["forge"], corpus, FILES, 1))
    assert count.files == FILES
    assert count.accepted > FILES // 20
    assert count.refused > FILES // 2


def both(program: Program | bytes) -> tuple[bool, bool]:
    """Whether Python and C++ refuse a program; it is written by rules that are the reader's."""
    data = program if isinstance(program, bytes) else to_bytes(program)
    return bool(verdict(from_bytes, data)), bool(verdict(_native.check_program, data))


def test_what_is_right_is_accepted_by_both():
    assert both(SHORT) == both(FULL) == (False, False)


def _poke(data: bytes, section: int, place: int, new: bytes) -> bytes:
    start = int.from_bytes(data[64 + 32 * section + 8 :][:8], "little") + place
    return sealed(data[:start] + new + data[start + len(new) :])


def test_scales_have_one_place():
    # tensor 1's scale before tensor 0's: each is a number inside the constants
    swapped = _poke(SHORT, 2, 32, (72).to_bytes(8, "little"))
    swapped = _poke(swapped, 2, 48 + 32, (64).to_bytes(8, "little"))
    assert both(swapped) == (True, True)


def test_operands_and_tables_are_no_scales():
    program = full_program()
    load = next(i for i in program.instructions if i.a.space is Space.constant)
    record = 352 * program.instructions.index(load)
    scales = len(program.constants)
    place = (scales - load.a.shape[3] + 8).to_bytes(8, "little")
    assert both(_poke(FULL, 3, record + 80, place)) == (True, True)
    assert both(_poke(SHORT, 3, 352 + 336, (64).to_bytes(8, "little"))) == (True, True)


def test_weights_of_two_loads_in_any_order():
    program = full_program()
    load = program.instructions[1]
    assert load.a.space is Space.constant

    def half(begin: int, size: int) -> object:
        views = {
            name: replace(view, offset=view.offset + begin, shape=(1, 1, 1, size))
            for name, view in (("a", load.a), ("out", load.out))
        }
        return replace(load, waits=(0,) * 6, **views)

    size = load.a.shape[3]
    for halves in ([half(0, 64), half(64, size - 64)], [half(64, size - 64), half(0, 64)]):
        instructions = (program.instructions[0], *halves, *program.instructions[2:])
        assert both(to_bytes(replace(program, instructions=instructions))) == (False, False)


_ALONE = next(i for i in full_program().instructions if i.layer == "depthwise").weight
DEPTHWISE = _ALONE.offset if _ALONE else 0


def _weights(data: bytes, place: int, value: int) -> bytes:
    return _poke(data, 4, place, value.to_bytes(1, "little", signed=True))


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, -128), (3, 1), (9 * 64 + 2 * 4, 1), (DEPTHWISE, -128), (DEPTHWISE + 18, 1)],
    ids=[
        *("-128", "filling of the inputs", "filling of the outputs"),
        *("-128, depthwise", "filling, depthwise"),
    ],
)
def test_weights_are_looked_at(place, value):
    assert both(_weights(FULL, place, value)) == (True, True)


def test_weights_that_nobody_knows():
    program = full_program()
    conv = program.instructions[2]
    assert conv.opcode is Opcode.conv
    records = 352 * 2 + 176  # its operand weight
    before = (conv.weight.offset - 64 if conv.weight else 0).to_bytes(8, "little")
    assert both(_poke(FULL, 3, records, before)) == (True, True)


def test_an_accumulator_that_could_overflow():
    program = full_program()
    bias = (2**28 - 1).to_bytes(4, "little")
    assert both(_poke(FULL, 4, program.instructions[2].table, bias)) == (True, True)


def test_metadata_are_for_python_alone():
    data = _poke(SHORT, 5, 0, b"[")
    assert both(data) == (True, False)
    assert _same([data]).metadata == 1
    with pytest.raises(InputError, match="UTF-8"):
        _native.check_program(_poke(SHORT, 5, 0, b"\xff"))
