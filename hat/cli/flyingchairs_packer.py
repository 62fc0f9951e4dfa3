"""Pack a split of raw FlyingChairs into an LMDB data set.

Writes ``{target}/{split}_lmdb``; it appears when it is whole. A run that was stopped, even by
kill -9, is continued by the same command. Errors (exit 2): no raw data set, missing pairs (unless
``--skip-missing``), a damaged file, an existing result (unless ``--overwrite``), a full disk.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hat import interruption
from hat.data.packers.flyingchairs import pack_flyingchairs
from hat.errors import InputError
from horizon.cpus import usable_cpus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the packer."""
    parser.add_argument("--src-data-dir", required=True, help="raw FlyingChairs folder")
    parser.add_argument(
        "--target-data-dir", help="folder of the result (default: the one of --src-data-dir)"
    )
    parser.add_argument("--split-name", required=True, choices=("train", "val"))
    parser.add_argument("--pack-type", default="lmdb", choices=("lmdb",), help="format (lmdb)")
    parser.add_argument(
        "--num-workers",
        type=int,
        default=usable_cpus(),
        help="encoding processes (default: all cores; 0: in this process)",
    )
    parser.add_argument(
        "--skip-missing", action="store_true", help="leave out pairs that lack a file"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an existing result once the new is whole"
    )


def run(args: argparse.Namespace) -> int:
    """Pack and print a summary."""
    if not 0 <= args.num_workers <= 1024:
        raise InputError(f"--num-workers is {args.num_workers}; expected 0 to 1024")
    source = Path(args.src_data_dir)
    target = Path(args.target_data_dir or args.src_data_dir)
    with interruption.advice("the packed pairs are kept; run the same command to continue"):
        summary = pack_flyingchairs(
            source,
            target,
            args.split_name,
            workers=args.num_workers,
            skip_missing=args.skip_missing,
            overwrite=args.overwrite,
        )
    print(summary)
    return 0
