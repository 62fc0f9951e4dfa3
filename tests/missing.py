"""What a machine may lack for some tests: each kind has its name, and the command that brings it.

A test that needs one calls :func:`skip_without`; a run ends with the kinds that were missing.
"""

from __future__ import annotations

from typing import NoReturn

import pytest

KINDS = {
    "clang": "apt-get install -y clang",
    "clang's sanitizers": "apt-get install -y libclang-rt-dev",
    "AArch64 compiler": "apt-get install -y g++-aarch64-linux-gnu",
    "qemu": "apt-get install -y qemu-user-static",
    "C++ compiler": "apt-get install -y g++",
    "valgrind": "apt-get install -y valgrind",
    "CMake and Ninja": "make .venv/.installed",
    "h5py": "pip install h5py",
    "zsh": "apt-get install -y zsh",
    "fish": "apt-get install -y fish",
    "Chromium": "apt-get install -y chromium",
    "wheel builder": "make .venv/.installed",
    "real samples": "put the folder shared/ (data, tutorial) beside the project",
    "GPU": "run python -m benchmarks.gpu_tests on a machine with one",
    "ordinary user": "run the tests as another user than root",
}
TOOLS = {
    "clang++": "clang",
    "aarch64-linux-gnu-g++": "AArch64 compiler",
    "qemu-aarch64-static": "qemu",
    "g++": "C++ compiler",
    "gcc": "C++ compiler",
    "nm": "C++ compiler",
    "valgrind": "valgrind",
    "zsh": "zsh",
    "fish": "fish",
    "cmake": "CMake and Ninja",
    "ninja": "CMake and Ninja",
}
MARK = "missing: "


def skip_without(kind: str, detail: str = "") -> NoReturn:
    """Skip the calling test for want of ``kind``, one of KINDS."""
    assert kind in KINDS, kind
    pytest.skip(f"{MARK}{kind}" + (f"; {detail}" if detail else ""))


def kind_of(reason: str) -> str | None:
    """The kind in the reason of a skip that :func:`skip_without` has written."""
    _, mark, rest = reason.partition(MARK)
    return rest.partition(";")[0].strip() if mark else None


def summary(reasons: list[str]) -> list[str]:
    """Lines for the end of a run: how many tests each kind has kept from running."""
    counts: dict[str, int] = {}
    for reason in reasons:
        kind = kind_of(reason) or "other reasons"
        counts[kind] = counts.get(kind, 0) + 1
    return [
        f"{count:4d}  {kind}: {KINDS.get(kind, 'see pytest -rs')}"
        for kind, count in sorted(counts.items(), key=lambda item: -item[1])
    ]
