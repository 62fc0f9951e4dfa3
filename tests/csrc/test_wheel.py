"""The wheel: what is in it, and that it runs where the repository is not."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from horizon import hbm
from tests.conftest import ROOT
from tests.csrc.native import tool
from tests.horizon.hbm.programs import short_program
from tests.missing import skip_without

pytestmark = pytest.mark.slow  # it may compile

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


DATA = "hat/package_data/"


def files_of(folder: str) -> set[str]:
    """The project's own files below a folder, without what others have left there."""
    command = ["git", "ls-files", folder]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return set(listed.split())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    for module in ("scikit_build_core", "nanobind"):
        if importlib.util.find_spec(module) is None:
            skip_without("wheel builder", module)
    folder = tmp_path_factory.mktemp("wheel")
    # in the directory of `make native`, which has compiled everything already
    command = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)]
    command += ["--config-settings=build-dir=build/native"]
    path = f"{Path(tool('ninja')).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {"PATH": path})
    (found,) = folder.iterdir()
    return found


def test_it_has_the_packages_and_what_is_compiled(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for expected in (
        "hat/cli/main.py",
        "horizon/runtime/model.py",
        "horizon/march/host.toml",
        "horizon/lib/libhorizon_runtime.so",
        "horizon/include/horizon_runtime.h",
    ):
        assert expected in names
    assert len([n for n in names if n.startswith("horizon/_native.") and n.endswith(".so")]) == 1
    assert len([n for n in names if n.endswith(".data/scripts/hrt_model_exec")]) == 1
    sources = {str(p.relative_to(ROOT)) for p in ROOT.glob("h*/**/*.py")}
    python = {n for n in names if n.endswith(".py")}
    assert {n for n in python if not n.startswith(DATA)} == sources
    for folder in ("configs", "models"):
        tracked = files_of(folder)
        assert tracked
        assert {n.removeprefix(DATA) for n in names if n.startswith(DATA + folder)} == tracked
    assert {"hat/py.typed", "horizon/py.typed", "horizon_flow/py.typed"} <= names
    assert {n for n in names if n.endswith(".npz")} == files_of("horizon_flow/networks")
    page = {str(p.relative_to(ROOT)) for p in ROOT.glob("horizon/perf/*.[cj]s*")}
    assert page
    assert page <= names
    assert not [n for n in names if n.endswith((".pth", ".cpp", ".pyc"))]


def test_it_runs_where_the_repository_is_not(wheel, tmp_path):
    target = tmp_path / "installed"
    install = [*PIP, "install", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True)
    hbm.write(short_program(), tmp_path / "short.hbm")
    (tmp_path / "x.bin").write_bytes(bytes([128, 129, 0, 255]))
    code = (
        "import numpy as np, horizon\n"
        "from horizon.runtime import Model, c_library\n"
        "assert 'installed' in horizon.__file__, horizon.__file__\n"
        "assert c_library().is_file()\n"
        "x = np.fromfile('x.bin', np.uint8).reshape(1, 1, 2, 2)\n"
        "print(Model('short.hbm').run({'x': x})['y'].ravel().tolist())\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
    )
    assert found.stdout == "[0, 8, -5, 1000]\n", found.stderr
    command = [target / "bin" / "hrt_model_exec", "infer", "--model_file", "short.hbm"]
    command += ["--input_file", "x.bin"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "max 250" in found.stdout
