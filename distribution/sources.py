"""The source distributions: ``horizon-flow``, all of it, and ``horizon-runtime``, a part of it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from processes import run

ROOT = Path(__file__).resolve().parent.parent
FLOW, RUNTIME = "horizon-flow", "horizon-runtime"
OWN = ROOT / "distribution" / "runtime"

# What the runtime consists of: everything that needs numpy alone.
RUNTIME_PARTS = (
    "LICENSE",
    "csrc",
    "horizon/__init__.py",
    "horizon/_native.pyi",
    "horizon/cpus.py",
    "horizon/errors.py",
    "horizon/extension.py",
    "horizon/files.py",
    "horizon/kernel_set.py",
    "horizon/py.typed",
    "horizon/staging.py",
    "horizon/compiler",
    "horizon/hbir",
    "horizon/hbm",
    "horizon/isa",
    "horizon/march",
    "horizon/perf",
    "horizon/runtime",
    "horizon_flow",
)


def make_sdist(name: str, work: Path, out: Path) -> Path:
    """The source distribution ``name``, made in the folder ``work`` and put into ``out``."""
    tree = ROOT if name == FLOW else runtime_tree(work / "runtime")
    folder = work / "sdist"
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", folder, tree]
    run(command)
    (made,) = folder.glob(f"{name.replace('-', '_')}-*.tar.gz")
    return Path(shutil.move(made, out / made.name))


def runtime_tree(tree: Path) -> Path:
    """The runtime's sources as a project of their own."""
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(OWN, tree)
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc", "fuzz", "tests")
    for part in RUNTIME_PARTS:
        source, target = ROOT / part, tree / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=ignore)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return tree
