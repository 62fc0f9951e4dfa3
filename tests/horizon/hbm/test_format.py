"""The records of numpy and of C++ are the same, field by field."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from horizon.hbm import format as layout
from horizon.hbm import records
from tests.conftest import ROOT
from tests.missing import skip_without

HEADER = ROOT / "csrc/hbm/format.h"
TYPES = {
    "Header": layout.HEADER,
    "Section": layout.SECTION,
    "ProgramRecord": layout.PROGRAM,
    "TensorRecord": layout.TENSOR,
    "View": layout.VIEW,
    "Channel": layout.CHANNEL,
    "InstructionRecord": layout.INSTRUCTION,
}
ENUMS = {
    "SectionKind": layout.SectionKind,
    "Type": records.DataType,
    "Layout": records.Layout,
    "Space": records.Space,
    "Unit": records.Unit,
    "Opcode": records.Opcode,
    "WeightLayout": records.WeightLayout,
}


def _members(name: str) -> list[str]:
    """The enumerators of an enumeration of the C++ header."""
    text = re.sub(r"//.*", "", HEADER.read_text())
    body = re.search(rf"enum class {name} : [\w:]+ {{(.*?)}}", text, re.DOTALL)
    assert body
    return re.findall(r"(\w+) =", body[1])


@pytest.fixture(scope="module")
def facts(tmp_path_factory) -> dict[str, list[int]]:
    """What the C++ compiler says: offset and size of each field, sizes, values."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    if not compiler:
        skip_without("C++ compiler")
    lines = []
    for name, dtype in TYPES.items():
        lines.append(f'std::printf("{name} %zu 0\\n", sizeof({name}));')
        lines += [
            f'std::printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), '
            f"sizeof({name}::{field}));"
            for field in dtype.names
        ]
    lines += [
        f'std::printf("{name}::{member} %d 0\\n", static_cast<int>({name}::{member}));'
        for name in ENUMS
        for member in _members(name)
    ]
    lines.append('std::printf("version %u %zu\\n", kVersion, kAlignment);')
    lines.append('std::printf("units %d 0\\n", kUnits);')
    lines += [
        f'std::printf("{opcode.name} %d %zu\\n", int(kUnitOf[{opcode - 1}]), kOpcodes);'
        for opcode in records.Opcode
    ]
    lines += [f'std::printf("magic{i} %d 0\\n", kMagic[{i}]);' for i in range(8)]
    folder = tmp_path_factory.mktemp("format")
    source = folder / "facts.cpp"
    body = "\n".join(lines)
    source.write_text(
        '#include <cstdio>\n#include "hbm/format.h"\n'
        f"using namespace horizon;\nint main() {{\n{body}\n}}\n"
    )
    program = folder / "facts"
    command = [compiler, "-std=c++20", "-I", str(ROOT / "csrc"), str(source), "-o", str(program)]
    subprocess.run(command, check=True)
    output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return {name: list(map(int, rest)) for name, *rest in map(str.split, output.splitlines())}


@pytest.mark.parametrize("name", TYPES)
def test_records_have_the_same_fields_at_the_same_places(facts, name):
    dtype = TYPES[name]
    assert facts[name] == [dtype.itemsize, 0]
    covered = 0
    for field, (kind, offset) in ((f, dtype.fields[f][:2]) for f in dtype.names):
        assert facts[f"{name}.{field}"] == [offset, kind.itemsize], field
        assert offset == covered, "a gap"
        covered += kind.itemsize
    assert covered == dtype.itemsize


@pytest.mark.parametrize("name", ENUMS)
def test_enumerations_have_the_same_members_with_the_same_values(facts, name):
    found = {member: facts[f"{name}::{member}"][0] for member in _members(name)}
    assert found == {member.name: member.value for member in ENUMS[name]}


def test_version_alignment_and_magic_are_the_same(facts):
    assert facts["version"] == [records.VERSION, records.ALIGNMENT]
    assert facts["units"] == [len(records.Unit), 0]
    assert bytes(facts[f"magic{i}"][0] for i in range(8)) == records.MAGIC


def test_every_opcode_has_the_same_unit(facts):
    for opcode, unit in records.UNIT_OF.items():
        assert facts[opcode.name] == [unit, len(records.Opcode)]


def test_numbers_are_little_endian():
    for dtype in TYPES.values():
        values = np.ones((), dtype)
        for name in dtype.names:
            base = dtype.fields[name][0].base
            if base.kind in "ui":
                assert values[name].astype(base).tobytes()[:1] == b"\x01"


TITLES = {
    "Header": "**Header**, 64 bytes",
    "Section": "**Section table**, 6 entries of 32 bytes",
    "ProgramRecord": "**program**, one record of 64 bytes",
    "TensorRecord": "**tensors**, the inputs, then the outputs, 48 bytes each",
    "View": "**View**, 48 bytes",
    "Channel": "**Channel**, 32 bytes",
    "InstructionRecord": "**Instruction**, 352 bytes",
}


@pytest.mark.parametrize("name", TITLES)
def test_the_documentation_has_every_record_under_its_title(name):
    title, text = TITLES[name], (ROOT / "docs/hbm_format.md").read_text()
    assert text.count(title) == 1
    behind = text[text.index(title) :].split("\n\n")[1]
    assert behind.startswith(f"<!-- isa {name} -->\n| offset")
    assert f" {TYPES[name].itemsize} bytes" in title
