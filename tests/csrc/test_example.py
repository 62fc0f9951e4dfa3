"""The C++ example: two pictures in, a .flo file out."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hat.data.flow_io import read_flo
from hat.data.transforms import rgb_to_yuv444_uint8
from horizon.runtime import Model, c_include_directory, c_library
from tests.conftest import ROOT
from tests.csrc.native import tool
from tests.horizon.runtime.networks import network


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """The example, built as its comment says."""
    path = tmp_path_factory.mktemp("example") / "flow"
    library = c_library().parent
    command = [tool("g++"), "-std=c++20", "-Wall", "-Wextra", "-Werror"]
    command += [str(ROOT / "csrc/examples/flow.cpp"), "-I", str(c_include_directory())]
    command += ["-L", str(library), "-lhorizon_runtime", f"-Wl,-rpath,{library}", "-o", str(path)]
    subprocess.run(command, check=True)
    return path


def write_ppm(path: Path, picture: np.ndarray) -> None:
    height, width, _ = picture.shape
    path.write_bytes(b"P6\n%d %d\n255\n" % (width, height) + picture.tobytes())


@pytest.mark.parametrize("input_type", ["uint8", "int8"])
def test_it_writes_the_flow_of_two_pictures(program, tmp_path, input_type):
    case = network(input_type=input_type)
    (tmp_path / "model.hbm").write_bytes(case.file)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), np.uint8)
    pictures[0, :8] = [[[0, 0, 255]], [[255, 0, 0]]] * 4  # where chroma leaves 0..255
    for name, picture in zip(("first", "second"), pictures, strict=True):
        write_ppm(tmp_path / f"{name}.ppm", picture)
    command = [program, *(tmp_path / f for f in ("model.hbm", "first.ppm", "second.ppm", "f.flo"))]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr

    planes = np.concatenate([rgb_to_yuv444_uint8(p).transpose(2, 0, 1) for p in pictures])[None]
    image = planes if input_type == "uint8" else (planes ^ 0x80).view(np.int8)
    model = Model(case.file)
    scales = np.array(model.outputs[0].scales)[:, None, None]
    flow = (model.run({"img": image})["large"][0] * scales).transpose(1, 2, 0)
    np.testing.assert_array_equal(read_flo(tmp_path / "f.flo"), flow.astype(np.float32))
    numbers = re.search(r"mean flow: u (\S+), v (\S+) pixels", found.stdout)
    np.testing.assert_allclose(np.array(numbers.groups(), float), flow.mean((0, 1)), rtol=1e-4)


@pytest.mark.parametrize(
    ("size", "header", "match"),
    [
        ((64, 64), b"P6", "found 64 x 64, expected 96 x 64"),
        ((64, 96), b"P3", "no binary PPM"),
        ((64, 95), b"P6", "found 95 x 64"),
    ],
)
def test_pictures_that_do_not_fit(program, tmp_path, size, header, match):
    (tmp_path / "model.hbm").write_bytes(network().file)
    path = tmp_path / "picture.ppm"
    write_ppm(path, np.zeros((*size, 3), np.uint8))
    path.write_bytes(path.read_bytes().replace(b"P6", header))
    command = [program, tmp_path / "model.hbm", path, path, tmp_path / "f.flo"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 2
    assert match in found.stderr
    assert not (tmp_path / "f.flo").exists()


def test_a_file_that_is_no_program(program, tmp_path):
    picture = tmp_path / "picture.ppm"
    write_ppm(picture, np.zeros((64, 96, 3), np.uint8))
    command = [program, picture, picture, picture, tmp_path / "f.flo"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 2
    assert "picture.ppm" in found.stderr
