"""The arrows of the architecture: who may import whom."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TORCH_ROOMS = ("horizon/nn", "horizon/quantization")
# Ground floor first. What lies beside the rooms (errors, files, _native) is below all of them.
FLOORS = ("isa", "hbir", "march", "nn", "hbm", "quantization", "perf", "compiler", "runtime")
# Inside of the room quantization: files and rooms of one floor know nothing of each other.
QUANTIZATION_FLOORS = (
    ("weight_order",),
    ("calls", "copies", "examples", "fuse", "qconfig", "remedies"),
    ("qtensor",),
    ("movement",),
    ("arithmetic", "moves", "scales"),
    ("layers",),
    ("expansions",),
    ("sites", "states"),
    ("survey", "same_output"),
    ("plain",),
    ("prepare", "program"),
    ("convert",),
    ("trace", "unquantised"),
    ("equalise",),
    ("__init__",),
    ("profiler",),
)
# The rooms of hat: ground floor first; rooms of one floor know nothing of each other.
HAT_FLOORS = (
    ("migration",),
    ("config",),
    ("data",),
    ("metrics", "models"),
    ("visualize", "engine"),
    ("analysis", "export", "deploy", "host_fit", "sequences", "run_page"),
    ("cli",),
)
# Files beside the rooms stand below all of them, but for these, each with the rooms it may use.
HAT_FILES = {
    "own_files": ("data",),
    "run_log": ("data",),
    "inference": ("data", "metrics"),
    "components": ("data", "metrics", "models", "visualize", "engine", "deploy"),
    "__init__": ("data",),
}


def modules(path: Path) -> set[str]:
    """All modules that a file imports, wherever the import stands; ``a.b`` for from a import b."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: write out the module's full name"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def imports(path: Path) -> set[str]:
    """Top-level names of :func:`modules`."""
    return {name.split(".")[0] for name in modules(path)}


def rooms(path: Path, package: str = "horizon") -> set[str]:
    """The rooms of a package that a file imports from."""
    known = FLOORS if package == "horizon" else sum(HAT_FLOORS, ())
    parts = (name.split(".") for name in modules(path))
    return {part[1] for part in parts if part[0] == package and part[1:] and part[1] in known}


HAT = sorted((ROOT / "hat").rglob("*.py"))
FLOW = sorted((ROOT / "horizon_flow").rglob("*.py"))
HORIZON = sorted((ROOT / "horizon").rglob("*.py"))
QUANTIZATION = [path for path in HORIZON if "quantization" in path.parts]
PREFIX = "horizon.quantization."


@pytest.mark.parametrize("path", HORIZON, ids=lambda p: str(p.relative_to(ROOT)))
def test_horizon_knows_nothing_of_hat(path):
    assert not imports(path) & {"hat", "horizon_flow"}
    if not str(path.relative_to(ROOT)).startswith(TORCH_ROOMS):
        assert not imports(path) & {"torch", "torchvision"}


@pytest.mark.parametrize("path", FLOW, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_flow_model_needs_neither_torch_nor_hat(path):
    assert not imports(path) & {"hat", "torch", "torchvision"}
    assert not rooms(path) & {"nn", "quantization"}


@pytest.mark.parametrize("path", HORIZON, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_from_the_floors_below(path):
    room, *inside = path.relative_to(ROOT / "horizon").parts
    if inside:
        assert room in FLOORS, "a new room needs its floor"
        assert rooms(path) <= {room, *FLOORS[: FLOORS.index(room)]}
    else:
        assert not rooms(path), "what all rooms stand on imports none of them"


@pytest.mark.parametrize("path", QUANTIZATION, ids=lambda p: str(p.relative_to(ROOT)))
def test_quantisation_imports_only_from_the_floors_below(path):
    floors = {name: i for i, floor in enumerate(QUANTIZATION_FLOORS) for name in floor}
    own = path.relative_to(ROOT / "horizon" / "quantization").parts[0].removesuffix(".py")
    assert own in floors, "a new file or room needs its floor"
    for text in modules(path):
        if text.startswith(PREFIX):
            first = text.split(".")[2]
            name = first if first in floors else "__init__"  # a public name of the package itself
            assert name == own or floors[name] < floors[own], f"{own} imports {text}"


@pytest.mark.parametrize(
    "path",
    # In `plain` op is a kind of torch.fx's nodes.
    [path for path in QUANTIZATION if not {"layers", "plain"} & set(path.parts)],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_quantisation_asks_no_operator_for_its_name(path):
    assert not re.findall(r"\bop (?:[!=]=|in\b|not in\b)|\bin \w+\.op\b", path.read_text())


@pytest.mark.parametrize("path", HAT, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_of_hat_imports_only_from_the_floors_below(path):
    room, *inside = path.relative_to(ROOT / "hat").parts
    if not inside:
        assert rooms(path, "hat") <= set(HAT_FILES.get(path.stem, ()))
        return
    floor = next((index for index, floor in enumerate(HAT_FLOORS) if room in floor), None)
    assert floor is not None, "a new room needs its floor"
    assert rooms(path, "hat") <= {room, *sum(HAT_FLOORS[:floor], ())}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import horizon.hbm.reader", {"hbm"}),
        ("from horizon import hbir, march, errors", {"hbir", "march"}),
        ("from horizon.nn.stubs import QuantStub", {"nn"}),
        ("def f():\n    from horizon.perf import x", {"perf"}),
        ("import horizon._native, horizon, numpy.hbm", set()),
    ],
)
def test_imports_are_found_in_every_form(tmp_path, text, found):
    path = tmp_path / "file.py"
    path.write_text(text)
    assert rooms(path) == found


TORCHLESS = [
    "horizon",
    "horizon.compiler",
    "horizon.hbir",
    "horizon.hbm",
    "horizon.march",
    "horizon.perf",
    "horizon_flow.colour",
    "horizon_flow.compile",
    "horizon_flow.model",
    "hat.cli.infer",
    "hat.cli.infer_sequence",
    "hat.cli.flyingchairs_generator",
    "hat.config",
]


@pytest.mark.parametrize("module", TORCHLESS)
def test_what_does_without_torch_does_not_load_it(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_tutorial_s_collate_function_is_reached_from_hat():
    code = "import hat; assert callable(hat.data.collates.collate_2d)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
