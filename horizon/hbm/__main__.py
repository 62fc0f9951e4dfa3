"""``python -m horizon.hbm FILE``: print a compiled program as text."""

from __future__ import annotations

import argparse
import os
import sys

from horizon.errors import InputError
from horizon.hbm.disassemble import disassemble
from horizon.hbm.reader import read


def main(argv: list[str] | None = None) -> int:
    """Exit code 2 and a message where the file is no valid program."""
    parser = argparse.ArgumentParser(prog="python -m horizon.hbm", description=__doc__)
    parser.add_argument("file", help="a .hbm file")
    path = parser.parse_args(argv).file
    try:
        text = disassemble(read(path))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
