"""What a config says about compiling: ``compile_cfg`` and ``deploy_inputs``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hat.cli.common import name_for_file
from hat.config import Config
from hat.deploy.build import OPT_LEVELS
from hat.errors import InputError
from hat.paths import find_input
from horizon.hbir import Graph

REQUIRED = ("march", "name", "out_dir")
OPTIONAL = ("hbm", "layer_details", "input_source", "opt")
# Where the images come from decides their type: a camera's pyramid gives bytes, memory int8.
INPUT_SOURCES = {"pyramid": "uint8", "ddr": "int8"}


def deploy_size(config: Config, graph: Graph) -> tuple[int, int]:
    """(H, W) of the program's first input by the config's ``deploy_inputs``.

    These are tensors or shapes (1, C, H, W), one for each input of the program, by its name; a
    single one may have any name. Further inputs keep their size's proportion to the first one's.
    """
    inputs = config.section("deploy_inputs")
    shapes = (
        {name: _shape(value) for name, value in inputs.items()}
        if isinstance(inputs, Mapping)
        else {}
    )
    known = [graph.tensors[name].shape for name in graph.inputs]
    names = list(shapes) if len(shapes) == len(known) == 1 else list(graph.inputs)
    given = [shapes.get(name, ()) for name in names]
    fits = set(shapes) == set(names) and all(
        len(shape) == 4
        and shape[:2] == (1, info[3])
        and all(shape[a] * known[0][a - 1] == given[0][a] * info[a - 1] for a in (2, 3))
        for shape, info in zip(given, known, strict=True)
    )
    if not fits:
        wanted = ", ".join(
            f"{name}=(1, {info[3]}, {info[1]}, {info[2]})"
            for name, info in zip(graph.inputs, known, strict=True)
        )
        raise InputError(
            f"{config.path}: deploy_inputs: found {shapes or inputs!r}; expected one tensor for "
            f"each of {len(known)} inputs of the program, such as dict({wanted}), or other sizes "
            "in this proportion"
        )
    return int(given[0][2]), int(given[0][3])


def _shape(value: Any) -> tuple[int, ...]:
    """The shape of a tensor, or a shape given as a list or tuple; empty for anything else."""
    found = getattr(value, "shape", value)
    return tuple(found) if isinstance(found, list | tuple) else ()


def machine_names(config: Config, settings: Mapping[str, Any]) -> list[str]:
    """``compile_cfg.march``: a name, the path of a description, or a list of them."""
    march = settings["march"]
    names = list(march) if isinstance(march, list | tuple) else [march]
    if not names:
        raise InputError(f"{config.path}: compile_cfg.march is {march!r}; expected a machine")
    return [
        str(find_input(name, "compile_cfg.march")) if str(name).endswith(".toml") else str(name)
        for name in names
    ]


def program_name(config: Config, settings: Mapping[str, Any]) -> str:
    """``compile_cfg.name``, which names the reports' files as well."""
    return name_for_file(config, "compile_cfg.name", settings["name"])


def path_text(config: Config, settings: Mapping[str, Any], key: str) -> str:
    value = settings[key]
    if not isinstance(value, str | Path):
        raise InputError(f"{config.path}: compile_cfg.{key} is {value!r}; expected a path")
    return str(value)


def opt_level(config: Config, settings: Mapping[str, Any]) -> str:
    return one_of(config, "opt", settings.get("opt", "O2"), OPT_LEVELS)


def layer_details(config: Config, settings: Mapping[str, Any]) -> bool:
    """Whether the JSON lists every instruction."""
    value = settings.get("layer_details", True)
    if not isinstance(value, bool):
        raise InputError(
            f"{config.path}: compile_cfg.layer_details is {value!r}; expected True or False"
        )
    return value


def input_type(config: Config, settings: Mapping[str, Any]) -> str:
    """The type of the images by ``compile_cfg.input_source``, a name or a list of one."""
    source = settings.get("input_source", "pyramid")
    if isinstance(source, list | tuple) and len(source) == 1:
        source = source[0]
    return INPUT_SOURCES[one_of(config, "input_source", source, tuple(INPUT_SOURCES))]


def one_of(config: Config, key: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise InputError(
            f"{config.path}: compile_cfg.{key} is {value!r}; expected {' or '.join(known)}"
        )
    return str(value)
