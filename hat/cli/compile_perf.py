"""Compile the integer model to a program that a board, or this machine, can run.

Writes model.hbm, the program, and model.hbir, the network after the compiler's passes as text.
Before that, a verifier that knows nothing of the compiler's allocator checks the program. Machine,
image size and folder are those of compile_cfg and deploy_inputs in the config unless an option
names others.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import horizon.hbm
from hat.cli import common
from hat.cli.sections import read_section, trained_model
from hat.config import Config
from hat.data.files import write_file
from hat.deploy.build import INPUT_TYPES, OPT_LEVELS, compile_model
from hat.deploy.summary import summary
from hat.errors import InputError
from hat.visualize.flow_viz import make_folder
from horizon.hbir import to_text
from horizon.quantization import IntegerModel

REQUIRED = ("march", "name", "out_dir")
OPTIONAL = ("hbm", "opt", "input_source")
# Where the images come from decides their type: a camera's pyramid gives bytes, memory int8.
INPUT_SOURCES = {"pyramid": "uint8", "ddr": "int8"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_config_arguments(parser, stages=None)
    parser.add_argument("--ckpt", help="int_infer checkpoint (default: the best in ckpt_dir)")
    parser.add_argument(
        "--out-dir", metavar="DIR", help="folder of the results (default: compile_cfg.out_dir)"
    )
    parser.add_argument("--opt", choices=OPT_LEVELS, help="default: compile_cfg.opt, or O2")
    parser.add_argument(
        "--march", metavar="NAME|FILE.toml", help="machine (default: compile_cfg.march)"
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="image size (default: that of deploy_inputs)",
    )
    parser.add_argument(
        "--input-type",
        choices=INPUT_TYPES,
        help="images as uint8 YUV or the same minus 128 as int8 (default: by "
        "compile_cfg.input_source: pyramid uint8, ddr int8)",
    )


def run(args: argparse.Namespace) -> int:
    config = common.load_config(args)
    settings = read_section(config, "compile_cfg", REQUIRED, OPTIONAL)
    folder = Path(args.out_dir or path_text(config, settings, "out_dir"))
    hbm = folder / "model.hbm"
    if "hbm" in settings and not args.out_dir:
        hbm = Path(path_text(config, settings, "hbm"))
    options = {
        "march": args.march or str(settings["march"]),
        "opt": args.opt or opt_level(config, settings),
        "input_type": args.input_type or input_type(config, settings),
    }
    size = tuple(args.size) if args.size else deploy_size(config)
    model, checkpoint = trained_model(config, "compile_cfg", "int_infer", args.ckpt)
    assert isinstance(model, IntegerModel)
    started = time.perf_counter()
    compiled = compile_model(model, size, name=str(settings["name"]), **options)
    seconds = time.perf_counter() - started
    for path in (hbm, folder / "model.hbir"):
        make_folder(path.parent)
    horizon.hbm.write(compiled.program, hbm)
    hbir = folder / "model.hbir"
    write_file(hbir, to_text(compiled.graph).encode())
    rows = [
        ("program", f"{compiled.program.name} of {checkpoint}"),
        ("machine", f"{compiled.program.march}, {options['opt']}"),
        *summary(compiled.program),
        ("time", f"{seconds:.1f} s to compile and verify"),
        ("hbm", f"{hbm}, {hbm.stat().st_size / 1e6:.2f} MB"),
        ("hbir", str(hbir)),
    ]
    for title, text in rows:
        print(f"{title:14}{text}")
    return 0


def deploy_size(config: Config) -> tuple[int, int]:
    """(H, W) of the config's ``deploy_inputs``, one entry of shape (1, 6, H, W)."""
    inputs = config.section("deploy_inputs")
    shapes = (
        {name: tuple(getattr(value, "shape", ())) for name, value in inputs.items()}
        if isinstance(inputs, Mapping)
        else {}
    )
    shape = next(iter(shapes.values()), ())
    if len(shapes) != 1 or len(shape) != 4 or shape[:2] != (1, 6):
        raise InputError(
            f"{config.path}: deploy_inputs: found {shapes or inputs!r}; expected one tensor of "
            "shape (1, 6, H, W), such as dict(img=torch.zeros(1, 6, 384, 512))"
        )
    return int(shape[2]), int(shape[3])


def path_text(config: Config, settings: Mapping[str, Any], key: str) -> str:
    value = settings[key]
    if not isinstance(value, str | Path):
        raise InputError(f"{config.path}: compile_cfg.{key} is {value!r}; expected a path")
    return str(value)


def opt_level(config: Config, settings: Mapping[str, Any]) -> str:
    return one_of(config, "opt", settings.get("opt", "O2"), OPT_LEVELS)


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
