"""The files that the pages let their readers write: which blocks they are made of."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import ROOT
from tests.docs import pages

# Of a page, by its name without a language: the files, and for each of its blocks how a line
# begins that only this block has. None: the reader has the file already.
OWN_FILES: dict[str, dict[str, tuple[str, ...] | None]] = {
    "data_sets": {"my_sintel.py": ('task_name = "pwcnet_lite_sintel"',)},
    "own_network": {"mine.py": ('task_name = "mine"', 'targets = ["label"]')},
    "commands": {"mine.py": ('_base_ = "pwcnet_lite_generated"',)},
    "migrating": {"my_config.py": None},
    "march": {"mine.toml": ('title = "My accelerator with 512 KB of SRAM"',)},
}
OWN_CONFIGS = {name for files in OWN_FILES.values() for name in files if name.endswith(".py")}
# What is changed in a file before its commands run: a smaller network, fewer samples.
SMALLER = {
    ("own_network", "mine.py"): (
        ("torchvision.models.resnet18", "torchvision.models.squeezenet1_1"),
        ("pictures(640)", "pictures(4)"),
        ("pictures(128)", "pictures(2)"),
    )
}


def own_files(path: Path) -> dict[str, str]:
    """Names and texts of the files that the reader of a page writes."""
    files = {}
    for name, lines in OWN_FILES.get(path.stem, {}).items():
        if lines is not None:
            files[name] = "".join(block_with(path, line).text for line in lines)
    return files


def smaller(path: Path, name: str, text: str) -> str:
    """The file's text, changed so that its commands take seconds."""
    for old, new in SMALLER.get((path.stem, name), ()):
        assert old in text, f"{pages.name_of(path)}: {name} has no {old} any more: see SMALLER"
        text = text.replace(old, new)
    return text


def block_with(path: Path, line: str) -> pages.Block:
    """The one block of a page with a line that begins so."""
    begins = re.compile(rf"^\s*{re.escape(line)}", re.MULTILINE)
    found = [block for block in pages.read(path).blocks if begins.search(block.text)]
    assert len(found) == 1, f"{pages.name_of(path)}: {len(found)} blocks with the line {line}"
    return found[0]


def machine_of_the_manual() -> str:
    """The machine's description of docs/march.md, which other pages call mine.toml."""
    return own_files(ROOT / "docs/march.md")["mine.toml"]
