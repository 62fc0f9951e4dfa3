"""Names in configs to objects in Python.

A config describes an object as ``dict(type=..., **arguments)``. ``type`` is a registered name
(``"PwcnetHead"``) or a callable (``torch.optim.Adam``). Two steps lead to the object: ``resolve``
turns every such dict into a :class:`Component`, which knows the class; ``build`` calls them from
the inside out. Both know the path of every key, so that a mistake is reported as, for example,
``float_trainer.model.head.use_rez: ...``. Whatever has to change between the config and the object
(a checkpoint's path, the length of a test run) changes a Component's arguments, by its class.

A class may list arguments in ``deferred_args``: they are handed over as Components that the class
builds itself, later, with what only it knows (an optimizer needs the model's parameters).
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
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
        if not _is_built_in(obj):
            importlib.import_module("hat.components")  # a name that is taken shows here and now
        known = self._objects.get(key, obj)
        if known is not obj and _origin(known) != _origin(obj):  # else the same file, run again
            file, defined = _origin(known)
            raise ValueError(
                f"{key!r} is already registered: {defined} of {file}; choose another name"
            )
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


def _is_built_in(obj: Any) -> bool:
    module = str(obj.__module__)
    return module.startswith("hat.") and not module.startswith("hat.config.modules.")


def _origin(obj: Any) -> tuple[str, str]:
    """The file (else the module) and the name inside it where a class or function is defined."""
    module = sys.modules.get(obj.__module__)
    return str(getattr(module, "__file__", obj.__module__)), str(obj.__qualname__)


class Component:
    """One object that a config describes, before it is built.

    Whether the config gave the type as a name or as a class makes no difference from here on.

    Attributes:
        target: what builds the object: a class or another callable.
        arguments: what it is called with; may hold further components, also in lists and dicts.
        path: where the config describes it, such as ``float_trainer.callbacks.3``.
    """

    def __init__(self, target: Callable[..., Any], arguments: dict[str, Any], path: str) -> None:
        self.target = target
        self.arguments = arguments
        self.path = path

    def is_a(self, *kinds: type) -> bool:
        """Whether the object will be an instance of one of ``kinds``."""
        return isinstance(self.target, type) and issubclass(self.target, kinds)

    @property
    def parameters(self) -> set[str]:
        """The names that ``target`` takes; none where it has no signature."""
        return set(_parameters(self.target) or ())

    def replaced(self, **arguments: Any) -> Component:
        """This component with some arguments replaced or added."""
        return Component(self.target, {**self.arguments, **arguments}, self.path)

    def without(self, *names: str) -> Component:
        """This component without the arguments ``names``."""
        kept = {key: value for key, value in self.arguments.items() if key not in names}
        return Component(self.target, kept, self.path)

    def build(self, **extra: Any) -> Any:
        """Build the arguments, then the object.

        Args:
            extra: arguments that are objects already; they win over the config's.

        Raises:
            InputError: a missing or unknown argument, or a value that the object refuses
                (ValueError or TypeError), each with the path of the key.
        """
        check_arguments(self.target, {**self.arguments, **extra}, self.path)
        deferred = getattr(self.target, "deferred_args", ())
        built = {
            key: value if key in deferred else build(value)
            for key, value in self.arguments.items()
            if key not in extra
        }
        try:
            return self.target(**built, **extra)
        except InputError as error:
            text = str(error)
            if text.startswith(self.path):
                raise
            raise InputError(f"{self.path}: {text}") from error
        except (ValueError, TypeError) as error:
            name = getattr(self.target, "__name__", str(self.target))
            raise InputError(
                f"{self.path or name}: {name} refuses its arguments: {error}"
            ) from error


def is_typed(value: Any) -> bool:
    return isinstance(value, Mapping) and "type" in value


def resolve(config: Any, path: str = "") -> Any:
    """What ``config`` describes: each typed dict as a Component, lists and plain dicts walked.

    Nothing is built, and ``config`` itself is neither changed nor referred to by the result's
    lists and dicts.

    Raises:
        InputError: an unknown type, or an argument that a type does not take.
    """
    if is_typed(config):
        target = resolve_type(config, path)
        arguments = {
            key: resolve(value, join_path(path, key))
            for key, value in config.items()
            if key != "type"
        }
        check_known(target, arguments, path)
        return Component(target, arguments, path)
    if isinstance(config, Mapping):
        return {key: resolve(value, join_path(path, key)) for key, value in config.items()}
    if isinstance(config, list | tuple) and not hasattr(config, "_fields"):
        return type(config)(
            resolve(value, join_path(path, index)) for index, value in enumerate(config)
        )
    return config


def build(value: Any) -> Any:
    """``value``, as :func:`resolve` returns it, with every Component built, innermost first."""
    if isinstance(value, Component):
        return value.build()
    if isinstance(value, dict):
        return {key: build(item) for key, item in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(build(item) for item in value)
    return value


def build_from_registry(config: Any, path: str = "") -> Any:
    """Resolve and build in one go; ``config`` itself is never changed."""
    return build(resolve(config, path))


def components(value: Any) -> Iterator[Component]:
    """Every Component in ``value``, outermost first."""
    if isinstance(value, Component):
        yield value
        yield from components(value.arguments)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from components(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from components(item)


def resolve_type(config: Mapping[str, Any], path: str = "") -> Callable[..., Any]:
    """The callable that ``config["type"]`` names."""
    kind = config["type"]
    if isinstance(kind, str):
        return OBJECT_REGISTRY.get(kind, path)
    if callable(kind):
        return kind
    raise InputError(
        f"{path}.type: expected a registered name or a callable, found {kind!r} "
        f"of type {type(kind).__name__}"
    )


def check_known(target: Callable[..., Any], arguments: Mapping[str, Any], path: str) -> None:
    """InputError for an argument that the signature of ``target`` does not have."""
    parameters = _parameters(target)
    if parameters is None or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    known = _names(parameters)
    for key in arguments:
        if key not in known:
            name = getattr(target, "__name__", str(target))
            raise InputError(
                f"{join_path(path, key)}: {name} has no argument {key!r}{nearest(key, known)}; "
                f"it takes: {', '.join(known)}"
            )


def check_arguments(target: Callable[..., Any], arguments: Mapping[str, Any], path: str) -> None:
    """InputError for an unknown argument or for a missing one."""
    check_known(target, arguments, path)
    parameters = _parameters(target) or {}
    for key in _names(parameters):
        if parameters[key].default is inspect.Parameter.empty and key not in arguments:
            name = getattr(target, "__name__", str(target))
            raise InputError(f"{path or name}: {name} needs the argument {key!r}")


def _parameters(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    try:
        return inspect.signature(target).parameters
    except (ValueError, TypeError):  # a builtin without a signature checks for itself
        return None


def _names(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    stars = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [key for key, p in parameters.items() if p.kind not in stars]


def join_path(path: str, key: object) -> str:
    """The path of ``key`` inside of what ``path`` names."""
    return f"{path}.{key}" if path else str(key)
