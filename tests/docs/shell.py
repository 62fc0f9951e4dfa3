"""The commands in blocks of the pages, as a shell reads them.

Understood are comments, continued lines, ``NAME=value`` lines (for the rest of the page), quotes,
``&&``, ``;``, ``|``, redirections and ``$(...)``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.docs import pages

ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)=(\"[^\"]*\"|'[^']*'|[^\s;]*)\s*(?:#.*)?$")
ENDS = {"&&", "||", ";", "|", "&"}


@dataclass(frozen=True)
class Command:
    """One simple command: its words, where its output goes, and what is said beside it."""

    place: str
    words: tuple[str, ...]
    output: str | None = None
    comment: str = ""

    def __str__(self) -> str:
        return shlex.join(self.words)


def commands_of(path: Path) -> list[Command]:
    """All commands of a page, in order."""
    variables: dict[str, str] = {}
    return [
        command
        for block in pages.read(path).blocks
        if block.tag == "sh"
        for command in commands_in(block, variables)
    ]


def commands_in(block: pages.Block, variables: dict[str, str]) -> Iterator[Command]:
    """The commands of a block; its assignments go to ``variables``."""
    for number, line in whole_lines(block):
        place = f"{pages.name_of(block.page)}:{number}"
        if match := ASSIGNMENT.match(line):
            variables[match[1]] = expanded(match[2].strip("\"'"), variables, place)
            continue
        yield from simple_commands(expanded(line, variables, place), place)


def whole_lines(block: pages.Block) -> Iterator[tuple[int, str]]:
    """Lines of the page with their numbers, continued ones joined, empty ones left out."""
    begin, collected = 0, ""
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        begin = begin or number
        if line.endswith("\\"):
            collected += line[:-1] + " "
            continue
        if (collected + line).strip():
            yield begin, collected + line
        begin, collected = 0, ""
    assert not collected, f"{block.place}: the last line ends with a backslash"


def expanded(text: str, variables: dict[str, str], place: str) -> str:
    """``text`` with the page's variables written out."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        assert name in variables, f"{place}: ${name} is assigned nowhere before in the page"
        return variables[name]

    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", value, text)


def simple_commands(line: str, place: str) -> Iterator[Command]:
    """The simple commands of a line, those inside of ``$(...)`` before the one around them."""
    while match := re.search(r"\$\(([^()]*)\)", line):
        yield from simple_commands(match[1].replace('\\"', '"'), place)
        line = line[: match.start()] + "OUTPUT" + line[match.end() :]
    code, comment = without_comment(line)
    lexer = shlex.shlex(code, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    output: str | None = None
    tokens = iter([*lexer, ";"])
    for token in tokens:
        if token in ENDS:
            if words:
                yield Command(place, tuple(words), output, comment)
            words, output = [], None
        elif set(token) == {">"}:
            output = next(tokens)
        else:
            words.append(token)


def without_comment(line: str) -> tuple[str, str]:
    """Code and comment of a line."""
    quote = ""
    for index, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "#" and (index == 0 or line[index - 1].isspace()):
            return line[:index], line[index + 1 :].strip()
    return line, ""
