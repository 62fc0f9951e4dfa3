"""Tries wheels in empty environments: installs each, computes flow, compares the integers.

    python distribution/try_wheels.py [dist]

For each wheel in the folder and each Python that it is for: a new virtual environment, the wheel,
``trial.py`` in an empty folder. The wheels for AArch64 run under qemu with Debian's Python for that
machine. ``horizon-flow`` is installed without its dependencies, which are those of the environment
that this script runs in; so it is tried with that environment's Python alone.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aarch64 import Emulated, missing
from processes import run
from pythons import pythons

HERE = Path(__file__).resolve().parent
HERE_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
COMMANDS = (
    "hat --version",
    "hat ls configs",
    "hat calops --config pwcnet_lite_generated",
    "hrt_model_exec --version",
)


def main() -> int:
    parser = argparse.ArgumentParser(description="Try the wheels of a folder.")
    parser.add_argument("folder", nargs="?", type=Path, default=HERE.parent / "dist")
    folder = parser.parse_args().folder
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        print(f"{folder}: no wheels; make wheels builds them", file=sys.stderr)
        return 2
    results: set[str] = set()
    with tempfile.TemporaryDirectory() as work:
        for wheel in wheels:
            for title, lines in _trials(wheel, Path(work)):
                print(f"{title}: works\n  " + "\n  ".join(lines), flush=True)
                results.update(line.partition(" with ")[0] for line in lines if "integers" in line)
    per_network = {line.partition(":")[0] for line in results}
    if len(results) != len(per_network):
        print(f"the integers differ: {sorted(results)}", file=sys.stderr)
        return 1
    return 0


def _trials(wheel: Path, work: Path) -> Iterator[tuple[str, list[str]]]:
    """A wheel's name with the Python that it was tried with, and what was printed."""
    if "aarch64" in wheel.name:
        lack = missing()
        if not fits(wheel, "3.11"):
            print(f"{wheel.name}: not tried: the Python under qemu is 3.11", flush=True)
        elif "horizon_flow" in wheel.name:
            print(f"{wheel.name}: not tried: PyTorch is too slow under qemu", flush=True)
        elif lack:
            print(f"{wheel.name}: NOT TRIED: {lack}", file=sys.stderr, flush=True)
        else:
            emulated = Emulated(work / "aarch64")
            yield f"{wheel.name}, qemu", emulated.run(wheel, HERE / "trial.py")
        return
    for version, python in pythons(("3.11", "3.12", "3.13", "3.14")).items():
        whole = "horizon_flow" in wheel.name
        if fits(wheel, version) and (not whole or version == HERE_VERSION):
            folder = Path(tempfile.mkdtemp(dir=work))
            yield f"{wheel.name}, Python {version}", _installed(wheel, python, folder, whole)


def fits(wheel: Path, version: str) -> bool:
    """Whether the wheel is for this version of Python, such as "3.12"."""
    own, least = re.search(r"-cp3(\d+)-(abi3)?", wheel.name).groups()  # type: ignore[union-attr]
    minor = int(version.partition(".")[2])
    return minor >= int(own) if least else minor == int(own)


def _installed(wheel: Path, python: str, folder: Path, whole: bool) -> list[str]:
    """What the trial prints in an environment of its own."""
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run([python, "-m", "venv", folder / "venv"], None, alone)
    binaries = folder / "venv" / "bin"
    options = ["--no-deps"] if whole else []
    run([binaries / "python", "-m", "pip", "install", "--quiet", *options, wheel], None, alone)
    if whole:
        (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
        ours = next(Path(path) for path in sys.path if path.endswith("site-packages"))
        (packages / "dependencies.pth").write_text(f"{ours}\n")
    lines = run([binaries / "python", HERE / "trial.py"], folder, alone).splitlines()
    for command in COMMANDS if whole else COMMANDS[-1:]:
        name, *words = command.split()
        printed = run([binaries / name, *words], folder, alone)
        lines.append(f"{command}: {printed.splitlines()[-1]}")
    if not whole:
        pip_list = [binaries / "python", "-m", "pip", "list", "--format", "freeze"]
        listed = run(pip_list, None, alone)
        lines.append("packages: " + ", ".join(listed.split()))
    return lines


if __name__ == "__main__":
    sys.exit(main())
