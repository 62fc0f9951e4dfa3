"""Debian's Python for AArch64 under qemu, in a folder; nothing is installed on the system."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from processes import run

PACKAGES = (
    "libc6",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libstdc++6",
    "python3.11-minimal",
    "zlib1g",
)
QEMU = "qemu-aarch64-static"
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")


def missing() -> str:
    """What this machine lacks for it, or an empty text."""
    lacking = [name for name in (QEMU, "apt-get", "dpkg") if shutil.which(name) is None]
    return f"{', '.join(lacking)} not installed" if lacking else ""


class Emulated:
    """An AArch64 system with Python 3.11 below ``folder``.

    The process ends where Debian's packages cannot be had, or have no Python 3.11.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._root = folder, folder / "root"
        if self._root.is_dir():
            return
        downloads = folder / "downloads"
        for needed in (
            downloads,
            folder / "state/lists/partial",
            folder / "cache/archives/partial",
        ):
            needed.mkdir(parents=True)
        settings = {
            "APT::Architecture": "arm64",
            "APT::Architectures": "arm64",
            "APT::Sandbox::User": "root",
            "Dir::State": folder / "state",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": folder / "cache",
        }
        apt = ["apt-get", "-qq"]
        for name, value in settings.items():
            apt += ["-o", f"{name}={value}"]
        run([*apt, "update"])
        run([*apt, "download", *PACKAGES], downloads)
        for package in downloads.iterdir():
            run(["dpkg", "-x", package, self._root])

    def run(self, wheel: Path, script: Path) -> list[str]:
        """The lines that ``script`` prints where only ``wheel`` and numpy are installed."""
        installed = self._folder / wheel.stem
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", installed]
        pip += ["--only-binary", ":all:", "--python-version", "3.11"]
        for platform in PLATFORMS:
            pip += ["--platform", platform]
        run([*pip, wheel])
        python = self._folder / "python"
        python.write_text(
            f'#!/bin/sh\nexec {QEMU} -L "{self._root}" "{self._root}/usr/bin/python3.11" "$@"\n'
        )
        python.chmod(0o755)
        work = installed / "work"
        work.mkdir()
        environment = os.environ | {"PYTHONPATH": str(installed), "PYTHON": str(python)}
        return run([python, script], work, environment).splitlines()
