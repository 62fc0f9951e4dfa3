"""Builds of csrc with other flags than the installed one; build/ keeps them for the next run."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.conftest import ROOT
from tests.missing import TOOLS, skip_without

BIN = Path(sys.executable).parent
HRT_MODEL_EXEC = BIN / "hrt_model_exec"


@cache
def build(name: str, target: str, *options: str) -> Path:
    """The program ``target``, built in build/``name`` by CMake with these options."""
    folder = ROOT / "build" / name
    cmake = tool("cmake")
    configure = [cmake, "-S", str(ROOT / "csrc"), "-B", str(folder), "-G", "Ninja"]
    configure += [f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}", "-DHORIZON_PYTHON=OFF", *options]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once would build over each other
        for command in (configure, [cmake, "--build", str(folder), "--target", target]):
            found = subprocess.run(command, capture_output=True, text=True)
            assert found.returncode == 0, found.stdout + found.stderr
    return folder / target


def fuzzing_compiler() -> str:
    """clang++ with its sanitizers; the test is skipped where one of the two is missing."""
    compiler = tool("clang++")
    command = [compiler, "-fsanitize=fuzzer,address,undefined", "-x", "c++", "-", "-o", os.devnull]
    source = 'extern "C" int LLVMFuzzerTestOneInput(const char*, long) { return 0; }'
    if subprocess.run(command, input=source, capture_output=True, text=True).returncode != 0:
        skip_without("clang's sanitizers", f"{compiler} cannot link with them")
    return compiler


def tool(name: str) -> str:
    """A program beside the interpreter or on the path; the test is skipped where it is missing."""
    path = shutil.which(name, path=str(BIN)) or shutil.which(name)
    if path is None:
        skip_without(TOOLS[name], f"{name} is not installed")
    return path
