"""The loader of compiled programs: its native tests under sanitizers, and some seconds of fuzzing.

An hour of fuzzing is what the header of ``csrc/fuzz/fuzz_program.cpp`` says.
"""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.csrc.native import fuzzing_compiler, tool

CSRC = ROOT / "csrc"
OPTIONS = ["-std=c++20", "-O1", "-g1", "-Wall", "-Wextra", "-Werror", "-I", str(CSRC)]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
FUZZING_RUNS = 25_000  # a number of runs and not of seconds: a slow machine tries the same files
MOST_MEGABYTES = 8192  # a forged file that is valid may ask for much scratch


@pytest.fixture(scope="module")
def loader(tmp_path_factory) -> list[str]:
    """The object files of csrc/hbm."""
    folder = tmp_path_factory.mktemp("loader")
    compiler = tool("g++")

    def compile_one(source: Path) -> str:
        target = folder / f"{source.stem}.o"
        run([compiler, *OPTIONS, *SANITIZERS, "-c", str(source), "-o", str(target)])
        return str(target)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(compile_one, sorted((CSRC / "hbm").glob("*.cpp"))))


def run(command: list[str], **environment: str) -> str:
    """What the command writes; the test fails if it does."""
    found = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert found.returncode == 0, f"{command[0]}\n{found.stdout[-4000:]}{found.stderr[-4000:]}"
    return found.stdout + found.stderr


@pytest.mark.parametrize("name", ["loader", "loader_parts", "checks", "operators", "resampling"])
def test_native_tests_pass_under_sanitizers(loader, tmp_path, name):
    program = tmp_path / name
    source = CSRC / "tests" / f"test_{name}.cpp"
    run([tool("g++"), *OPTIONS, *SANITIZERS, str(source), *loader, "-o", str(program)])
    assert ": passed\n" in run([str(program)])


@pytest.mark.slow
def test_forged_programs_are_refused_or_run_alike_with_all_kernels(tmp_path):
    fuzzing_compiler()
    run([str(CSRC / "fuzz/build.sh"), str(tmp_path)])
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    run([str(tmp_path / "make_corpus"), str(corpus)])
    seeds = len(list(corpus.iterdir()))
    fuzzer = [str(tmp_path / "fuzz_program"), "-seed=1", "-max_len=65536", "-mutate_depth=1"]
    fuzzer += [f"-runs={FUZZING_RUNS}", f"-rss_limit_mb={MOST_MEGABYTES}"]
    fuzzer += [f"-artifact_prefix={tmp_path}/", str(corpus)]
    run(fuzzer)
    # It has found its way into the loader and the executor, not only started.
    assert len(list(corpus.iterdir())) > seeds + 50
