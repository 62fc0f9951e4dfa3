"""Tables and lists of the pages are whole: every option, kind and name of the code is in them."""

from __future__ import annotations

import argparse
import re

from hat.cli import infer
from hat.migration.table import ARGUMENTS, HBIR_MODELS, KEYS, MODULES, SETTINGS, TYPES
from hat.sequences.results import ENDINGS, KINDS, VIDEO
from hat.sequences.video_file import CODECS
from tests.conftest import ROOT
from tests.docs.shell import commands_of

INFER = ROOT / "docs/infer.md"
MIGRATING = ROOT / "docs/migrating.md"


def test_infer_has_every_option() -> None:
    text = INFER.read_text()
    parser = argparse.ArgumentParser()
    infer.add_arguments(parser)
    options = {action.option_strings[-1] for action in parser._actions if action.option_strings}
    missing = [option for option in options - {"--help", "--opts"} if option not in text]
    assert missing in ([], ["--save-path"])  # shown as -o
    assert len([c for c in commands_of(INFER) if c.words[:2] == ("hat", "infer")]) >= 10


def test_infer_has_every_kind_of_result_and_container() -> None:
    text = INFER.read_text()
    for kind in KINDS:
        ending = "_flow.mp4" if kind == VIDEO else ENDINGS[kind]
        assert re.search(rf"^\| `{kind}` \| `\w+{re.escape(ending)}` \|", text, re.MULTILINE), kind
    assert all(f"`{suffix}`" in text for suffix in CODECS)


def test_migrating_has_every_name_of_the_table() -> None:
    names = {rule.name for rule in (*TYPES, *ARGUMENTS)} | {
        rule.ours for rule in TYPES if rule.ours
    }
    names |= {*SETTINGS, *HBIR_MODELS, *KEYS, *(key for keys in KEYS.values() for key in keys)}
    names |= {name for rule in MODULES.values() for name in rule.names}
    names |= {name.rpartition(".")[2] for name in MODULES}
    code = " ".join(re.findall(r"`([^`]*)`", MIGRATING.read_text()))
    assert sorted(names - set(re.findall(r"\w+", code))) == []
