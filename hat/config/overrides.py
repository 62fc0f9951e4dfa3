"""The values that come from outside a config file: options, and files that derive from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hat.errors import InputError
from hat.paths import expand_home
from hat.registry import nearest

DELETE = "_delete_"


class Overrides:
    """What variables get instead of the values that a file assigns, and what has been used.

    Attributes:
        opts: the options that it began with, by dotted key.
    """

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self.opts = dict(opts)
        self.by_variable: dict[str, list[tuple[list[str], Any]]] = {}
        for key, value in opts.items():
            variable, *rest = key.split(".")
            self.by_variable.setdefault(variable, []).append((rest, value))
        self.used: set[str] = set()

    def derive(self, sections: Mapping[str, Any]) -> Overrides:
        """These overrides on top of a derived file's own variables."""
        merged = Overrides({})
        merged.used = self.used
        merged.by_variable = {name: [([], value)] for name, value in sections.items()}
        for name, changes in self.by_variable.items():
            # The derived file has taken the whole values for what it assigns itself; changes
            # inside a value wait until it is complete.
            inside = [change for change in changes if change[0] or name not in sections]
            merged.by_variable.setdefault(name, []).extend(inside)
        return merged

    def apply(self, variable: str, value: Any, complete: bool) -> Any:
        """The value that ``variable`` gets instead of ``value``, with ``~`` as the home folder.

        Args:
            complete: no other file adds to the value: changes of keys inside it are made, and
                ``_delete_`` has done its work and goes. It stays in a value that a base's is
                still to be merged with.
        """
        for keys, new in self.by_variable.get(variable, []):
            if keys and not complete:
                continue
            self.used.add(variable)
            value = _replace(value, keys, new, variable) if keys else _merge(value, new)
        return _finish(value, complete)

    def check_all_used(self, sections: Collection[str], path: str) -> None:
        for variable in self.by_variable:
            if variable not in self.used:
                raise InputError(
                    f"{path}: --opts {variable}: the config assigns no variable of that name"
                    f"{nearest(variable, sections)}"
                )


def _merge(old: Any, new: Any) -> Any:
    """``new`` laid over ``old``: dicts key by key and in place, everything else replaced."""
    if not (isinstance(old, dict) and isinstance(new, dict)) or new.get(DELETE):
        return new
    for key, value in new.items():
        if key != DELETE:
            old[key] = _merge(old[key], value) if key in old else value
    return old


def _finish(value: Any, complete: bool) -> Any:
    """``value`` with home folders written out and, when ``complete``, without ``_delete_``."""
    if isinstance(value, str):
        return expand_home(value)
    if isinstance(value, dict):
        if complete:
            value.pop(DELETE, None)
        value.update({key: _finish(item, complete) for key, item in value.items()})
    elif isinstance(value, list):
        value[:] = [_finish(item, complete) for item in value]
    elif type(value) is tuple:
        items = tuple(_finish(item, complete) for item in value)
        changed = any(a is not b for a, b in zip(items, value, strict=True))
        return items if changed else value
    return value


def _replace(value: Any, keys: list[str], new: Any, path: str) -> Any:
    """``value`` with the entry at the path ``keys`` set to ``new``, in place where it can be."""
    if not keys:
        return _merge(value, new)
    key, rest = keys[0], keys[1:]
    here = f"{path}.{key}"
    if isinstance(value, dict):
        if key not in value and rest:
            raise InputError(f"--opts {here}: no such key{nearest(key, map(str, value))}")
        value[key] = _replace(value.get(key), rest, new, here)
        return value
    if isinstance(value, list | tuple):
        if not key.lstrip("-").isdigit() or not -len(value) <= int(key) < len(value):
            raise InputError(f"--opts {here}: expected an index below {len(value)}, found {key!r}")
        items = list(value)
        items[int(key)] = _replace(items[int(key)], rest, new, here)
        if isinstance(value, list):
            value[:] = items
            return value
        return tuple(items)
    raise InputError(
        f"--opts {here}: {path} is {value!r}, which has no keys (found {type(value).__name__}, "
        "expected a dict or list)"
    )
