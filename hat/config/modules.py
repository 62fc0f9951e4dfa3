"""Config files, and the modules beside them, as modules that other processes can import.

A worker process that is not forked imports the module of each class that it is handed. For a class
of a config that module is the config, which has no place on ``sys.path``; its name therefore holds
what it takes to run the file again::

    hat.config.modules.c_{stem}_{code}      a config: path, the config it belongs to, its options
    hat.config.modules.d_{code}.{module}    a module in the folder of a config

Importing either begins with importing this module, which finds the rest. A config sees the modules
beside it, and nobody else does: ``sys.path`` stays as it is, and files of the same name beside two
configs are two modules.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import itertools
import json
import re
import sys
import zlib
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from hat.migration.modules import stand_in

__path__: list[str] = []  # that other modules can be below this one
CONFIG = f"{__name__}.c_"
FOLDER = f"{__name__}.d_"
OWN = ("hat", "horizon")  # a config may lie in the project's root folder
_loads = itertools.count()


def next_load() -> int:
    """A number for each time that a config is read: objects of all loads can be pickled."""
    return next(_loads)


def module_name(path: Path, config: Path, opts: Mapping[str, Any], load: int) -> str:
    """The name of the file ``path`` as part of one load of ``config`` with ``opts``."""
    values = [str(path.absolute()), str(config.absolute()), repr(dict(opts)), load]
    return f"{CONFIG}{re.sub(r'[^0-9A-Za-z]', '_', path.stem)}_{_encode(values)}"


def is_config(name: str) -> bool:
    """Whether a module of this name is a config file."""
    return name.startswith(CONFIG)


def new_module(name: str, path: Path) -> ModuleType:
    """An empty module for a config file; what runs in it can import the modules beside the file."""
    module = ModuleType(name)
    module.__file__ = str(path)
    module.__dict__["__builtins__"] = _builtins_for(path.absolute().parent)
    sys.modules[name] = module
    return module


def forget(name: str) -> None:
    """Remove a module whose file could not be run to its end."""
    sys.modules.pop(name, None)


def _builtins_for(folder: Path) -> dict[str, Any]:
    """Python's builtins with an ``import`` that looks into ``folder`` first.

    Then come the modules of the original tool kit that have a counterpart here.
    """

    def import_beside(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or not _is_beside(folder, top):
            if not level and (module := stand_in(name)):
                return module if fromlist else stand_in(top) or module
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        package = FOLDER + _encode([str(folder)])
        found = builtins.__import__(f"{package}.{name}", globals, locals, fromlist or (), 0)
        return found if fromlist else sys.modules[f"{package}.{top}"]

    return {**vars(builtins), "__import__": import_beside}


def _is_beside(folder: Path, name: str) -> bool:
    """Whether ``import name`` in ``folder`` means the file there, as it does in a script."""
    if name in sys.stdlib_module_names or name in OWN:
        return False
    files = [folder / name / "__init__.py", folder / f"{name}.py"]
    files = [path for path in files if path.is_file()]
    if not files:
        return False
    try:
        usual = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        usual = None
    return not (usual and usual.origin and Path(usual.origin).resolve() == files[0].resolve())


class _Finder(MetaPathFinder):
    """Finds what the names of this module's children stand for."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.startswith(CONFIG):
            return ModuleSpec(name, _ConfigLoader())
        if not name.startswith(FOLDER):
            return None
        package, _, inside = name.removeprefix(FOLDER).partition(".")
        folder = Path(_decode(package)[0])
        if not inside:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [str(folder)]
            return spec
        base = Path(path[0] if path else folder) / inside.rpartition(".")[2]
        for file, locations in (
            (base / "__init__.py", [str(base)]),
            (base.with_suffix(".py"), None),
        ):
            if file.is_file():
                return importlib.util.spec_from_file_location(
                    name,
                    file,
                    loader=_BesideLoader(name, str(file)),
                    submodule_search_locations=locations,
                )
        return None


class _ConfigLoader(Loader):
    """Runs a config again, with all that it derives from, under the names of another process."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        from hat.config.overrides import Overrides
        from hat.config.reading import read_sections

        _, config, opts, load = _decode(spec.name.rpartition("_")[2])
        read_sections(Path(config), Overrides(ast.literal_eval(opts)), load)
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        pass  # it has run


class _BesideLoader(SourceFileLoader):
    """A module beside a config sees the other modules there."""

    def exec_module(self, module: ModuleType) -> None:
        folder = Path(_decode(module.__name__.removeprefix(FOLDER).partition(".")[0])[0])
        module.__dict__["__builtins__"] = _builtins_for(folder)
        super().exec_module(module)


def _encode(values: list[Any]) -> str:
    return zlib.compress(json.dumps(values).encode()).hex()


def _decode(code: str) -> list[Any]:
    values: list[Any] = json.loads(zlib.decompress(bytes.fromhex(code)))
    return values


sys.meta_path.insert(0, _Finder())
