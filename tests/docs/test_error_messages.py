"""Every error message that a page quotes stands in the source.

A page quotes messages as code in the first column of a table with the heading ``HEADING``.
``...`` stands for what varies. The words between must be those of one text of the source, in
their order: of one string in Python, f-strings with their holes, or of the strings of one
statement in C++.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEADING = "错误信息"
PAGE = ROOT / "docs" / "zh-CN" / "errors.md"
HOLE = "\0"
FEWEST_LETTERS = 12  # fixed ones in a message: fewer would be found anywhere
CPP_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')


def quoted_messages(page: Path) -> list[tuple[int, str]]:
    """Line and text of every message that the page quotes."""
    found, inside = [], False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == HEADING:
            inside = True
        elif inside and not set(line) <= set("|- "):
            found += [(number, text) for text in re.findall(r"`([^`]+)`", cells[0])]
    return found


@cache
def texts() -> tuple[str, ...]:
    """The texts of the source, with ``HOLE`` for what varies."""
    python = (
        p for folder in ("hat", "horizon", "horizon_flow") for p in ROOT.glob(f"{folder}/**/*.py")
    )
    cpp = (p for ending in ("cpp", "h") for p in ROOT.glob(f"csrc/**/*.{ending}"))
    return (
        *(text for path in python for text in python_texts(path.read_text())),
        *(text for path in cpp for text in cpp_texts(path.read_text())),
    )


def python_texts(source: str) -> Iterator[str]:
    """All strings but the documentation."""
    tree = ast.parse(source)
    documentation = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if node in documentation:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(v.value if isinstance(v, ast.Constant) else HOLE for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def cpp_texts(source: str) -> Iterator[str]:
    """The strings of each statement; neighbours without anything between are one."""
    source = re.sub(r"//.*", "", source)
    source = re.sub(r'"\s*\n?\s*"', "", source)
    for statement in re.split(r";\s*\n", source):
        if strings := CPP_STRING.findall(statement):
            yield HOLE.join(strings)


def pattern_of(message: str) -> re.Pattern[str]:
    parts = [re.escape(part) for part in re.split(r"\s?\.\.\.\s?", message)]
    return re.compile(r".*?".join(parts), re.DOTALL)


MESSAGES = quoted_messages(PAGE)


def test_the_page_quotes_messages_of_all_stages() -> None:
    assert len(MESSAGES) >= 40
    assert len({text for _, text in MESSAGES}) == len(MESSAGES), "one is quoted twice"


@pytest.mark.parametrize(("line", "message"), MESSAGES)
def test_the_message_is_in_the_source(line: int, message: str) -> None:
    fixed = re.sub(r"\W", "", message)
    assert len(fixed) >= FEWEST_LETTERS, f"{PAGE.name}:{line}: too few words: {message}"
    pattern = pattern_of(message)
    assert any(pattern.search(text) for text in texts()), (
        f"{PAGE.name}:{line}: no text of the source reads: {message}"
    )


def test_a_message_that_is_not_in_the_source_is_found_out() -> None:
    pattern = pattern_of("...: no such checkpoint; ask your neighbour for it")
    assert not any(pattern.search(text) for text in texts())


def test_the_words_must_be_of_one_text() -> None:
    source = 'raise InputError(f"{path}: is no {kind}; expected a " "file")\nprint("or a folder")'
    assert any(pattern_of("is no ...; expected a file").search(t) for t in python_texts(source))
    assert not any(pattern_of("is no ... or a folder").search(t) for t in python_texts(source))
