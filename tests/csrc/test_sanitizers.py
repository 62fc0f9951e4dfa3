"""The executor under ThreadSanitizer, AddressSanitizer with UBSan, and valgrind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from horizon import hbm
from horizon.runtime import available_kernels
from tests.csrc.native import HRT_MODEL_EXEC, build, tool
from tests.horizon.hbm.programs import full_program
from tests.horizon.runtime.networks import network
from tests.other_processes import WATCHDOG_SECONDS

pytestmark = pytest.mark.slow  # it compiles


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A small network for two machines and a program with every instruction, and their inputs."""
    folder = tmp_path_factory.mktemp("sanitizers")
    for machine in ("host", "edge256"):
        case = network(machine, height=32)
        (folder / f"{machine}.hbm").write_bytes(case.file)
        (folder / f"{machine}.bin").write_bytes(case.images[0].tobytes())
    hbm.write(full_program(), folder / "full.hbm")
    (folder / "full.bin").write_bytes(bytes(range(72)))
    return folder


def run_threads(sanitizer: str, program: Path) -> None:
    sanitizers = "address,undefined" if sanitizer == "address" else sanitizer
    options = (f"-DHORIZON_SANITIZE={sanitizers}", "-DHORIZON_TESTS=ON")
    command = [build(f"{sanitizer}_sanitizer", "test_threads", *options), program]
    found = subprocess.run(command, capture_output=True, text=True, timeout=WATCHDOG_SECONDS)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("machine", ["host", "edge256"])
def test_threads_without_data_races(folder, machine):
    run_threads("thread", folder / f"{machine}.hbm")


def test_threads_in_a_forked_process(folder):
    # ThreadSanitizer allows none there
    run_threads("address", folder / "host.hbm")


@pytest.mark.parametrize("kernels", available_kernels())
@pytest.mark.parametrize("name", ["host", "edge256", "full"])
def test_runs_without_bad_accesses_or_undefined_behaviour(folder, tmp_path, name, kernels):
    program = build("address_sanitizer", "hrt_model_exec", "-DHORIZON_SANITIZE=address,undefined")
    arguments = ["infer", "--model_file", folder / f"{name}.hbm"]
    arguments += ["--input_file", folder / f"{name}.bin", "--core_num=2", "--dump_dir"]
    environment = os.environ | {
        "HORIZON_KERNELS": kernels,
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1",
    }
    outputs = []
    for executable in (program, HRT_MODEL_EXEC):
        target = tmp_path / executable.parent.name
        found = subprocess.run(
            [executable, *arguments, target], capture_output=True, text=True, env=environment
        )
        assert (found.returncode, found.stderr) == (0, "")
        outputs.append([path.read_bytes() for path in target.iterdir()])
    assert outputs[0] == outputs[1]


def test_valgrind_finds_nothing(folder, tmp_path):
    command = [tool("valgrind"), "--quiet", "--error-exitcode=9", "--leak-check=full"]
    command += [str(HRT_MODEL_EXEC), "infer", "--model_file", str(folder / "full.hbm")]
    command += ["--input_file", str(folder / "full.bin"), "--core_num=2"]
    # it knows no AVX-512; without the variable the choice at run time must see that
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (found.returncode, found.stderr) == (0, "")
    assert "kernels avx512" not in found.stdout
