"""The modules of the original tool kit that a config imports, as the table has them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from hat.migration.notes import Kind, Note
from hat.migration.table import MODULES, ModuleRule


def stand_in(name: str) -> ModuleType | None:
    """The module that a config gets for ``import name``; None where Python's own import serves.

    Raises:
        ImportError: a module of a package in the table that is not in the table itself.
    """
    rule = MODULES.get(name)
    if rule is None:
        top = name.partition(".")[0]
        if top in MODULES and not _installed(top, MODULES[top]):
            raise ImportError(
                f"import {name}: this module of the original tool kit has no counterpart; there "
                f"are: {', '.join(sorted(MODULES))}"
            )
        return None
    return None if _installed(name, rule) else _StandIn(name, rule)


def import_notes(files: Iterable[Path]) -> list[Note]:
    """What the imports of config files get instead of the original tool kit's modules."""
    notes = []
    for file in files:
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                rule = MODULES.get(name)
                if rule and not _installed(name, rule):
                    where = f"{file.name}:{node.lineno}"
                    notes.append(Note(Kind.RENAMED, where, f"import {name}: {rule.text}"))
    return notes


class _StandIn(ModuleType):
    """A module whose names are looked up in the table when they are asked for."""

    def __init__(self, name: str, rule: ModuleRule) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self._rule = rule

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        inner = f"{self.__name__}.{name}"
        if inner in MODULES:
            return stand_in(inner)
        if name in self._rule.names:
            module, _, attribute = self._rule.names[name].partition(":")
            return getattr(importlib.import_module(module), attribute)
        if self._rule.like:
            return getattr(importlib.import_module(self._rule.like), name)
        raise ImportError(
            f"{self.__name__}.{name} of the original tool kit has no counterpart; "
            f"{self.__name__} has: {', '.join(self._rule.names)}"
        )


def _installed(name: str, rule: ModuleRule) -> bool:
    """Whether the module itself is there and serves better than its stand-in."""
    if not rule.unless_installed:
        return False
    top = name.partition(".")[0]
    return top in sys.modules or importlib.util.find_spec(top) is not None
