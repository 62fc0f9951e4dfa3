"""Writing and reading programs that are right."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from horizon.errors import CapacityError, CompilerError, InputError
from horizon.hbm import (
    RANDOM_WEIGHTS,
    DataType,
    disassemble,
    from_bytes,
    read,
    read_metadata,
    to_bytes,
    write,
)
from tests.conftest import ROOT
from tests.horizon.hbm.programs import full_program, short_program
from tests.horizon.hbm.sealed import sealed

PROGRAMS = {"short": short_program, "full": full_program}


@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_is_read_as_it_was_written(make, tmp_path):
    program = make()
    path = tmp_path / "model.hbm"
    write(program, path)
    assert read(path) == program
    assert path.read_bytes() == to_bytes(program)
    assert to_bytes(read(path)) == to_bytes(program)
    assert list(tmp_path.iterdir()) == [path]


def test_the_bytes_do_not_depend_on_the_order_of_metadata():
    program = full_program()
    turned = dict(reversed(program.metadata.items()))
    assert list(turned) != list(program.metadata)
    assert to_bytes(replace(program, metadata=turned)) == to_bytes(program)


def test_the_bytes_are_the_same_in_another_process():
    code = (
        "import hashlib; from tests.horizon.hbm.programs import full_program\n"
        "from horizon.hbm import to_bytes; print(hashlib.sha256(to_bytes(full_program())).digest())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]


def test_constants_are_padded_and_scales_follow_them():
    program = short_program()
    longer = replace(program, constants=program.constants + b"\1")
    again = from_bytes(to_bytes(longer))
    assert again.constants == longer.constants + bytes(63)
    assert again.inputs == program.inputs
    assert again.outputs == program.outputs


def test_sections_begin_at_multiples_of_64():
    data = to_bytes(full_program())
    offsets = [int.from_bytes(data[at + 8 : at + 16], "little") for at in range(64, 256, 32)]
    assert len(offsets) == 6
    assert all(offset % 64 == 0 for offset in offsets)
    assert offsets == sorted(offsets)


def test_text_of_any_language_survives():
    program = replace(short_program(), name="流 λ\n", metadata={"λ": "\ud800"})
    assert from_bytes(to_bytes(program)) == program
    assert disassemble(program).isascii()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {1, 2}])
def test_metadata_that_json_does_not_have_are_refused(value):
    with pytest.raises(InputError, match="metadata"):
        to_bytes(replace(short_program(), metadata={"value": value}))


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match="absent"):
        write(short_program(), tmp_path / "absent" / "model.hbm")


def test_a_program_that_is_wrong_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "model.hbm"
    path.write_bytes(b"old")
    with pytest.raises(InputError, match="opt 4"):
        write(replace(short_program(), opt=4), path)
    assert path.read_bytes() == b"old"


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "absent.hbm", tmp_path):
        with pytest.raises(InputError, match="cannot read"):
            read(path)


def test_the_end_of_a_view_is_behind_its_last_byte():
    store = short_program().instructions[2]
    assert (store.out.end, store.out.dtype) == (16, DataType.int32)
    assert short_program().outputs[0].nbytes == 16


def test_the_metadata_of_a_file_are_json():
    data = to_bytes(short_program())
    assert json.loads(data[-30:][data[-30:].index(b"{") :]) == short_program().metadata


def test_the_metadata_alone_are_read_from_a_file_or_its_bytes(tmp_path):
    program = replace(short_program(), metadata={"weights": RANDOM_WEIGHTS})
    write(program, tmp_path / "a.hbm")
    for source in (tmp_path / "a.hbm", (tmp_path / "a.hbm").read_bytes()):
        assert read_metadata(source) == {"weights": "random"}
    with pytest.raises(InputError, match=r"no\.hbm: cannot read this file"):
        read_metadata(tmp_path / "no.hbm")


def test_a_rule_that_a_file_breaks_is_no_fault_of_the_compiler():
    data = to_bytes(short_program())
    start = int.from_bytes(data[72:80], "little")  # of section program
    broken = sealed(data[: start + 32] + b"\4" + data[start + 33 :])
    with pytest.raises(InputError, match=r"opt 4; expected 0\.\.3$") as caught:
        from_bytes(broken)
    assert not isinstance(caught.value, CompilerError | CapacityError)
