"""A config's sections rewritten in the words of this tool kit, by the table."""

from __future__ import annotations

from collections.abc import Mapping
from operator import is_
from typing import Any

from hat.migration.notes import Kind, Note
from hat.migration.sections import ALWAYS, WHERE_NAMES_DIFFER
from hat.migration.table import ARGUMENTS, LISTS, TYPES

_OWN_RULES = {rule.section for rule in TYPES if rule.section}


def translate(sections: Mapping[str, Any]) -> tuple[dict[str, Any], list[Note]]:
    """The sections and what was changed in them.

    A config without any of the original tool kit's words comes back as it is, with the very same
    objects; ``sections`` is never changed. What several sections share stays shared.
    """
    work = _Translation()
    found = {name: work.value(value, name) for name, value in sections.items()}
    for step in ALWAYS:
        found = step(found, work.note)
    if work.notes:
        for step in WHERE_NAMES_DIFFER:
            found = step(found, work.note)
    return found, work.notes


class _Translation:
    """Names and arguments of typed dicts, each dict once."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self._done: dict[tuple[int, str], tuple[Any, Any]] = {}

    def note(self, kind: Kind, where: str, text: str) -> None:
        self.notes.append(Note(kind, where, text))

    def value(self, value: Any, path: str) -> Any:
        """``value`` with every typed dict in it rewritten; the same object if nothing changes."""
        if type(value) is not dict and not isinstance(value, list | tuple):
            return value
        if hasattr(value, "_fields"):
            return value
        key = (id(value), path if path in _OWN_RULES else "")
        if key not in self._done:
            new = self._dict(value, path) if isinstance(value, dict) else self._list(value, path)
            self._done[key] = (value, new)  # keeps the old one, so that its id stays its own
        return self._done[key][1]

    def _list(self, values: Any, path: str) -> Any:
        kept = []
        for index, item in enumerate(values):
            where = f"{path}.{index}"
            rule = _rule(item, where)
            if rule and rule.ours is None:
                self.note(Kind.IGNORED, where, f"{rule.name} is left out: {rule.text}")
            else:
                kept.append(self.value(item, where))
        same = len(kept) == len(values) and all(map(is_, kept, values))
        return values if same else type(values)(kept)

    def _dict(self, config: dict[str, Any], path: str) -> dict[str, Any]:
        if "type" not in config:
            new = {key: self.value(item, f"{path}.{key}") for key, item in config.items()}
            return config if all(map(is_, new.values(), config.values())) else new
        arguments = dict(config)
        rule = _rule(config, path)
        if rule and rule.ours:
            self.note(Kind.RENAMED, path, f"{rule.name} is {rule.ours} here: {rule.text}")
            arguments["type"] = rule.ours
            for old, name in rule.renamed.items():
                if old in arguments and arguments.get(name) is None:
                    arguments[name] = arguments.pop(old)
                    self.note(Kind.RENAMED, f"{path}.{old}", f"{name} here")
            for name in rule.dropped:
                if arguments.pop(name, None) not in (None, 0):
                    self.note(Kind.IGNORED, f"{path}.{name}", rule.text)
        kind = arguments["type"]
        kind = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
        for name in [key for key in arguments if key != "type"]:
            value, where = arguments[name], f"{path}.{name}"
            left_out = next((r for r in ARGUMENTS if r.fits(kind, name, value)), None)
            if left_out:
                del arguments[name]
                if value is not None or left_out.values:
                    self.note(left_out.kind, where, f"left out: {left_out.text}")
                continue
            if name in LISTS and isinstance(value, dict) and "type" in value:
                value = [value]
                self.note(Kind.RENAMED, where, "a list of one here")
            arguments[name] = self.value(value, where)
        same = list(arguments) == list(config)
        same = same and all(arguments[key] is config[key] for key in config)
        return config if same else arguments


def _rule(item: Any, path: str) -> Any:
    if type(item) is not dict or not isinstance(item.get("type"), str):
        return None
    return next((rule for rule in TYPES if rule.fits(item, path)), None)
