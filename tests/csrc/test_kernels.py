"""Every kernel set against the scalar one: on this machine, under sanitizers, and for AArch64."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.csrc.native import build, tool
from tests.other_processes import WATCHDOG_SECONDS


def run(command: list[str | Path], sets: list[str], **environment: str) -> None:
    """Runs test_kernels, which says what it compared; anything on stderr is a sanitizer's word."""
    found = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=WATCHDOG_SECONDS,
    )
    assert (found.returncode, found.stderr) == (0, ""), found.stdout + found.stderr
    compared = found.stdout.rsplit(": ", 1)[1]
    assert compared == " ".join([*sets, "equal to scalar\n"])


REQUEST_PERMISSION, TILE_DATA = 0x1023, 18  # of Linux's arch_prctl on x86-64, system call 158


def fast_sets() -> list[str]:
    """The sets that this CPU can run, in their order, by what Linux says of it."""
    flags = set(Path("/proc/cpuinfo").read_text().split())
    needed = {
        "avx512": "avx512_vnni",
        "avxvnni": "avx_vnni",
        "avx2": "avx2",
        "neon": "asimddp",
    }
    found = [name for name, flag in needed.items() if flag in flags]
    compared = ["matrix_avx512"] if "avx512" in found else []
    if "amx_int8" in flags and not ctypes.CDLL(None).syscall(158, REQUEST_PERMISSION, TILE_DATA):
        found.insert(0, "amx")
        compared.insert(0, "amx_always")
    return [*found, *compared, "matrix"]


@pytest.mark.parametrize("seed", [1, 2])
def test_equal_to_scalar(seed):
    run([build("tests", "test_kernels", "-DHORIZON_TESTS=ON"), "400", str(seed)], fast_sets())


def test_without_bad_accesses_or_undefined_behaviour():
    options = ("-DHORIZON_SANITIZE=address,undefined", "-DHORIZON_TESTS=ON")
    program = build("address_sanitizer", "test_kernels", *options)
    run([program, "60", "3"], fast_sets(), UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")


# "max" has the dot product; without it there is nothing but scalar, and its twin for comparison.
@pytest.mark.parametrize(("cpu", "sets"), [("max", ["neon", "matrix"]), ("cortex-a53", ["matrix"])])
def test_aarch64(cpu, sets):
    tool("aarch64-linux-gnu-g++")
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={ROOT / 'csrc/aarch64-toolchain.cmake'}"
    options = (toolchain, "-DHORIZON_STATIC=ON", "-DHORIZON_TESTS=ON")
    static = "-DCMAKE_EXE_LINKER_FLAGS=-static"
    program = build("aarch64", "test_kernels", *options, static)
    run([tool("qemu-aarch64-static"), "-cpu", cpu, program, "100"], sets)


@pytest.mark.parametrize("name", ["amx", "avx2", "avxvnni", "avx512", "neon"])
def test_no_function_is_shared_between_instruction_sets(name):
    """The linker keeps one copy of what two files define; it must not be one that some CPUs lack.

    Sanitizer builds and builds without optimisation are another matter: this is the one that is
    installed.
    """
    nm = tool("nm")
    folder = build("tests", "core", "-DHORIZON_TESTS=ON").parent
    objects = sorted(folder.glob(f"CMakeFiles/core.dir/kernels/*_{name}.cpp.o"))
    objects += sorted(folder.glob(f"CMakeFiles/kernels_{name}.dir/kernels/*_fast.cpp.o"))
    assert objects
    symbols = subprocess.run([nm, *objects], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in symbols.splitlines() if "DW.ref." not in line]  # a pointer
    kinds = {fields[-2] for fields in lines if len(fields) >= 2}
    assert kinds <= set("TtbrdU")
