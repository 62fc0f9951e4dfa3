"""List what comes along: configs, machines, trained networks and the components of configs.

hat ls                      all of it, by name
hat ls configs              for --config and 'hat cp'
hat ls machines             for --march
hat ls models               trained networks: stages and folder
hat ls networks             integer networks for 'hat infer --model' and FlowModel
hat ls components           for type=... in configs, with their arguments
hat ls components Scale     one of them, with its whole description
"""

from __future__ import annotations

import argparse
import ast
import inspect
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import horizon.march
from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY, nearest
from hat.shipped import shipped_configs, shipped_models
from horizon_flow.network_file import FOLDER, SUFFIX, shipped_networks

Rows = list[tuple[str, str]]
STAGES = ("float", "calibration", "qat", "int_infer")
INDENT = "  "


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", choices=tuple(KINDS), help="what to list (default: all)")
    parser.add_argument("name", nargs="?", help="one of them alone")


def run(args: argparse.Namespace) -> int:
    if args.kind is None:
        for kind, listed in KINDS.items():
            print(kind)
            print_rows(listed() if kind != "components" else [(component_names(), "")])
            print()
        return 0
    if args.name is None:
        print_rows(KINDS[args.kind]())
        return 0
    if args.kind == "components":
        print(description(args.name))
        return 0
    rows = KINDS[args.kind]()
    names = [name for name, _ in rows]
    if args.name not in names:
        raise InputError(f"hat ls {args.kind}: no {args.name!r}{nearest(args.name, names)}")
    print_rows([row for row in rows if row[0] == args.name])
    return 0


def configs() -> Rows:
    return [(name, first_line(python_docstring(path))) for name, path in shipped_configs().items()]


def machines() -> Rows:
    return [(name, horizon.march.load(name).title) for name in horizon.march.available()]


def models() -> Rows:
    found = []
    for name, folder in shipped_models().items():
        stages = [s for s in STAGES if (folder / f"{s}-checkpoint-best.pth.tar").exists()]
        found.append((name, f"{', '.join(stages)}: {folder}"))
    return found


def networks() -> Rows:
    return [(name, str(FOLDER / f"{name}{SUFFIX}")) for name in shipped_networks()]


def components() -> Rows:
    """Every registered name with its arguments."""
    load_components()
    return [(signature(name), first_line(summary(name))) for name in OBJECT_REGISTRY.names()]


KINDS: dict[str, Callable[[], Rows]] = {
    "configs": configs,
    "machines": machines,
    "models": models,
    "networks": networks,
    "components": components,
}


def component_names() -> str:
    load_components()
    return ", ".join(OBJECT_REGISTRY.names())


def description(name: str) -> str:
    """A component's arguments and its whole docstring."""
    load_components()
    target: Any = OBJECT_REGISTRY.get(name, f"hat ls components {name}")
    where = f"{target.__module__}.{target.__qualname__}"
    return f"{signature(name)}\n{where}\n\n{inspect.getdoc(target) or ''}".rstrip()


def signature(name: str) -> str:
    """``Scale(scales, mode='bilinear')``."""
    shown = []
    for parameter in inspect.signature(OBJECT_REGISTRY.get(name)).parameters.values():
        text = str(parameter.replace(annotation=parameter.empty, default=parameter.empty))
        if parameter.default is not parameter.empty:
            text += f"={parameter.default!r}"
        shown.append(text)
    return f"{name}({', '.join(shown)})"


def summary(name: str) -> str:
    return inspect.getdoc(OBJECT_REGISTRY.get(name)) or ""


def load_components() -> None:
    import hat.components  # noqa: F401  only this list needs them, and they take seconds


def python_docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_bytes())) or ""


def first_line(text: str) -> str:
    return text.partition("\n")[0]


def print_rows(rows: Rows) -> None:
    """Names and what they are: beside each other if the names are short, else below."""
    width = max((len(name) for name, _ in rows), default=0)
    columns = max(60, min(shutil.get_terminal_size().columns, 100))
    for name, text in rows:
        if width <= 30 and text:
            print(f"{INDENT}{name:{width}}  {text}")
            continue
        for paragraph, indent in ((name, INDENT), (text, 3 * INDENT)):
            lines = textwrap.wrap(
                paragraph,
                columns,
                initial_indent=indent,
                subsequent_indent=indent + 2 * INDENT,
                break_long_words=False,
                break_on_hyphens=False,
            )
            print("\n".join(lines)) if lines else None
