"""Mistakes in the sections that commands read for themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from hat.cli.sections import read_section
from hat.config import Config
from hat.errors import InputError


def config(folder: Path, text: str) -> Config:
    path = folder / "config.py"
    path.write_text(text)
    return Config.fromfile(path)


def test_section_is_returned(tmp_path: Path) -> None:
    section = read_section(config(tmp_path, "a_cfg = dict(x=1, z=3)"), "a_cfg", ("x",), ("y", "z"))
    assert dict(section) == {"x": 1, "z": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("b_cfg = dict(x=1)", "no section 'a_cfg'.*did you mean 'b_cfg'"),
        ("a_cfg = 3", "a_cfg: expected a dict, found int"),
        ("a_cfg = dict(xx=1)", "a_cfg.xx: unknown key .did you mean 'x'"),
        ("a_cfg = dict(y=1)", "a_cfg has no 'x'; it needs: x"),
    ],
)
def test_mistakes_name_the_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_section(config(tmp_path, text), "a_cfg", ("x",), ("y",))
