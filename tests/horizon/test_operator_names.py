"""What an operator is, its definition says: nothing else asks for it by name.

Excepted are the definitions, what stands a second time on purpose (the compiler's verifier, the
rules and proofs of a file), and the torch twins.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from horizon.hbir.operators import OPERATORS
from horizon.hbm.records import Opcode
from tests.conftest import ROOT

DEFINITIONS = (
    "horizon/hbir/operators/",
    "horizon/isa/",
    "horizon/quantization/layers/",
    "horizon/compiler/verify/",
    "horizon/hbm/rules.py",
    "horizon/hbm/table_rules.py",
    "horizon/hbm/proof.py",
)
# Loads, stores and copies are no operators: they move what operators make.
INSTRUCTIONS = {operator.instruction for operator in OPERATORS.values()} - {None}
FILES = [
    path
    for package in ("horizon", "hat")
    for path in sorted((ROOT / package).rglob("*.py"))
    if not str(path.relative_to(ROOT)).startswith(DEFINITIONS)
]


def names_in(node: ast.AST) -> Iterator[str]:
    """Operators, as strings, and opcodes that an expression spells out."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and part.value in OPERATORS:
            yield str(part.value)
        elif (
            isinstance(part, ast.Attribute)
            and isinstance(part.value, ast.Name)
            and part.value.id == "Opcode"
            and part.attr in INSTRUCTIONS
        ):
            yield f"Opcode.{part.attr}"


def is_operator(node: ast.AST) -> bool:
    """Whether an expression is a node's operator, an instruction's opcode, or one of such."""
    last = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return last in ("op", "opcode", "kind", "code")


def questions_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what is named) of comparisons, and of tables and matches by operators."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = (node.left, *node.comparators)
            named = [name for side in sides for name in names_in(side)]
            if named and any(is_operator(side) for side in sides):
                yield node.lineno, ", ".join(named)
        elif isinstance(node, ast.Dict):
            keys = [name for key in node.keys if key is not None for name in names_in(key)]
            if len(keys) > 2:
                yield node.lineno, f"a table of {', '.join(keys)}"
        elif isinstance(node, ast.match_case):
            named = list(names_in(node.pattern))
            if named:
                yield node.pattern.lineno, ", ".join(named)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_asks_for_an_operator_by_name(path: Path) -> None:
    found = [f"line {line}: {named}" for line, named in questions_in(ast.parse(path.read_text()))]
    assert not found, f"{path}: ask the operator's definition (horizon.hbir.operators) instead"


def test_the_test_finds_what_it_looks_for() -> None:
    code = """
if node.op == "conv2d": pass
if node.op in ("warp", "add"): pass
if instruction.opcode is Opcode.conv: pass
units = {"conv2d": 1, "warp": 2, "add": 3}
if name == "add": pass
if instruction.opcode is Opcode.load: pass
"""
    assert [line for line, _ in questions_in(ast.parse(code))] == [2, 3, 4, 5]


def test_every_operator_has_an_instruction_or_only_moves() -> None:
    for operator in OPERATORS.values():
        assert (operator.instruction is None) == (operator.moves is not None)
        assert operator.instruction is None or operator.instruction in Opcode.__members__
