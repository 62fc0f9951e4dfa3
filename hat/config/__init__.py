"""Experiment configs: Python files whose public names are the sections.

A config file is ordinary Python, read from top to bottom. Two things can give one of its top-level
variables another value, and both act *at the assignment*, so that everything that is computed from
the variable further down follows:

- ``--opts batch_size_per_gpu 4 float_trainer.num_epochs 2`` on a command line;
- another config that names it in ``_base_`` and assigns the same variable. A dict in the derived
  file is merged into the base's dict key by key; ``_delete_=True`` in it replaces the dict instead.

A variable that nothing reads and no file assigns is an error, not a new variable.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hat.config.kinds import KINDS, check_kinds
from hat.config.overrides import Overrides
from hat.config.reading import read_sections
from hat.errors import InputError
from hat.migration import Note, translate
from hat.paths import search_inputs_from
from hat.registry import nearest
from hat.shipped import find_config

__all__ = ["Config", "parse_opts"]


class Config(Mapping[str, Any]):
    """The sections of one experiment: a read-only mapping with attribute access.

    Attributes:
        path: of the file.
        notes: what a config in the words of the original tool kit has in other words here.
    """

    def __init__(self, sections: dict[str, Any], path: str, notes: Sequence[Note] = ()) -> None:
        self._sections = sections
        self.path = path
        self.notes = list(notes)

    @classmethod
    def fromfile(cls, path: str | Path, opts: Mapping[str, Any] | None = None) -> Config:
        """Read a config file; from now on inputs are looked up near it as well (hat.paths).

        Args:
            path: the ``.py`` file, or the name of one that came along (hat.shipped).
            opts: values by dotted key (``{"data_loader.batch_size": 4}``).

        Raises:
            InputError: no such file, an error inside it, or a key in ``opts`` that does not exist.
        """
        path = find_config(path)
        overrides = Overrides(opts or {})
        sections = read_sections(path, overrides)
        overrides.check_all_used(sections, str(path))
        search_inputs_from(path)
        translated, notes = translate(sections)
        check_kinds(translated, str(path))
        return cls(translated, str(path), notes)

    def __getitem__(self, name: str) -> Any:
        return self._sections[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sections)

    def __len__(self) -> int:
        return len(self._sections)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.section(name)

    def section(self, name: str) -> Any:
        """The section ``name``; InputError with the nearest name if the config has none."""
        if name not in self._sections:
            raise InputError(
                f"{self.path}: no section {name!r}{nearest(name, self._sections)}; "
                f"it has: {', '.join(sorted(self._sections))}"
            )
        if self._sections[name] is None and name in KINDS:
            raise InputError(
                f"{self.path}: {name} is None, and this needs it; expected {KINDS[name][0]}"
            )
        return self._sections[name]


def parse_opts(words: list[str]) -> dict[str, Any]:
    """``["a.b", "3", "c", "x"]`` as ``{"a.b": 3, "c": "x"}``: Python literals, else text."""
    if len(words) % 2:
        raise InputError(
            f"--opts takes pairs of key and value; found {len(words)} words: {' '.join(words)}"
        )
    return {key: _literal(value) for key, value in zip(words[::2], words[1::2], strict=True)}


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
