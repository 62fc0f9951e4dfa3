"""Links, cited headings and files that the pages name exist; every page can be found."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs import pages
from tests.docs.pages import listed

FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
# What the commands of the pages write, what a build makes, and names for examples.
MADE = re.compile(r"(tmp_|demo_out|dist/|build/|horizon/(lib|include)/)")
PATH = re.compile(r"[\w.-]+(/[\w.*{},-]+)+/?|[\w-]+\.(md|toml)|Makefile|LICENSE")
each_page = pytest.mark.parametrize("path", pages.paths(), ids=pages.name_of)


@each_page
def test_links_lead_to_files_and_headings(path: Path) -> None:
    broken = []
    for line, target in pages.links(path):
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or ROOT not in (file, *file.parents):
            broken.append(f"{line}: {target}: no such file")
        elif anchor and anchor not in pages.headings(file):
            near = ", ".join(sorted(pages.headings(file)))
            broken.append(f"{line}: {target}: no such heading; there are {near}")
    assert not broken, listed(broken)


@each_page
def test_files_that_it_names_exist(path: Path) -> None:
    missing = [
        f"{line}: {text}"
        for line, text in pages.inline_code(path)
        if is_path_of_the_project(text) and not exists(text, path)
    ]
    assert not missing, listed(missing)


def is_path_of_the_project(text: str) -> bool:
    first, slash, _ = text.partition("/")
    return bool(PATH.fullmatch(text) and not MADE.match(text) and (not slash or first in FOLDERS))


def exists(text: str, page: Path) -> bool:
    """Whether a path, or a pattern, names a file from the project's root or beside the page."""
    beside = (ROOT, page.parent)
    return any(
        (folder / text).exists() or any(folder.glob(expanded))
        for folder in beside
        for expanded in braces(text.rstrip("/"))
    ) or any(file == text or file.endswith("/" + text) for file in tracked() if "/" not in text)


def braces(text: str) -> list[str]:
    """``a/{b,c}.py`` written out."""
    match = re.search(r"\{([^}]*)\}", text)
    if not match:
        return [text]
    return [
        text[: match.start()] + word + rest
        for word in match[1].split(",")
        for rest in braces(text[match.end() :])
    ]


@cache
def tracked() -> tuple[str, ...]:
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return tuple(found.stdout.split())


@pytest.mark.parametrize(
    ("start", "pattern"),
    [("docs/README.md", "docs/*.md"), ("README.zh-CN.md", "docs/zh-CN/*.md")],
)
def test_every_page_is_reachable_from_the_index(start: str, pattern: str) -> None:
    todo, found = [ROOT / start], {ROOT / start}
    while todo:
        path = todo.pop()
        for _, target in pages.links(path):
            file = (path.parent / target.partition("#")[0]).resolve()
            if file.suffix == ".md" and file.exists() and file not in found:
                found.add(file)
                todo.append(file)
    unreachable = [pages.name_of(p) for p in sorted(ROOT.glob(pattern)) if p not in found]
    assert not unreachable, listed(unreachable)


def test_the_index_names_every_page_itself() -> None:
    index = ROOT / "docs/README.md"
    linked = {
        (index.parent / target.partition("#")[0]).resolve() for _, target in pages.links(index)
    }
    own = set(ROOT.glob("docs/*.md")) - {index}
    missing = sorted(pages.name_of(path) for path in own - linked)
    assert not missing, listed(missing)
