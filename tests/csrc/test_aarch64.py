"""hrt_model_exec for AArch64, cross-compiled, under qemu: the same bytes as here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from horizon import hbm
from tests.conftest import ROOT
from tests.csrc.native import HRT_MODEL_EXEC, build, tool
from tests.horizon.hbm.programs import full_program
from tests.horizon.runtime.networks import network

pytestmark = pytest.mark.slow  # it compiles


@pytest.fixture(scope="module")
def program() -> Path:
    tool("aarch64-linux-gnu-g++")
    toolchain = ROOT / "csrc/aarch64-toolchain.cmake"
    options = (f"-DCMAKE_TOOLCHAIN_FILE={toolchain}", "-DHORIZON_STATIC=ON")
    return build("aarch64", "hrt_model_exec", *options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("aarch64")
    for machine in ("host", "edge256"):
        case = network(machine, height=32)
        (folder / f"{machine}.hbm").write_bytes(case.file)
        (folder / f"{machine}.bin").write_bytes(case.images[0].tobytes())
    hbm.write(full_program(), folder / "full.hbm")
    (folder / "full.bin").write_bytes(bytes(range(0, 216, 3)))
    return folder


@pytest.mark.parametrize("kernels", ["neon", "scalar"])
@pytest.mark.parametrize("name", ["host", "edge256", "full"])
def test_the_same_bytes_as_on_this_machine(program, folder, tmp_path, name, kernels):
    arguments = ["infer", "--model_file", folder / f"{name}.hbm"]
    arguments += ["--input_file", folder / f"{name}.bin", "--core_num", "2", "--dump_dir"]
    # "max": all extensions that qemu knows, the dot product among them
    emulated = [tool("qemu-aarch64-static"), "-cpu", "max", "-E", f"HORIZON_KERNELS={kernels}"]
    outputs = []
    for command, target in (
        ([*emulated, program], tmp_path / "emulated"),
        ([HRT_MODEL_EXEC], tmp_path / "native"),
    ):
        found = subprocess.run([*command, *arguments, target], capture_output=True, text=True)
        assert found.returncode == 0, found.stderr
        assert (f"kernels {kernels}" in found.stdout) == (target.name == "emulated")
        outputs.append([path.read_bytes() for path in target.iterdir()])
    assert outputs[0] == outputs[1]


def test_a_cpu_without_the_dot_product_falls_back(program, folder):
    command = [tool("qemu-aarch64-static"), "-cpu", "cortex-a53", program, "infer"]
    command += ["--model_file", folder / "full.hbm", "--input_file", folder / "full.bin"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "kernels scalar" in found.stdout
