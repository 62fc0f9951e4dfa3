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
import difflib
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from hat.errors import InputError
from hat.registry import nearest

_HOOK = "_config_override"


class Config(Mapping[str, Any]):
    """The sections of one experiment: a read-only mapping with attribute access."""

    def __init__(self, sections: dict[str, Any], path: str) -> None:
        self._sections = sections
        self.path = path

    @classmethod
    def fromfile(cls, path: str | Path, opts: Mapping[str, Any] | None = None) -> Config:
        """Read a config file.

        Args:
            path: the ``.py`` file.
            opts: values by dotted key (``{"data_loader.batch_size": 4}``).

        Raises:
            InputError: no such file, an error inside it, or a key in ``opts`` that does not exist.
        """
        overrides = _Overrides(opts or {})
        sections = _read(Path(path), overrides)
        overrides.check_all_used(sections, str(path))
        return cls(sections, str(path))

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


class _Overrides:
    """The values that come from outside a file, and which of them have been used."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self.by_variable: dict[str, list[tuple[list[str], Any]]] = {}
        for key, value in opts.items():
            variable, *rest = key.split(".")
            self.by_variable.setdefault(variable, []).append((rest, value))
        self.used: set[str] = set()

    def derive(self, sections: Mapping[str, Any]) -> _Overrides:
        """These overrides on top of a derived file's own variables."""
        merged = _Overrides({})
        merged.used = self.used
        merged.by_variable = {name: [([], value)] for name, value in sections.items()}
        for name, changes in self.by_variable.items():
            # The derived file has taken the whole values for what it assigns itself; changes
            # inside a value wait until it is complete.
            inside = [change for change in changes if change[0] or name not in sections]
            merged.by_variable.setdefault(name, []).extend(inside)
        return merged

    def apply(self, variable: str, value: Any, inside: bool = True) -> Any:
        """The value that ``variable`` gets instead of ``value``.

        ``inside=False`` leaves out the changes of keys inside a value.
        """
        for keys, new in self.by_variable.get(variable, []):
            if keys and not inside:
                continue
            self.used.add(variable)
            value = _replace(value, keys, new, variable) if keys else _merge(value, new)
        return value

    def check_all_used(self, sections: Mapping[str, Any], path: str) -> None:
        for variable in self.by_variable:
            if variable not in self.used:
                raise InputError(
                    f"{path}: --opts {variable}: the config assigns no variable of that name"
                    f"{nearest(variable, sections)}"
                )


def _read(path: Path, overrides: _Overrides) -> dict[str, Any]:
    """Run a config file, and the files it derives from, with ``overrides`` in force."""
    if not path.is_file():
        raise InputError(f"{path}: no such config file{_similar_file(path)}")
    source = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(source, filename=str(path))
    except SyntaxError as error:
        raise InputError(f"{path}:{error.lineno}: not valid Python: {error.msg}") from error
    derived = _assigns(tree, "_base_")
    code = compile(_AssignmentHook().visit(tree), str(path), "exec")
    namespace: dict[str, Any] = {
        "__name__": f"config_{path.stem}",
        "__file__": str(path),
        _HOOK: lambda name, value: overrides.apply(name, value, inside=not derived),
    }
    try:
        exec(code, namespace)
    except InputError:
        raise
    except Exception as error:  # whatever a user's file raises is reported with its line
        lines = [
            f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)
        ]
        where = f"{path}:{lines[-1]}" if lines else str(path)
        raise InputError(f"{where}: {type(error).__name__}: {error}") from error
    base = namespace.pop("_base_", None)
    sections = {name: value for name, value in namespace.items() if _is_section(name, value)}
    if base is None:
        return sections
    inherited = _read(path.parent / base, overrides.derive(sections))
    own = {name: value for name, value in sections.items() if name not in inherited}
    return {**inherited, **{name: overrides.apply(name, value) for name, value in own.items()}}


def _assigns(tree: ast.Module, name: str) -> bool:
    return any(
        isinstance(statement, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == name for target in statement.targets)
        for statement in tree.body
    )


class _AssignmentHook(ast.NodeTransformer):
    """Turns each top-level ``name = expression`` into ``name = hook("name", expression)``."""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        for statement in node.body:
            if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
                target = (
                    statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
                )
                if isinstance(target, ast.Name) and not target.id.startswith("_"):
                    call = ast.Call(
                        ast.Name(_HOOK, ast.Load()),
                        [ast.Constant(target.id), statement.value],
                        [],
                    )
                    statement.value = ast.copy_location(call, statement.value)
        return ast.fix_missing_locations(node)


def _is_section(name: str, value: Any) -> bool:
    if name.startswith("_") or isinstance(value, ModuleType | type):
        return False
    if isinstance(value, FunctionType):  # helpers defined in the file, not imported ones
        return value.__module__.startswith("config_")
    return True


def _merge(old: Any, new: Any) -> Any:
    """``new`` laid over ``old``: dicts key by key and in place, everything else replaced."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    if new.get("_delete_"):
        return {key: value for key, value in new.items() if key != "_delete_"}
    for key, value in new.items():
        old[key] = _merge(old[key], value) if key in old else value
    return old


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


def _similar_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; the folder {path.parent} does not exist either"
    names = [entry.name for entry in path.parent.iterdir() if entry.suffix == ".py"]
    found = difflib.get_close_matches(path.name, names, n=1)
    return f" (did you mean {path.parent / found[0]}?)" if found else ""
