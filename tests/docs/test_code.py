"""The code of the pages: Python runs, configs are read, C compiles, descriptions are loaded."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
import runpy
import shutil
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hat.config import Config
from hat.registry import OBJECT_REGISTRY, resolve
from horizon import march
from tests.conftest import ROOT
from tests.docs import pages
from tests.docs.sandbox import Sandbox
from tests.missing import skip_without

INCLUDE = ROOT / "csrc/include"
Names = dict[str, Any]
# Of pages, by their names without a language, that quote this config piece by piece.
QUOTED = {
    "docs/zh-CN/config.md": "configs/opticalflow_pred/pwcnet/pwcnet_pwcnetneck_flyingchairs.py"
}
# A smaller network in a page's program, so that it takes seconds.
SMALLER = {"own_network": ("torchvision.models.resnet18", "torchvision.models.squeezenet1_1")}


def tagged(*tags: str) -> Any:
    """For the blocks with these tags, one test each."""
    found = pages.blocks(*tags)
    return pytest.mark.parametrize("block", found, ids=[block.place for block in found])


def with_python() -> list[Path]:
    return [p for p in pages.paths() if any(b.tag == "python" for b in pages.read(p).blocks)]


@pytest.fixture(autouse=True)
def own_components() -> Iterator[None]:
    """What a page registers is forgotten behind it."""
    importlib.import_module("hat.components")  # loaded once, and never forgotten
    before = dict(OBJECT_REGISTRY._objects)
    yield
    OBJECT_REGISTRY._objects.clear()
    OBJECT_REGISTRY._objects.update(before)


@pytest.mark.parametrize("path", with_python(), ids=pages.name_of)
def test_python_runs(path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page's programs, in one namespace; a block with ``_base_`` is read as a config."""
    folder = sandbox.folder_for(path, "code", monkeypatch)
    shutil.copytree(sandbox.programs, folder / "out")
    name = pages.name_of(path)
    names: Names = runpy.run_path(str(ROOT / QUOTED[name])) if name in QUOTED else {}
    printed = io.StringIO()
    for block in pages.read(path).blocks:
        if block.tag != "python":
            continue
        text = textwrap.dedent(block.text)
        if re.search(r"^_base_ = ", text, re.MULTILINE):
            read_config(folder / f"config_{block.line}.py", text)
            continue
        for old, new in [SMALLER[path.stem]] if path.stem in SMALLER else []:
            text = text.replace(old, new)
        before = dict(names)
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * block.line + text, block.place.rpartition(":")[0], "exec"), names)
        for key, value in names.items():  # pieces of configs
            if isinstance(value, dict | list) and value is not before.get(key):
                resolve(value, key)
    check = CHECKS.get(path.stem)
    if check:
        check(names, printed.getvalue())


def read_config(path: Path, text: str) -> None:
    """All of it, and every object that its sections describe, without making one."""
    path.write_text(text)
    config = Config.fromfile(path)
    for key, value in config.items():
        if key.endswith(("_trainer", "_predictor", "_loader", "model")) and value is not None:
            resolve(value, key)


def flow_of_images(names: Names, printed: str) -> None:
    assert names["flow"].shape == (64, 96, 2)
    assert names["flow"].dtype == np.float32
    assert np.abs(names["flow"].mean(axis=(0, 1)) - (3, 1)).max() < 1.5  # as they move


def flow_of_a_video(names: Names, printed: str) -> None:
    flow_of_images(names, printed)
    assert len(printed.splitlines()) == 2


def program_in_python(names: Names, printed: str) -> None:
    assert printed == "img uint8 (1, 6, 128, 128) NCHW\n"
    assert names["pixels"].shape == (1, 2, 32, 32)
    assert np.isfinite(names["pixels"]).all()


def no_integer_differs(names: Names, printed: str) -> None:
    assert printed.splitlines()[-1].startswith("0 ")


CHECKS: dict[str, Callable[[Names, str], None]] = {
    "README": lambda names, printed: flow_of_images(names, printed) if "flow" in names else None,
    "flow_model": flow_of_a_video,
    "deploy": program_in_python,
    "own_network": no_integer_differs,
}


@tagged("c")
def test_c_uses_the_functions_of_the_header(block: pages.Block) -> None:
    header = (INCLUDE / "horizon_runtime.h").read_text()
    functions = set(re.findall(r"\b(hrt_\w+)\(", block.text))
    assert functions
    assert [name for name in sorted(functions) if f" {name}(" not in header] == []


@tagged("c", "cpp")
def test_c_compiles(block: pages.Block, tmp_path: Path) -> None:
    compiler = shutil.which("gcc" if block.tag == "c" else "g++")
    if compiler is None:
        skip_without("C++ compiler")
    text = block.text
    if "main(" not in text:  # a piece; what is around it in the reader's program
        given = "void f(const void* pair, size_t pair_bytes, void* flow, size_t flow_bytes)"
        text = f"#include <horizon_runtime.h>\n#include <stdio.h>\n{given} {{\n{text}\n}}\n"
    file = tmp_path / f"block.{block.tag}"
    file.write_text(text)
    words = [compiler, "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{INCLUDE}", str(file)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@tagged("toml")
def test_descriptions_of_machines_are_loaded(block: pages.Block, tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_text(block.text)
    assert march.load(str(path)).name in block.text


@tagged("json")
def test_json_is_json(block: pages.Block) -> None:
    json.loads(block.text)
