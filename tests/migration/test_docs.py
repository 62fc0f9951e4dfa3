"""docs/migrating.md has every name of the table, docs/commands.md commands that work."""

from __future__ import annotations

import re
import shlex

import pytest

from hat.cli.main import main
from hat.migration.table import ARGUMENTS, HBIR_MODELS, KEYS, MODULES, SETTINGS, TYPES
from tests.conftest import ROOT

MIGRATING = (ROOT / "docs/migrating.md").read_text()
COMMANDS = (ROOT / "docs/commands.md").read_text()


def test_the_page_has_every_name_of_the_table():
    names = {rule.name for rule in (*TYPES, *ARGUMENTS)} | {
        rule.ours for rule in TYPES if rule.ours
    }
    names |= {*SETTINGS, *HBIR_MODELS, *KEYS, *(key for keys in KEYS.values() for key in keys)}
    names |= {name for rule in MODULES.values() for name in rule.names}
    names |= {name.rpartition(".")[2] for name in MODULES}
    written = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]*)`", MIGRATING))))
    assert names <= written


@pytest.mark.parametrize("line", re.findall(r"^hat (?:ls|cp|validate).*", COMMANDS, re.MULTILINE))
def test_the_commands_work(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "mine.py" in line and not line.startswith("hat cp"):
        assert main(["cp", "pwcnet_lite_generated", "mine.py"]) == 0
    words = shlex.split(re.sub(r"\s{2,}.*", "", line))
    assert main(words[1:]) == 0
