"""The description of the instruction set, and what is made from it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from horizon.errors import InputError
from horizon.hbir import fixed_point
from horizon.isa import INSTRUCTIONS, RECORDS, DataType, Opcode, Space, Unit, bounds, generate
from horizon.isa.markdown import filled
from tests.conftest import ROOT

FIELDS = {field.name: field for field in RECORDS["InstructionRecord"].fields}


def test_generated_files_are_current():
    assert generate.stale() == []


def test_the_command_says_what_is_not_current(tmp_path, monkeypatch, capsys):
    for name, text in generate.generated().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    header = tmp_path / "csrc/hbm/format.h"
    header.write_text(header.read_text().replace("kVersion = ", "kVersion = 9"))
    assert generate.main(["--check"]) == 1
    assert "csrc/hbm/format.h is not current; run python -m" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert capsys.readouterr().out == "wrote csrc/hbm/format.h\n"
    assert generate.main(["--check"]) == 0


def test_the_command_runs_by_itself():
    command = [sys.executable, "-m", "horizon.isa.generate", "--check"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def test_a_document_without_the_marks_is_refused():
    with pytest.raises(InputError, match="are marked"):
        filled("<!-- isa Header -->\n<!-- end -->\n")


@pytest.mark.parametrize("opcode", Opcode)
def test_an_instruction_has_what_every_instruction_has(opcode):
    operation = INSTRUCTIONS[opcode]
    assert {"out", "a"} <= set(operation.operands) <= {"out", "a", "b", "weight"}
    assert set(operation.fields) <= set(FIELDS)
    assert all(FIELDS[name].form not in ("zero", "view") for name in operation.fields)
    assert not any(operation.operands[name].optional for name in ("out", "a"))
    for operand in operation.operands.values():
        assert operand.spaces
        assert operand.types
        assert Space.none not in operand.spaces


def test_every_opcode_unit_and_type_is_in_the_table():
    assert list(INSTRUCTIONS) == list(Opcode)
    assert [opcode.value for opcode in Opcode] == list(range(1, len(Opcode) + 1))
    assert {operation.unit for operation in INSTRUCTIONS.values()} == set(Unit)
    for members in (DataType, Space, Unit):
        assert [member.value for member in members] == list(range(len(members)))


def test_defaults_are_what_unused_fields_hold():
    for field in FIELDS.values():
        if field.form in ("number", "pair", "flag", "enum"):
            assert field.default == (1 if field.name in ("kernel", "stride", "dilation") else 0)
        if field.low is not None:
            assert field.high is not None
            assert field.low <= field.high


def test_fields_lie_at_multiples_of_their_size():
    for record in RECORDS.values():
        for field in record.fields:
            one = field.size // field.count
            align = 1 if field.type == "char" else 8 if field.type == "View" else one
            assert record.offsets[field.name] % align == 0, (record.name, field.name)
        assert record.size % 8 == 0


def test_bounds_are_those_of_the_arithmetic():
    assert bounds.MAX_MULTIPLIER == fixed_point.MULTIPLIER_LIMIT
    assert bounds.ACCUMULATOR_LIMIT == fixed_point.ACCUMULATOR_LIMIT
    assert fixed_point.SHIFT_RANGE == (1, bounds.MAX_SHIFT)
    assert bounds.MAX_FRACTION_BITS == fixed_point.FRACTION_BITS
