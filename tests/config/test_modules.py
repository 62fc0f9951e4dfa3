"""Configs as modules: modules beside them, classes defined in them, other processes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap

import pytest

import hat.components  # noqa: F401 (registers the built-in names)
from hat.config import Config
from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY, build_from_registry
from tests.other_processes import WATCHDOG_SECONDS


def write(folder, name, text):
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


@pytest.fixture(autouse=True)
def names_as_they_were(monkeypatch):
    monkeypatch.setattr(OBJECT_REGISTRY, "_objects", dict(OBJECT_REGISTRY._objects))


REGISTERED = """
    from hat.registry import OBJECT_REGISTRY

    @OBJECT_REGISTRY.register
    class OfThisConfig:
        def __init__(self, size):
            self.size = size * {factor}

    thing = dict(type="OfThisConfig", size=2)
"""


def test_a_class_registered_in_a_config_is_replaced_by_its_next_load(tmp_path):
    path = write(tmp_path, "a.py", REGISTERED.format(factor=1))
    assert build_from_registry(Config.fromfile(path).thing).size == 2
    write(tmp_path, "a.py", REGISTERED.format(factor=3))
    assert build_from_registry(Config.fromfile(path).thing).size == 6
    assert build_from_registry(Config.fromfile(path, {"thing.size": 5}).thing).size == 15


def test_the_same_name_in_two_files_is_an_error(tmp_path):
    Config.fromfile(write(tmp_path, "a.py", REGISTERED.format(factor=1)))
    other = write(tmp_path, "b.py", REGISTERED.format(factor=1))
    with pytest.raises(InputError, match=r"b\.py:4: ValueError: 'OfThisConfig' is already.*a\.py"):
        Config.fromfile(other)


def test_a_built_in_name_is_taken_before_anything_has_asked_for_it(tmp_path):
    path = write(
        tmp_path, "a.py", REGISTERED.format(factor=1).replace("OfThisConfig", "PwcnetHead")
    )
    code = f"from hat.config import Config\nConfig.fromfile({str(path)!r})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=WATCHDOG_SECONDS
    )
    assert "'PwcnetHead' is already registered: PwcnetHead of" in result.stderr
    assert "a.py:4" in result.stderr.splitlines()[-1]


def test_a_module_beside_a_config_is_its_own(tmp_path):
    found = []
    for name in ("one", "two"):
        write(tmp_path / name, "helper.py", f"import other\nNAME = {name!r} + other.END\n")
        write(tmp_path / name, "other.py", f"END = '-{name}'\n")
        write(tmp_path / name / "package", "__init__.py", "from .inner import DEEP\n")
        write(
            tmp_path / name / "package",
            "inner.py",
            f"import helper\nDEEP = [helper.NAME, {name!r}]\n",
        )
        path = write(
            tmp_path / name,
            "a.py",
            """
            import helper
            import package.inner
            from package import DEEP, inner

            value = [helper.NAME, package.inner.DEEP, DEEP, inner.DEEP]

            def late():
                from helper import NAME
                return NAME
            """,
        )
        before = list(sys.path)
        config = Config.fromfile(path)
        assert sys.path == before
        assert "helper" not in sys.modules
        found.append((config.value[0], config.value[1], config.late()))
    assert found == [
        ("one-one", ["one-one", "one"], "one-one"),
        ("two-two", ["two-two", "two"], "two-two"),
    ]
    outside = write(tmp_path / "three", "a.py", "import helper\n")
    with pytest.raises(InputError, match=r"a\.py:1: ModuleNotFoundError: No module named 'helper'"):
        Config.fromfile(outside)


def test_a_config_beside_the_packages_takes_the_usual_ones(tmp_path):
    write(tmp_path / "hat", "__init__.py", "raise RuntimeError\n")
    write(tmp_path, "json.py", "raise RuntimeError\n")
    path = write(tmp_path, "a.py", "import json\nimport hat.registry\nv = json.dumps(1)\n")
    assert Config.fromfile(path).v == "1"


def test_a_data_class_finds_its_module(tmp_path):
    text = """
        from __future__ import annotations
        import dataclasses

        @dataclasses.dataclass
        class Point:
            x: int
            dims: dataclasses.KW_ONLY
            y: int = 3

        point = Point(1)
    """
    config = Config.fromfile(write(tmp_path, "a.py", text))
    assert config.point.y == 3
    assert pickle.loads(pickle.dumps(config.point)) == config.point


def test_objects_of_an_earlier_load_can_still_be_pickled(tmp_path):
    path = write(tmp_path, "a.py", REGISTERED.format(factor=1))
    first = build_from_registry(Config.fromfile(path).thing)
    second = build_from_registry(Config.fromfile(path).thing)
    assert type(pickle.loads(pickle.dumps(first))) is type(first)
    assert type(pickle.loads(pickle.dumps(second))) is type(second)


WORKERS = """
    import torch
    from torch.utils.data import DataLoader, Dataset
    import beside

    count = 3

    class Numbers(Dataset):
        offset = count

        def __init__(self, transform):
            self.transform = transform

        def __len__(self):
            return 2

        def __getitem__(self, index):
            return self.transform(torch.tensor(index + self.offset))

    def collate(samples):
        return [int(x) for x in samples]

    loader = dict(
        type=DataLoader,
        dataset=dict(type=Numbers, transform=dict(type=beside.Scale, factor=10)),
        batch_size=2,
        num_workers=1,
        collate_fn=collate,
    )
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_that_are_not_forked_import_what_a_config_defines(tmp_path, method):
    write(
        tmp_path,
        "beside.py",
        """
        class Scale:
            def __init__(self, factor):
                self.factor = factor

            def __call__(self, x):
                return x * self.factor
        """,
    )
    write(tmp_path, "base.py", WORKERS)
    write(tmp_path, "my.v2.py", "_base_ = 'base.py'\ncount = 4\n")
    script = write(
        tmp_path / "elsewhere",
        "main.py",
        """
        import sys
        from hat.config import Config
        from hat.registry import build_from_registry

        if __name__ == "__main__":
            opts = {"loader.multiprocessing_context": sys.argv[2], "count": 5}
            print(list(build_from_registry(Config.fromfile(sys.argv[1], opts).loader)))
        """,
    )
    result = subprocess.run(
        [sys.executable, str(script), "my.v2.py", method],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECONDS,
    )
    assert result.stdout.strip() == "[[50, 60]]", result.stderr
