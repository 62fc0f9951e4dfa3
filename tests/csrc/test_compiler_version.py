"""A compiler that is too old is refused by CMake, and the documents name the same version."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.conftest import ROOT
from tests.csrc.native import tool

CMAKE = (ROOT / "csrc/CMakeLists.txt").read_text()


@pytest.mark.parametrize(("version", "accepted"), [("11.3.0", False), ("12.1.0", True)])
def test_the_least_version_of_gxx(tmp_path, version, accepted):
    """The part of CMakeLists.txt that checks it, with a compiler of that version."""
    check = CMAKE[CMAKE.index("set(least_GNU") : CMAKE.index('option(HORIZON_PYTHON "Build')]
    script = tmp_path / "check.cmake"
    script.write_text(
        f"set(CMAKE_CXX_COMPILER g++)\nset(CMAKE_CXX_COMPILER_ID GNU)\n"
        f"set(CMAKE_CXX_COMPILER_VERSION {version})\n{check}"
    )
    found = subprocess.run([tool("cmake"), "-P", str(script)], capture_output=True, text=True)
    assert (found.returncode == 0) == accepted, found.stderr
    text = " ".join(found.stderr.split())
    assert accepted or "g++ is GNU 11.3.0; expected 12 or newer (g++ 12 or clang++ 14)" in text


def test_the_readme_names_it():
    least = re.search(r"set\(least_GNU (\d+)\)", CMAKE)[1]
    assert f"g++ {least} or newer" in (ROOT / "README.md").read_text()
