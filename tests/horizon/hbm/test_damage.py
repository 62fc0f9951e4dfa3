"""Files that are not right: refused with an InputError, whatever is wrong with them."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon.errors import InputError
from horizon.hbm import disassemble, from_bytes, to_bytes
from tests.horizon.hbm.programs import full_program, short_program
from tests.horizon.hbm.sealed import sealed

SHORT, FULL = to_bytes(short_program()), to_bytes(full_program())
SECTIONS = ("program", "strings", "tensors", "instructions", "constants", "metadata")
FLIPS = (0x01, 0x80, 0xFF)


def section(data: bytes, name: str) -> tuple[int, int]:
    """(offset, bytes) of a section, as the table says."""
    return struct.unpack_from("<QQ", data, 64 + 32 * SECTIONS.index(name) + 8)


def put(data: bytes, offset: int, form: str, *values: int | float) -> bytes:
    changed = bytearray(data)
    struct.pack_into("<" + form, changed, offset, *values)
    return bytes(changed)


def read_or_refuse(data: bytes) -> None:
    """Either an InputError, or a program that can be shown, written and read again."""
    try:
        program = from_bytes(data)
    except InputError:
        return
    assert disassemble(program)
    assert from_bytes(to_bytes(program)) == program


def test_sealing_changes_nothing_where_nothing_was_changed():
    assert sealed(SHORT) == SHORT


def test_every_truncation_is_refused():
    for size in range(len(SHORT)):
        with pytest.raises(InputError):
            from_bytes(SHORT[:size])


def test_every_truncation_with_new_checksums_is_refused():
    for size in range(256, len(SHORT)):
        with pytest.raises(InputError):
            from_bytes(sealed(SHORT[:size]))


@pytest.mark.parametrize("more", [b"\0", bytes(64), SHORT])
def test_anything_behind_the_end_is_refused(more):
    with pytest.raises(InputError, match="states"):
        from_bytes(SHORT + more)
    with pytest.raises(InputError, match="ends at"):
        from_bytes(sealed(SHORT + more))


@pytest.mark.parametrize("flip", FLIPS)
def test_every_change_of_a_byte_is_refused(flip):
    for place in range(len(SHORT)):
        changed = bytearray(SHORT)
        changed[place] ^= flip
        with pytest.raises(InputError):
            from_bytes(bytes(changed))


@pytest.mark.parametrize("flip", FLIPS)
def test_changed_bytes_with_new_checksums_are_refused_or_make_a_program(flip):
    for place in range(len(SHORT)):
        changed = bytearray(SHORT)
        changed[place] ^= flip
        read_or_refuse(sealed(bytes(changed)))


def test_changed_bytes_in_every_kind_of_instruction_are_refused_or_make_a_program():
    start, size = section(FULL, "instructions")
    for place in range(start, start + size):
        changed = bytearray(FULL)
        changed[place] ^= FLIPS[place % len(FLIPS)]
        read_or_refuse(sealed(bytes(changed)))


@settings(deadline=None, max_examples=400, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(FULL) - 1),
            st.sampled_from("bBhHiIqQ"),
            st.one_of(
                st.sampled_from([0, 1, -1, 2**31 - 1, 2**32 - 1, 2**63 - 1]), st.integers(0, 300)
            ),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_numbers_overwritten_anywhere(changes):
    data = FULL
    for place, form, value in changes:
        size = struct.calcsize("<" + form)
        place = min(place // size * size, len(data) - size)
        data = put(data, place, form.upper(), value % 2 ** (8 * size))
    read_or_refuse(data)
    read_or_refuse(sealed(data))


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.binary(max_size=600))
def test_any_bytes_are_refused(data):
    for candidate in (data, SHORT[:8] + data, SHORT[:64] + data):
        with pytest.raises(InputError):
            from_bytes(candidate)


def test_pieces_that_change_places_are_refused_or_make_a_program():
    rng = random.Random(0)
    for _ in range(300):
        a, b, size = rng.randrange(len(FULL)), rng.randrange(len(FULL)), rng.randrange(1, 400)
        changed = bytearray(FULL)
        changed[a : a + size] = FULL[b : b + size]
        read_or_refuse(sealed(bytes(changed)))


HEAD = {
    "magic": (0, "B", 0x49, "begins with"),
    "version": (
        8,
        "I",
        1,
        "version 1; expected 3; compile the model again with 'hat compile-perf'",
    ),
    "sections": (12, "I", 5, "5 sections"),
    "reserved": (40, "B", 1, "zero is not 0"),
    "order": (64, "I", 2, "kind 2; expected 1"),
    "offset": (64 + 8, "Q", 320, "begins at 320; expected 256"),
    "length": (64 + 16, "Q", 2**60, "an end inside the file"),
    "count": (64 + 24, "Q", 2, "2 records in 64 bytes"),
}


@pytest.mark.parametrize(("place", "form", "value", "message"), HEAD.values(), ids=HEAD)
def test_what_is_wrong_with_the_container_is_said(place, form, value, message):
    with pytest.raises(InputError, match=message):
        from_bytes(sealed(put(SHORT, place, form, value)))


# Section, offset in it, new value, what the message says.
FIELDS = {
    "padding": ("program", 64 + 20, "B", 1, r"section tensors: bytes before it are not 0"),
    "string offset": ("program", 4, "I", 1, r"section program: string at 1"),
    "inputs": ("program", 8, "I", 2, r"2 inputs of 3 tensors"),
    "sram": ("program", 16, "Q", 64, r"instruction 1 \(rescale, layer 'wide'\), operand out: ends"),
    "text": ("strings", 0, "B", 0xFF, r"section strings: invalid start byte at byte 0"),
    "no end": ("strings", 19, "B", 65, r"section strings: it ends in b'A'"),
    "type": ("tensors", 4, "B", 9, r"tensor 0: datatype 9; expected 0 \(int8\)"),
    "scale": ("constants", 64, "d", -1.0, r"input 0 \(x\): scales"),
    "scales": ("tensors", 32, "Q", 128, r"section tensors.*: scales (at|end)"),
    "reserved": ("instructions", 2, "H", 1, r"instructions, record 0: zero0 is not 0"),
    "reserved view": ("instructions", 32 + 44, "I", 1, r"record 0: out is not 0"),
    "opcode": ("instructions", 352, "B", 0, r"instruction 1: opcode 0; expected 1 \(load\)"),
    "transposed": ("instructions", 224 + 40, "I", 2, r"instruction 0: transposed 2"),
    "missing": ("instructions", 32 + 40, "B", 0, r"instruction 0, operand out: a missing operand"),
    "half missing": ("instructions", 128, "Q", 5, r"instruction 0, operand b: a missing operand"),
    "json": ("metadata", 0, "B", 0x5B, r"section metadata: .*expected a JSON object"),
}


@pytest.mark.parametrize(("name", "place", "form", "value", "message"), FIELDS.values(), ids=FIELDS)
def test_what_is_wrong_with_a_section_is_said(name, place, form, value, message):
    start, _ = section(SHORT, name)
    with pytest.raises(InputError, match="^model.hbm: .*" + message):
        from_bytes(sealed(put(SHORT, start + place, form, value)), "model.hbm")


@pytest.mark.parametrize(
    "text", [b"[1]", b"{", b"[" * 100_000, b'{"a":NaN}', b'{"a":1e999}', b"\xff"]
)
def test_metadata_that_are_no_json_object_are_refused(text):
    start, _ = section(SHORT, "metadata")
    data = put(SHORT[:start] + text, 64 + 5 * 32 + 16, "QQ", len(text), len(text))
    with pytest.raises(InputError, match="section metadata: "):
        from_bytes(sealed(data))
