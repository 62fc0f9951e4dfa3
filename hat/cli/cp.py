"""Copy a shipped config, to change it.

The files that it derives from are copied beside it, so that the copy is yours alone and works
wherever it is. DEST is a folder or the name of the copy. Nothing is overwritten; a base that is
there already, with the same content, is used.

    hat cp pwcnet_lite_generated .
    hat cp pwcnet_lite_generated experiments/mine.py
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from hat.config.source import config_files
from hat.data.files import make_folder, write_files
from hat.errors import InputError
from hat.outputs import check_outputs
from hat.registry import nearest
from hat.shipped import ROOTS, shipped_config, shipped_configs

# The scripts of a checkout are commands of hat, too.
SCRIPT = re.compile(r"python3 tools/(?:datasets/)?(\w+)\.py")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="name of a shipped config ('hat ls configs')")
    parser.add_argument("dest", type=Path, help="folder, or file that ends in .py")


def run(args: argparse.Namespace) -> int:
    source = shipped_config(args.config)
    if source is None:
        names = shipped_configs()
        raise InputError(
            f"{args.config}: no shipped config of that name{nearest(args.config, names)}; "
            f"there are: {', '.join(names)}"
        )
    copies = destinations(source, args.dest)
    contents = {dest: text_of(file, copies) for file, dest in copies.items()}
    main = copies[source]
    there = [d for d, data in contents.items() if d.exists() and (d == main or data != content(d))]
    if there:
        raise InputError(
            f"{', '.join(map(str, there))}: exists already, and nothing is overwritten; choose "
            "another folder, or another name that ends in .py"
        )
    new = {dest: data for dest, data in contents.items() if not dest.exists()}
    check_outputs(new, {"config": source}, "DEST")
    make_folder(main.parent)
    write_files(new)
    for dest in new:
        print(dest)
    print(f"\nTry it: hat config-check {main}")
    return 0


def destinations(source: Path, dest: Path) -> dict[Path, Path]:
    """Where each file of the chain of ``source`` goes: the bases keep their names."""
    folder, name = (dest.parent, dest.name) if dest.suffix == ".py" else (dest, source.name)
    found: dict[Path, Path] = {}
    for file in config_files(source):
        copy = folder / (name if file == source else file.name)
        if copy in found.values():
            raise InputError(
                f"{copy}: {source.name} derives from a file of this name, which is copied beside "
                "it; choose another name"
            )
        found[file] = copy
    return found


def text_of(file: Path, copies: dict[Path, Path]) -> bytes:
    """A config with the commands in it naming the copies, and as they run in any folder."""
    text = file.read_text(encoding="utf-8")
    for original, copy in copies.items():
        root = next(root for root in ROOTS if original.is_relative_to(root))
        text = text.replace(original.relative_to(root).as_posix(), copy.as_posix())
    return SCRIPT.sub(lambda found: f"hat {found[1].replace('_', '-')}", text).encode()


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
