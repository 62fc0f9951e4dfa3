"""Completion scripts of three shells, from a description of the commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Option:
    """One option, or one positional argument where ``names`` is empty.

    Attributes:
        names: ``("-s", "--stage")``.
        text: what it is for, in one line.
        values: what may follow; empty if anything.
        takes_value: whether a word follows at all.
        files: whether file names may follow.
    """

    names: tuple[str, ...]
    text: str = ""
    values: tuple[str, ...] = ()
    takes_value: bool = True
    files: bool = False


@dataclass(frozen=True)
class Command:
    """A command of ``hat`` and what it takes."""

    name: str
    text: str
    options: Sequence[Option] = field(default_factory=tuple)

    @property
    def flags(self) -> list[str]:
        return [name for option in self.options for name in option.names]

    @property
    def positional(self) -> list[Option]:
        return [option for option in self.options if not option.names]


def bash(commands: Sequence[Command]) -> str:
    """For ``eval "$(hat completion bash)"``."""
    cases = []
    for command in commands:
        inner = [
            f"                {'|'.join(option.names)}) {_bash_values(option)}; return;;"
            for option in command.options
            if option.names and option.takes_value
        ]
        words = [*command.flags, *(v for option in command.positional for v in option.values)]
        files = any(option.files for option in command.positional)
        rest = f'COMPREPLY=($(compgen -W {_quoted(words)} -- "$word"))'
        if files:
            rest += '; [[ $word == -* ]] || COMPREPLY+=($(compgen -f -- "$word"))'
        body = "\n".join(['            case "$before" in', *inner, "            esac"]) + "\n"
        cases.append(f"        {command.name})\n{body if inner else ''}            {rest};;")
    names = _quoted([command.name for command in commands])
    return (
        "# bash completion of hat\n"
        "_hat() {\n"
        '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"\n'
        "    COMPREPLY=()\n"
        "    if ((COMP_CWORD == 1)); then\n"
        f'        COMPREPLY=($(compgen -W {names} -- "$word"))\n'
        "        return\n"
        "    fi\n"
        '    case "${COMP_WORDS[1]}" in\n' + "\n".join(cases) + "\n    esac\n}\n"
        "complete -o filenames -F _hat hat\n"
    )


def zsh(commands: Sequence[Command]) -> str:
    """For ``eval "$(hat completion zsh)"`` after ``compinit``, or a file ``_hat`` in ``fpath``."""
    names = "\n".join(
        f"        {shlex.quote(f'{command.name}:{_plain(command.text)}')}" for command in commands
    )
    cases = "\n".join(
        f"        {command.name})\n            _arguments \\\n"
        + " \\\n".join(f"                {spec}" for spec in _zsh_specs(command))
        + ";;"
        for command in commands
    )
    return (
        "#compdef hat\n"
        "_hat() {\n"
        "    local -a commands\n"
        f"    commands=(\n{names}\n    )\n"
        "    if ((CURRENT == 2)); then\n"
        "        _describe 'command' commands\n"
        "        return\n"
        "    fi\n"
        '    local command="${words[2]}"\n'
        "    shift words\n"
        "    ((CURRENT--))\n"
        f'    case "$command" in\n{cases}\n    esac\n'
        "}\n"
        'if [[ "${funcstack[1]}" == _hat ]]; then _hat "$@"; else compdef _hat hat; fi\n'
    )


def fish(commands: Sequence[Command]) -> str:
    """For ``hat completion fish | source``."""
    lines = ["# fish completion of hat", "complete -c hat -f"]
    for command in commands:
        lines.append(
            f"complete -c hat -n __fish_use_subcommand -a {command.name} "
            f"-d {_fish_quoted(command.text)}"
        )
    for command in commands:
        start = f"complete -c hat -n '__fish_seen_subcommand_from {command.name}'"
        for option in command.options:
            words = [start]
            for name in option.names:
                kind = "-l" if name.startswith("--") else "-s" if len(name) == 2 else "-o"
                words.append(f"{kind} {name.lstrip('-')}")
            if option.names and option.takes_value:
                words.append("-r" if option.files else "-x")
            if option.files:
                words.append("-F")
            if option.values:
                words.append(f"-a {_fish_quoted(' '.join(option.values))}")
            if option.text:
                words.append(f"-d {_fish_quoted(option.text)}")
            lines.append(" ".join(words))
    return "\n".join(lines) + "\n"


SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}


def _bash_values(option: Option) -> str:
    parts = []
    if option.values:
        parts.append(f'COMPREPLY+=($(compgen -W {_quoted(option.values)} -- "$word"))')
    if option.files:
        parts.append('COMPREPLY+=($(compgen -f -- "$word"))')
    return "; ".join(parts) or ":"


def _zsh_specs(command: Command) -> list[str]:
    specs = []
    position = 0
    for option in command.options:
        values = f"({' '.join(option.values)})" if option.values else ""
        if option.files:
            # both: the names that are known, and files
            values = f"{{compadd -- {' '.join(option.values)}; _files}}" if values else "_files"
        if not option.names:
            position += 1
            specs.append(shlex.quote(f"{position}:{_plain(option.text) or 'argument'}:{values}"))
            continue
        follows = f":value:{values}" if option.takes_value else ""
        text = f"[{_plain(option.text)}]" if option.text else ""
        specs += [shlex.quote(f"{name}{text}{follows}") for name in option.names]
    return specs or ["'*: :_files'"]


def _plain(text: str) -> str:
    """Without what ``_arguments`` and ``_describe`` read as syntax."""
    return re.sub(r"[\[\]:{}\\]", " ", text)


def _quoted(words: Sequence[str]) -> str:
    return shlex.quote(" ".join(words))


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
