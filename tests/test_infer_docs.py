"""What docs/infer.md shows: its commands are understood, and its names exist."""

from __future__ import annotations

import argparse
import re
import shlex

import pytest

from hat.cli import infer
from hat.sequences.results import ENDINGS, KINDS, VIDEO
from hat.sequences.video_file import CODECS
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "infer.md").read_text()
COMMANDS = re.findall(r"^hat infer (.*?)(?:\s+#.*)?$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_are_understood(command: str) -> None:
    parser = argparse.ArgumentParser()
    infer.add_arguments(parser)
    infer.check(parser.parse_args(shlex.split(command)))


def test_there_are_commands_and_they_cover_the_options() -> None:
    assert len(COMMANDS) >= 10
    parser = argparse.ArgumentParser()
    infer.add_arguments(parser)
    options = {action.option_strings[-1] for action in parser._actions if action.option_strings}
    missing = [option for option in options - {"--help", "--opts"} if option not in TEXT]
    assert missing in ([], ["--save-path"])  # shown as -o


def test_the_tables_name_every_kind_and_container() -> None:
    for kind in KINDS:
        ending = "_flow.mp4" if kind == VIDEO else ENDINGS[kind]
        assert re.search(rf"^\| `{kind}` \| `\w+{re.escape(ending)}` \|", TEXT, re.MULTILINE), kind
    assert all(f"`{suffix}`" in TEXT for suffix in CODECS)
