"""Every command of the pages is understood by the program that it calls, and has its files.

Programs' own parsers read the words: those of ``hat``, of the scripts in ``tools/`` and of the
benchmarks. ``test_running.py`` runs the commands.
"""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pytest

from hat.cli.main import ALIASES, COMMANDS
from hat.config import Config, parse_opts
from hat.shipped import shipped_config
from horizon import march
from tests.conftest import ROOT
from tests.docs import pages
from tests.docs.own_files import OWN_CONFIGS
from tests.docs.shell import Command, commands_of

PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9_]*(\.\w+)?")
ALL = [command for path in pages.paths() for command in commands_of(path)]


SYSTEM = (
    *("source", ".", "deactivate", "cd", "eval", "mkdir", "ls", "cp", "mv", "rm", "export"),
    *("git", "apt-get", "unzip", "tar", "ruff", "mypy", "clang-format", "pytest", "tensorboard"),
)


class Understood(Exception):
    """Raised where a program would begin its work."""


@pytest.mark.parametrize("command", ALL, ids=lambda c: f"{c.place} {c}"[:100])
def test_the_command_is_understood(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    words = list(command.words)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # of the environment
        words.pop(0)
    assert words, command
    checker = CHECKERS.get(Path(words[0]).name)
    assert checker, f"{command.place}: nothing here knows the program {words[0]!r}"
    monkeypatch.chdir(ROOT)
    checker(words[1:], monkeypatch)


def hat(words: list[str], _: pytest.MonkeyPatch) -> None:
    if words[0] in ("--help", "-h", "--version", "-V"):
        return
    name = words[0].replace("-", "_")
    name = ALIASES.get(name, name)
    assert name in COMMANDS, name
    of_the_tool_kit(name, words[1:])


def of_the_tool_kit(name: str, words: list[str]) -> None:
    """Parse the words of a command of ``hat``; look for config, ``--opts`` and machines."""
    module = importlib.import_module(f"hat.cli.{name}")
    parser = argparse.ArgumentParser(exit_on_error=False)
    monkey = pytest.MonkeyPatch()
    monkey.setattr(parser, "error", refuse)
    try:
        module.add_arguments(parser)
        if "--help" in words:
            return
        arguments = vars(parser.parse_args(words))
    finally:
        monkey.undo()
    if hasattr(module, "check"):
        module.check(argparse.Namespace(**arguments))
    for name in as_list(arguments.get("march")):
        assert name in march.available() or name.endswith(".toml"), f"no machine {name}"
    config = arguments.get("config")
    if isinstance(config, str):
        check_config(config, arguments.get("opts") or [])


def check_config(name: str, opts: list[str]) -> None:
    """The config comes along, or is one that the page has its reader write."""
    if PLACEHOLDER.fullmatch(name) or name in OWN_CONFIGS:
        return
    path = ROOT / name if (ROOT / name).is_file() else shipped_config(name)
    assert path, f"no config {name}; those that pages let their readers write: own_files.py"
    given = parse_opts(opts)
    config = whole_config(path)
    for key in given:
        value: Any = config
        for part in key.split(".")[:-1]:
            value = value[int(part)] if isinstance(value, list) else value[part]
        last = key.rpartition(".")[2]
        assert not isinstance(value, dict | Config) or last in value or "." in key, (
            f"{path.name} has no key {key}"
        )
    if given:
        Config.fromfile(path, given)  # refuses what it cannot set


@cache
def whole_config(path: Path) -> Config:
    return Config.fromfile(path)


def as_list(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def refuse(message: str) -> NoReturn:
    raise AssertionError(message)


def python(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if words[0] == "-c":
        compile(words[1], "command", "exec")
    elif words[0] == "-m":
        module_of(words[1], words[2:], monkeypatch)
    elif words[0].startswith("tools/"):
        name = Path(words[0]).stem
        assert (ROOT / words[0]).is_file(), words[0]
        of_the_tool_kit(name, words[1:])
    else:
        assert (ROOT / words[0]).is_file(), words[0]


def module_of(name: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """``python -m NAME``: the module exists; a benchmark's parser understands its words."""
    if name in ("pytest", "venv", "pip"):
        if name == "pip":
            pip(words, monkeypatch)
        return
    assert find_spec(name), f"no module {name}"
    if not name.startswith("benchmarks."):
        return
    module = importlib.import_module(name)
    original = argparse.ArgumentParser.parse_args

    def parse(self: argparse.ArgumentParser, *given: Any) -> NoReturn:
        original(self, *given)
        raise Understood

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    monkeypatch.setattr(argparse.ArgumentParser, "error", lambda _, message: refuse(message))
    monkeypatch.setattr(sys, "argv", [name, *words])
    with pytest.raises(Understood):
        module.main()


def make(words: list[str], _: pytest.MonkeyPatch) -> None:
    targets = set(re.findall(r"^([\w.-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wanted = {word for word in words if "=" not in word and not word.startswith("-")}
    assert wanted <= targets, f"the Makefile has no {', '.join(wanted - targets)}"


def pip(words: list[str], _: pytest.MonkeyPatch) -> None:
    """``pip install``: a folder with pyproject.toml, its extras, or a file that a build makes."""
    assert words[0] == "install", words
    for word in words[1:]:
        target, _, extras = word.partition("[")
        if target in (".", "./runtime") or ("/" in target and (ROOT / target).is_dir()):
            project = tomllib.loads((ROOT / target / "pyproject.toml").read_text())["project"]
            known = set(project.get("optional-dependencies", {}))
            assert set(filter(None, extras.rstrip("]").split(","))) <= known, word
        elif "/" in target or target.endswith((".whl", ".tar.gz")):
            assert target.startswith("dist/"), f"{word}: only make wheels makes packages, in dist/"


@cache
def help_of_the_executor() -> str:
    program = Path(sys.executable).with_name("hrt_model_exec")
    return subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout


def hrt_model_exec(words: list[str], _: pytest.MonkeyPatch) -> None:
    known = set(re.findall(r"--\w+", help_of_the_executor()))
    assert words[0] in {"model_info", "infer", "perf", "--help"}, words[0]
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert options <= known | {"--help"}, options - known


def compiler(words: list[str], _: pytest.MonkeyPatch) -> None:
    """Sources of this project that it compiles exist."""
    for word in words:
        if word.endswith((".c", ".cpp")) and "/" in word:
            assert (ROOT / word).is_file(), word


def nothing(words: list[str], _: pytest.MonkeyPatch) -> None:
    """A program of the system: ``source``, ``cd``, ``ls`` ..."""


CHECKERS: dict[str, Callable[[list[str], pytest.MonkeyPatch], None]] = {
    "hat": hat,
    "python": python,
    "python3": python,
    "make": make,
    "pip": pip,
    "hrt_model_exec": hrt_model_exec,
    **dict.fromkeys(("gcc", "g++", "cc", "c++", "cmake"), compiler),
    **dict.fromkeys(SYSTEM, nothing),
}


@pytest.mark.parametrize("path", pages.paths(), ids=pages.name_of)
def test_commands_in_sentences_exist(path: Path) -> None:
    """``hat X``, ``make X``, ``tools/X.py`` and ``python -m X`` in the middle of a sentence."""
    targets = (ROOT / "Makefile").read_text()
    wrong = []
    for line, text in pages.inline_code(path):
        if match := re.match(r"hat ([a-z][\w-]*)", text):
            name = match[1].replace("-", "_")
            good = ALIASES.get(name, name) in COMMANDS
        elif match := re.match(r"make ([a-z][\w-]*)", text):
            good = re.search(rf"^{re.escape(match[1])}:", targets, re.MULTILINE) is not None
        elif match := re.match(r"python3? -m ([a-z][\w.]*)", text):
            good = find_spec(match[1]) is not None
        elif match := re.match(r"python3? ([\w/]+\.py)", text):
            good = (ROOT / match[1]).is_file()
        else:
            continue
        if not good:
            wrong.append(f"{line}: {text}")
    assert not wrong, pages.listed(wrong)
