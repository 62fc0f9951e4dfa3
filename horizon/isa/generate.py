"""Writes what is made from the tables: ``python -m horizon.isa.generate``.

With ``--check`` nothing is written, and files that are not current end it with exit code 1. To be
run in a checkout of the sources.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from horizon.isa.cpp import header
from horizon.isa.markdown import filled
from horizon.isa.python import instruction_module

ROOT = Path(__file__).parents[2]
DOCUMENT = "docs/hbm_format.md"


def generated() -> dict[str, str]:
    """The contents of each file, by its path from the repository's root."""
    return {
        "csrc/hbm/format.h": header(),
        "horizon/hbm/instruction.py": instruction_module(),
        DOCUMENT: filled((ROOT / DOCUMENT).read_text()),
    }


def stale() -> list[str]:
    """The files whose contents are not what the tables say."""
    return [
        name
        for name, text in generated().items()
        if not (ROOT / name).exists() or (ROOT / name).read_text() != text
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m horizon.isa.generate", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--check", action="store_true", help="compare only; exit code 1 if stale")
    check = parser.parse_args(argv).check
    old = stale()
    if check:
        for name in old:
            print(f"{name} is not current; run python -m horizon.isa.generate", file=sys.stderr)
        return 1 if old else 0
    for name, text in generated().items():
        if name in old:
            (ROOT / name).write_text(text)
            print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
