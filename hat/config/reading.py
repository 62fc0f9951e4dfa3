"""Runs a config and the files that it derives from, and collects their public variables."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from hat.config import modules
from hat.config.overrides import Overrides
from hat.config.source import HOOK, Source, chain
from hat.errors import InputError


def read_sections(path: Path, overrides: Overrides, load: int | None = None) -> dict[str, Any]:
    """The sections of the config ``path`` with ``overrides`` in force.

    Args:
        load: which load of this process the files' modules are named after; a new one without it.
    """
    sources = chain(path)
    number = modules.next_load() if load is None else load
    sections: dict[str, Any] = {}
    for index, source in enumerate(sources):
        below = set().union(*(other.assigns for other in sources[index + 1 :]))
        name = modules.module_name(source.path, path, overrides.opts, number)
        in_force = overrides.derive(sections)
        namespace = _run(source, name, in_force, below)
        own = {key: value for key, value in namespace.items() if _is_section(key, value)}
        # what the file assigns has taken in the values of the files above; theirs win over the rest
        above = {key: value for key, value in sections.items() if key not in source.assigns}
        sections = {**own, **above}
    return sections


def _run(source: Source, name: str, overrides: Overrides, below: set[str]) -> dict[str, Any]:
    """The names that a file has defined at its end."""
    path = str(source.path)
    module = modules.new_module(name, source.path)
    module.__dict__[HOOK] = lambda variable, value: overrides.apply(
        variable, value, complete=variable not in below
    )
    try:
        exec(compile(source.tree, path, "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:
        modules.forget(name)
        # a config that ends Python would end the command without a word
        if isinstance(error, InputError) or not isinstance(error, Exception | SystemExit):
            raise
        # whatever a user's file raises is reported with its line
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
        where = f"{path}:{lines[-1]}" if lines else path
        raise InputError(f"{where}: {type(error).__name__}: {error}") from error
    return module.__dict__


def _is_section(name: str, value: Any) -> bool:
    if name.startswith("_") or isinstance(value, ModuleType | type):
        return False
    if isinstance(value, FunctionType):  # helpers defined in the file, not imported ones
        return modules.is_config(value.__module__)
    return True
