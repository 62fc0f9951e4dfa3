"""Names in configs to objects in Python.

A config describes an object as ``dict(type=..., **arguments)``. ``type`` is a registered name
(``"PwcnetHead"``) or a callable (``torch.optim.Adam``). ``build_from_registry`` builds such a
dict from the inside out and knows the path of every key, so that a mistake is reported as, for
example, ``float_trainer.model.head.use_rez: ...``.

A class may list arguments in ``deferred_args``: they are handed over as a ``Deferred`` that the
class builds itself, later, with what only it knows (an optimizer needs the model's parameters).
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hat.errors import InputError


def nearest(name: str, candidates: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the candidate most like ``name``, or an empty string."""
    found = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.5)
    return f" (did you mean {found[0]!r}?)" if found else ""


class Registry:
    """A table of names and the classes or functions they stand for."""

    def __init__(self) -> None:
        self._objects: dict[str, Callable[..., Any]] = {}

    def register(self, obj: Any = None, *, name: str | None = None) -> Any:
        """Decorator: ``@REGISTRY.register`` or ``@REGISTRY.register(name="other_name")``."""
        if obj is None:
            return lambda target: self.register(target, name=name)
        key = name or obj.__name__
        if self._objects.get(key, obj) is not obj:
            raise ValueError(f"{key!r} is already registered as {self._objects[key]!r}")
        self._objects[key] = obj
        return obj

    def __contains__(self, name: str) -> bool:
        return name in self._objects

    def names(self) -> list[str]:
        return sorted(self._objects)

    def get(self, name: str, path: str = "") -> Callable[..., Any]:
        """The object called ``name``; InputError with the nearest names if there is none."""
        if name not in self._objects:
            importlib.import_module("hat.components")
        if name not in self._objects:
            where = f"{path}.type" if path else "type"
            raise InputError(
                f"{where}: unknown type {name!r}{nearest(name, self._objects)}; "
                f"known types: {', '.join(self.names())}"
            )
        return self._objects[name]


OBJECT_REGISTRY = Registry()


class Deferred:
    """A typed dict that its receiver builds: ``deferred.build(params=...)``."""

    def __init__(self, config: Mapping[str, Any], path: str) -> None:
        self.config = config
        self.path = path

    def build(self, **extra: Any) -> Any:
        """Build the object; ``extra`` adds to the config's arguments and wins over them."""
        return build_from_registry({**self.config, **extra}, self.path)


def is_typed(value: Any) -> bool:
    return isinstance(value, Mapping) and "type" in value


def resolve_type(config: Mapping[str, Any], path: str = "") -> Callable[..., Any]:
    """The callable that ``config["type"]`` names."""
    if "type" not in config:
        raise InputError(
            f"{path or 'config'}: no 'type' key; found the keys {sorted(map(str, config))}"
        )
    kind = config["type"]
    if isinstance(kind, str):
        return OBJECT_REGISTRY.get(kind, path)
    if callable(kind):
        return kind
    raise InputError(
        f"{path}.type: expected a registered name or a callable, found {kind!r} "
        f"of type {type(kind).__name__}"
    )


def build_from_registry(config: Any, path: str = "") -> Any:
    """Build everything that ``config`` describes, innermost first.

    Lists, tuples and plain dicts are walked; a typed dict becomes an object; anything else is
    returned as it is. ``config`` itself is never changed.

    Raises:
        InputError: unknown type or argument, missing argument, or a value that the object
            refuses (ValueError or TypeError), each with the path of the key.
    """
    if is_typed(config):
        target = resolve_type(config, path)
        arguments = {key: value for key, value in config.items() if key != "type"}
        deferred = getattr(target, "deferred_args", ())
        check_arguments(target, arguments, path)
        built = {
            key: (_defer if key in deferred else build_from_registry)(value, _join(path, key))
            for key, value in arguments.items()
        }
        try:
            return target(**built)
        except InputError as error:
            text = str(error)
            raise InputError(text if text.startswith(path) else f"{path}: {text}") from error
        except (ValueError, TypeError) as error:
            name = getattr(target, "__name__", str(target))
            raise InputError(f"{path or name}: {name} refuses its arguments: {error}") from error
    if isinstance(config, Mapping):
        return {key: build_from_registry(value, _join(path, key)) for key, value in config.items()}
    if isinstance(config, list | tuple) and not hasattr(config, "_fields"):
        return type(config)(
            build_from_registry(value, _join(path, str(index)))
            for index, value in enumerate(config)
        )
    return config


def _defer(value: Any, path: str) -> Any:
    """A typed dict, or a list of them, as Deferred; anything else is built now."""
    if is_typed(value):
        return Deferred(value, path)
    if isinstance(value, list | tuple):
        return [_defer(item, _join(path, index)) for index, item in enumerate(value)]
    return build_from_registry(value, path)


def check_arguments(target: Callable[..., Any], arguments: Mapping[str, Any], path: str) -> None:
    """Compare ``arguments`` with the signature of ``target``; InputError on a mismatch."""
    try:
        parameters = inspect.signature(target).parameters
    except (ValueError, TypeError):  # a builtin without a signature checks for itself
        return
    name = getattr(target, "__name__", str(target))
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = [
        key for key, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    for key in arguments:
        if key not in known and not open_ended:
            raise InputError(
                f"{_join(path, key)}: {name} has no argument {key!r}{nearest(key, known)}; "
                f"it takes: {', '.join(known)}"
            )
    missing = [
        key
        for key in known
        if parameters[key].default is inspect.Parameter.empty and key not in arguments
    ]
    if missing:
        raise InputError(f"{path or name}: {name} needs the argument {missing[0]!r}")


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
