"""horizon-runtime runs with numpy alone. (``make wheels`` tries the wheels themselves.)"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "distribution"))

from pythons import pythons
from sources import RUNTIME_PARTS, runtime_tree
from try_wheels import fits

OWN = ROOT / "distribution" / "runtime" / "pyproject.toml"


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """The runtime's sources with this environment's compiled module and numpy beside them."""
    folder = runtime_tree(tmp_path_factory.mktemp("runtime") / "tree")
    for name in ("lib", "include", *(path.name for path in ROOT.glob("horizon/_native*.so"))):
        (folder / "horizon" / name).symlink_to(ROOT / "horizon" / name)
    import numpy

    for path in Path(numpy.__file__).parents[1].glob("numpy*"):
        (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def python(tree, tmp_path_factory) -> Path:
    """An interpreter that sees ``tree`` and no installed package."""
    script = tmp_path_factory.mktemp("python") / "python"
    command = f'PYTHONPATH="{tree}" exec "{sys.executable}" -s -S "$@"'
    script.write_text(f"#!/bin/sh\n{command}\n")
    script.chmod(0o755)
    return script


def run(python: Path, script: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": str(python)}
    return subprocess.run(
        [python, script], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_the_trial_of_wheels_passes_with_numpy_alone(python, tmp_path):
    found = run(python, ROOT / "distribution" / "trial.py", tmp_path)
    assert found.returncode == 0, found.stderr
    assert [line.split(":")[0] for line in found.stdout.splitlines()] == [
        "pwcnet_lite",
        "pwcnet_small",
    ]


def test_no_other_package_can_be_imported_there(python, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import horizon_flow, horizon.runtime\nimport cv2\n")
    assert "No module named 'cv2'" in run(python, script, tmp_path).stderr


def test_every_part_exists_and_nothing_of_training_is_among_them():
    assert [part for part in RUNTIME_PARTS if not (ROOT / part).exists()] == []
    assert not {"horizon/nn", "horizon/quantization", "hat"} & set(RUNTIME_PARTS)


def test_both_distributions_have_one_version_and_the_runtime_needs_numpy_only():
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    runtime = tomllib.loads(OWN.read_text())["project"]
    for key in ("version", "requires-python", "license"):
        assert runtime[key] == ours[key]
    assert [word.split(">")[0] for word in runtime["dependencies"]] == ["numpy"]
    assert runtime["dependencies"][0] in ours["dependencies"]


@pytest.mark.parametrize(
    ("tag", "versions"),
    [("cp311-cp311", ["3.11"]), ("cp312-abi3", ["3.12", "3.13", "3.14"])],
)
def test_the_pythons_that_a_wheel_is_tried_with(tag, versions):
    wheel = Path(f"horizon_runtime-0.1.0-{tag}-manylinux_2_17_x86_64.whl")
    assert [v for v in ("3.11", "3.12", "3.13", "3.14") if fits(wheel, v)] == versions


def test_an_interpreter_of_this_version_is_found():
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    path = pythons([own, "3.99"])
    assert list(path) == [own]
    code = "import sys; print(sys.version_info[:2])"
    printed = subprocess.run([path[own], "-c", code], capture_output=True, text=True).stdout
    assert printed.strip() == str(sys.version_info[:2])
