"""Every fenced block says what it is, and a block of commands holds nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs import pages
from tests.docs.pages import listed

TAGS = {"sh", "python", "c", "cpp", "text", "toml", "json"}


@pytest.mark.parametrize("path", pages.paths(), ids=pages.name_of)
def test_every_block_has_a_known_tag(path: Path) -> None:
    wrong = [f"{b.place}: {b.tag!r}" for b in pages.read(path).blocks if b.tag not in TAGS]
    assert not wrong, listed(wrong)


@pytest.mark.parametrize("path", pages.paths(), ids=pages.name_of)
def test_commands_are_commands_only(path: Path) -> None:
    wrong = []
    for block in pages.read(path).blocks:
        if block.tag != "sh":
            continue
        for number, line in enumerate(block.text.splitlines(), block.line + 1):
            if re.match(r"\s*(\$ |>>>|%)|.*(\.\.\.(\s|$)|…|<\w+>)", line.partition(" #")[0]):
                wrong.append(f"{pages.name_of(path)}:{number}: {line}")
    assert not wrong, listed(wrong)


def test_the_pages_speak_of_the_project_alone() -> None:
    """No address of one machine, no absolute path."""
    pattern = re.compile(r"(?<![\w.])/(?:tmp|work|home|root|Users)/\w")
    found = [
        f"{pages.name_of(path)}:{number}: {line}"
        for path in pages.paths()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, listed(found)
