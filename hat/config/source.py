"""A config file as syntax: what it derives from, what it assigns, and the hook at assignments."""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hat.errors import InputError
from hat.shipped import shipped_config, shipped_configs

HOOK = "_config_override"
BASE = "_base_"


@dataclass
class Source:
    """One config file, parsed.

    Attributes:
        path: of the file.
        tree: its statements, with every assignment going through the hook.
        assigns: the public variables and functions that its statements give a value.
        bases: the files that ``_base_`` names.
    """

    path: Path
    tree: ast.Module
    assigns: set[str]
    bases: list[Path]


def parse(path: Path) -> Source:
    """Read and parse a file; InputError if there is none or it is not valid Python."""
    if not path.is_file():
        raise InputError(f"{path}: no such config file{_similar_file(path)}")
    try:
        # bytes: Python itself knows about byte order marks and declared encodings
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        where = f"{path}:{error.lineno}" if error.lineno else str(path)
        raise InputError(f"{where}: not valid Python: {error.msg}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot read this config: {error}") from error
    bases = [
        _base_file(path, base)
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        and any(isinstance(x, ast.Name) and x.id == BASE for x in statement.targets)
        for base in _base_names(statement, path)
    ]
    hook = _AssignmentHook()
    tree = ast.fix_missing_locations(hook.visit(tree))
    return Source(path, tree, hook.assigned, bases)


def chain(path: Path) -> list[Source]:
    """A config and all that it derives from: every file before its bases.

    Of several files in one ``_base_`` the later ones come first, so that each is laid over those
    before it in the list. A file that is reached in two ways is in the chain once.

    Raises:
        InputError: a file that is missing or no valid Python, or files that derive from each other.
    """
    done: dict[Path, Source] = {}

    def visit(path: Path, above: list[Path]) -> None:
        key = path.resolve()
        if key in above:
            circle = " -> ".join(str(p) for p in [*above[above.index(key) :], key])
            raise InputError(f"{path}: {BASE}: the configs derive from each other: {circle}")
        if key in done:
            return
        source = parse(path)
        for base in source.bases:
            visit(base, [*above, key])
        done[key] = source

    visit(path, [])
    return list(done.values())[::-1]


def config_files(path: Path) -> list[Path]:
    """The files of :func:`chain`."""
    return [source.path for source in chain(path)]


def _base_file(path: Path, base: str) -> Path:
    """A file relative to the config's, or one that came along, by its name."""
    beside = path.parent / Path(base).expanduser()
    return beside if beside.is_file() else shipped_config(base) or beside


def _base_names(statement: ast.Assign, path: Path) -> list[str]:
    try:
        value: Any = ast.literal_eval(statement.value)
    except ValueError:
        value = ast.unparse(statement.value)
        names = None
    else:
        names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(x, str) for x in names):
        raise InputError(
            f"{path}:{statement.lineno}: {BASE} is {value!r}; expected the path of a file or a "
            "list of paths, written out"
        )
    return list(names)


class _AssignmentHook(ast.NodeTransformer):
    """Lets each statement outside of functions that gives a variable a value go through the hook.

    ``name = expression`` becomes ``name = hook("name", expression)``; after any other statement
    comes ``name = hook("name", name)``.
    """

    def __init__(self) -> None:
        self.assigned: set[str] = set()

    def visit_Assign(self, node: ast.Assign) -> Any:
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            return self._wrapped(node, node.targets[0].id, node.value)
        names = [name for target in node.targets for name in _stored(target)]
        return self._followed(node, names)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None or not isinstance(node.target, ast.Name):
            return node
        return self._wrapped(node, node.target.id, node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        return self._followed(node, [node.target.id] if isinstance(node.target, ast.Name) else [])

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        return self._followed(node, [node.name])

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> Any:
        return node

    def _wrapped(self, node: Any, name: str, value: ast.expr) -> Any:
        if not name.startswith("_"):
            self.assigned.add(name)
            node.value = ast.copy_location(_call(name, value), value)
        return node

    def _followed(self, node: ast.stmt, names: list[str]) -> list[ast.stmt]:
        public = [name for name in names if not name.startswith("_")]
        self.assigned.update(public)
        return [
            node,
            *(
                ast.copy_location(
                    ast.Assign(
                        [ast.Name(name, ast.Store())], _call(name, ast.Name(name, ast.Load()))
                    ),
                    node,
                )
                for name in public
            ),
        ]


def _stored(target: ast.expr) -> list[str]:
    return [
        node.id
        for node in ast.walk(target)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]


def _call(name: str, value: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(HOOK, ast.Load()), [ast.Constant(name), value], [])


def _similar_file(path: Path) -> str:
    if not path.suffix and path.parent == Path():
        found = difflib.get_close_matches(path.name, shipped_configs(), n=1)
        guess = f" (did you mean {found[0]}?)" if found else ""
        return f"{guess}, nor a shipped one of that name; 'hat ls configs' lists those"
    if not path.parent.is_dir():
        return f"; the folder {path.parent} does not exist either"
    names = [entry.name for entry in path.parent.iterdir() if entry.suffix == ".py"]
    found = difflib.get_close_matches(path.name, names, n=1)
    return f" (did you mean {path.parent / found[0]}?)" if found else ""
