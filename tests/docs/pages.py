"""The pages of the documentation, taken apart: headings, links, inline code and fenced blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

PATTERNS = (
    *("README*.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"),
    *("docs/**/*.md", "models/*/README.md"),
)
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})\s*(\S*)")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its tag (``sh``, ``python`` ...) and what is in it."""

    page: Path
    line: int
    tag: str
    text: str

    @property
    def place(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


@dataclass(frozen=True)
class Page:
    """A page: its lines outside of fenced blocks, by number, and its blocks."""

    path: Path
    prose: dict[int, str]
    blocks: tuple[Block, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.prose.values())


def name_of(path: Path) -> str:
    """``docs/infer.md``: the path from the project's root."""
    return path.relative_to(ROOT).as_posix()


def listed(lines: list[str]) -> str:
    """For the message of a failed test: one line each."""
    return "\n" + "\n".join(lines)


def paths() -> list[Path]:
    """The files of all pages."""
    return sorted({path for pattern in PATTERNS for path in ROOT.glob(pattern)})


@cache
def read(path: Path) -> Page:
    """Take the page apart.

    Raises:
        AssertionError: a fence is not closed.
    """
    prose: dict[int, str] = {}
    blocks: list[Block] = []
    opening, tag, begin, inside = "", "", 0, list[str]()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = FENCE.match(line)
        if opening:
            if fence and fence[1].startswith(opening) and not fence[2]:
                blocks.append(Block(path, begin, tag, "\n".join(inside) + "\n"))
                opening = ""
            else:
                inside.append(line)
        elif fence:
            opening, tag, begin, inside = fence[1], fence[2], number, []
        else:
            prose[number] = line
    assert not opening, f"{name_of(path)}:{begin}: a fence that is not closed"
    return Page(path, prose, tuple(blocks))


def blocks(*tags: str) -> list[Block]:
    """The blocks of all pages with one of the tags."""
    return [block for path in paths() for block in read(path).blocks if block.tag in tags]


def headings(path: Path) -> set[str]:
    """The anchors of the page's headings, as the hosts of repositories make them."""
    found: dict[str, int] = {}
    anchors = set()
    for line in read(path).prose.values():
        if match := re.match(r"#{1,6}\s+(.*?)\s*#*$", line):
            anchor = slug(match[1])
            count = found.setdefault(anchor, 0)
            found[anchor] += 1
            anchors.add(f"{anchor}-{count}" if count else anchor)
        anchors |= set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", line))
    return anchors


def slug(heading: str) -> str:
    """The anchor of a heading: lower case, hyphens for spaces, no punctuation."""
    heading = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")


def links(path: Path) -> Iterator[tuple[int, str]]:
    """Line and target of every link and picture that is no web address."""
    for number, line in read(path).prose.items():
        line = re.sub(r"`[^`]*`", "", line)
        found = re.findall(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)", line)
        found += re.findall(r"(?:src|srcset|href)=\"([^\"]+)\"", line)
        found += re.findall(r"^\[[^\]]+\]:\s+(\S+)", line)
        for target in found:
            if not re.match(r"[a-z][a-z0-9+.-]*:", target):
                yield number, target


def inline_code(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every ```code``` in a sentence or table; it may go on in the next line."""
    lines = read(path).prose
    whole = "".join(f"{number}\0{line}\n" for number, line in lines.items())
    for match in re.finditer(r"(?<!`)`([^`\0]*(?:\n\d+\0[^`\0]*)?)`(?!`)", whole):
        before = whole[: match.start()].rpartition("\n")[2]
        yield int(before.partition("\0")[0]), re.sub(r"\s*\n\d+\0\s*", " ", match[1])
