"""Print the completion script of a shell.

    eval "$(hat completion bash)"                      in ~/.bashrc
    eval "$(hat completion zsh)"                       in ~/.zshrc, after compinit
    hat completion fish > ~/.config/fish/completions/hat.fish

The script is complete in itself: completing a word starts no Python. It knows commands, options,
their values, and the names of shipped configs and machines; print it again after an update.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import horizon.march
from hat.cli.completion_scripts import SCRIPTS, Command, Option
from hat.shipped import shipped_configs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=tuple(SCRIPTS))


def run(args: argparse.Namespace) -> int:
    print(SCRIPTS[args.shell](described()), end="")
    return 0


def described() -> list[Command]:
    """Every command with its options, from the parsers themselves."""
    from hat.cli.main import ALIASES, COMMANDS

    commands = []
    for name, text in {**COMMANDS, **{a: COMMANDS[n] for a, n in ALIASES.items()}}.items():
        parser = argparse.ArgumentParser()
        importlib.import_module(f"hat.cli.{ALIASES.get(name, name)}").add_arguments(parser)
        options = [option_of(action) for action in parser._actions]
        commands.append(Command(name.replace("_", "-"), text, options))
    return commands


def option_of(action: argparse.Action) -> Option:
    """What a shell needs to know of one argument of a parser."""
    text = "" if action.help is None else action.help.partition("\n")[0].replace("%%", "%")
    text = text % vars(action) if "%(" in text else text
    known: tuple[str, ...] = tuple(map(str, action.choices or ()))
    if action.dest == "config" or (action.dest == "file" and not action.option_strings):
        known = tuple(shipped_configs())
    elif action.dest == "march":
        known = horizon.march.available()
    takes = action.nargs != 0
    free = takes and not action.choices and action.type in (None, str, Path)
    free = free and action.dest != "name"
    return Option(tuple(action.option_strings), text, known, takes, files=free)
