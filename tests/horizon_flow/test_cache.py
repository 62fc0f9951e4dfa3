from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from horizon.errors import InputError
from horizon_flow import FlowModel, cache
from horizon_flow import compile as compiling
from tests.conftest import ROOT
from tests.horizon_flow.conftest import images

PAIR = images(2, 40, 50)


@pytest.fixture
def compiled(monkeypatch):
    """The sizes that are compiled, in order."""
    sizes = []
    original = compiling.compile_network

    def counted(graph, size, video=False):
        sizes.append(size)
        return original(graph, size, video)

    monkeypatch.setattr(compiling, "compile_network", counted)
    return sizes


def programs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.hbm"))


def test_a_size_is_compiled_once(tmp_path, compiled):
    model = FlowModel(cache_dir=tmp_path / "new" / "folder")
    flow = model(*PAIR)
    np.testing.assert_array_equal(model(*PAIR), flow)
    np.testing.assert_array_equal(FlowModel(cache_dir=tmp_path / "new" / "folder")(*PAIR), flow)
    assert compiled == [(128, 128)]
    (path,) = programs(tmp_path / "new" / "folder")
    assert path.name.startswith("pwcnet_lite-pairs-128x128-")
    FlowModel(cache_dir=tmp_path)(*images(2, 64, 129))
    assert compiled == [(128, 128), (128, 256)]


@pytest.mark.parametrize("damage", ["empty", "cut", "one byte", "another program"])
def test_a_damaged_program_is_compiled_again(damage, tmp_path, compiled):
    flow = FlowModel(cache_dir=tmp_path)(*PAIR)
    (path,) = programs(tmp_path)
    good = path.read_bytes()
    if damage == "another program":  # a valid one, of another kind
        list(FlowModel(cache_dir=tmp_path).video(PAIR))
        bad = next(other for other in programs(tmp_path) if other != path).read_bytes()
    else:
        middle = len(good) // 2
        bad = {"empty": b"", "cut": good[:middle]}.get(
            damage, good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]
        )
    path.unlink()  # a program in use is mapped: files are replaced, not written to
    path.write_bytes(bad)
    compiled.clear()
    np.testing.assert_array_equal(FlowModel(cache_dir=tmp_path)(*PAIR), flow)
    assert compiled == [(128, 128)]
    assert path.read_bytes() == good


def test_without_a_folder_it_goes_on_with_one_warning(tmp_path, compiled):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below"  # no right of any user makes a folder in a file
    model = FlowModel(cache_dir=folder)
    with pytest.warns(UserWarning, match=r"cannot be kept.*HORIZON_FLOW_CACHE") as told:
        flow = model(*PAIR)
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(*PAIR)
        model(*images(2, 130, 50))
    assert compiled == [(128, 128), (256, 128)]
    np.testing.assert_array_equal(FlowModel(cache_dir=tmp_path)(*PAIR), flow)


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(self, data):
        self.open("wb").close()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.warns(UserWarning, match=r"No space left on device"):
        flow = FlowModel(cache_dir=tmp_path)(*PAIR)
    assert flow.shape == (40, 50, 2)
    assert list(tmp_path.iterdir()) == []


def test_without_a_home_folder_it_goes_on(monkeypatch, tmp_path):
    monkeypatch.setattr("horizon_flow.model.cache_folder", lambda given: None)
    with pytest.warns(UserWarning, match=r"there is no home folder"):
        assert FlowModel()(*PAIR).shape == (40, 50, 2)


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"HOME": "/h"}, "/h/.cache/horizon-flow"),
        ("linux", {"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/x/horizon-flow"),
        ("linux", {"HOME": "/h", "XDG_CACHE_HOME": "x"}, "/h/.cache/horizon-flow"),
        ("darwin", {"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/h/Library/Caches/horizon-flow"),
        ("win32", {"HOME": "/h", "LOCALAPPDATA": "/l"}, "/l/horizon-flow"),
        ("linux", {"HOME": "/h", cache.VARIABLE: "/v"}, "/v"),
        ("linux", {"HOME": "/h", cache.VARIABLE: "~/v"}, "/h/v"),
        ("linux", {"HOME": "/h", cache.VARIABLE: ""}, "/h/.cache/horizon-flow"),
    ],
)
def test_the_folder_is_the_platform_s(monkeypatch, platform, variables, folder):
    for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", cache.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache.cache_folder() == (folder and Path(folder))
    assert cache.cache_folder("/given") == Path("/given")


def test_who_has_no_home_folder_has_no_cache(monkeypatch):
    monkeypatch.delenv(cache.VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cache.cache_folder() is None


def test_a_program_s_name_follows_from_all_that_it_depends_on(tmp_path, monkeypatch):
    names = {
        cache.program_file(tmp_path, title, network)
        for title in ("a-pairs-64x64", "a-pairs-64x96")
        for network in (b"1", b"2")
    }
    assert len(names) == 4
    monkeypatch.setattr(cache, "compiler_digest", lambda: b"another")
    assert cache.program_file(tmp_path, "a-pairs-64x64", b"1") not in names


def test_the_programs_used_last_are_kept(tmp_path):
    def make(name: str, age: float) -> Path:
        path = tmp_path / name
        path.write_bytes(bytes(10))
        os.utime(path, (time.time() - age,) * 2)
        return path

    old, middle, new = (
        make(f"net-pairs-{n}x64-{n:016x}.hbm", age) for n, age in ((1, 300), (2, 200), (3, 100))
    )
    others = [make("mine.hbm", 400), make("net-64x64.hbm", 400), make(".a.hbm.1.0123abcd.tmp", 5)]
    killed = make(".a.hbm.2.0123abcd.tmp", 1e6)
    cache.prune(tmp_path, most=20)
    assert not old.exists()
    assert not killed.exists()
    assert all(path.exists() for path in (middle, new, *others))
    cache.prune(tmp_path, most=1)
    assert new.exists()
    assert not middle.exists()


def test_a_used_program_is_not_the_oldest_any_more(tmp_path):
    FlowModel(cache_dir=tmp_path)(*PAIR)
    (path,) = programs(tmp_path)
    os.utime(path, (1, 1))
    FlowModel(cache_dir=tmp_path)(*PAIR)
    assert path.stat().st_mtime > 1


CODE = """
import sys, numpy
from horizon_flow import FlowModel
first, second = numpy.load(sys.argv[1])
model = FlowModel(cache_dir=sys.argv[2])
numpy.save(sys.argv[3], model(first, second))
unwanted = {"torch", "hat", "onnx", "scipy", "matplotlib", "horizon.compiler"} & set(sys.modules)
print(*sorted(unwanted), end="")
"""


def run_processes(count: int, folder: Path) -> list[str]:
    """Flow of PAIR in several new processes at once, from another directory; what they print."""
    np.save(folder / "pair.npy", PAIR)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CODE, "pair.npy", "cache", f"{number}.npy"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    printed = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0] * count
    flows = [np.load(folder / f"{number}.npy") for number in range(count)]
    assert all((flow == flows[0]).all() for flow in flows)
    return printed


def test_several_processes_share_the_folder(tmp_path):
    run_processes(3, tmp_path)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".hbm"]
    # Without torch and without the tools; once compiled, without the compiler.
    assert run_processes(1, tmp_path) == [""]


def test_warnings_are_no_errors_of_a_quiet_run(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FlowModel(cache_dir=tmp_path)(*PAIR)


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_neither_read_nor_written(kind, tmp_path):
    flow = FlowModel(cache_dir=tmp_path)(*PAIR)
    (path,) = programs(tmp_path)
    path.unlink()
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    with pytest.warns(UserWarning, match="cannot be kept.* is no regular file"):
        found = FlowModel(cache_dir=tmp_path)(*PAIR)
    np.testing.assert_array_equal(found, flow)
    assert not path.is_file()


def test_a_name_with_a_zero_byte_is_no_folder():
    with pytest.raises(InputError, match=r"cache_dir: found 'a\\x00b', expected the path"):
        FlowModel(cache_dir="a\0b")


def test_a_relative_folder_without_a_working_directory(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setenv(cache.VARIABLE, "cache")
    with pytest.raises(InputError, match="HORIZON_FLOW_CACHE: cache is relative, and the working"):
        FlowModel()
    FlowModel(cache_dir=tmp_path)
