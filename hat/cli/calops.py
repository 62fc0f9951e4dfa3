"""Count a network's parameters and multiply-accumulate operations (MACs), per layer and in total.

The total is that of the convolutions, transposed ones included, as publications count it;
correlation and warp are given apart. One MAC is one multiplication and one addition.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hat.analysis import LayerCount, OpCount, count_ops
from hat.cli import common
from hat.cli.reads import reads
from hat.cli.sections import build_model, read_section
from hat.data.files import write_json
from hat.errors import InputError
from hat.outputs import check_outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_config_arguments(parser, stages=None)
    parser.add_argument(
        "--input-shape",
        metavar="1x6x384x512",
        help="batch x channels x height x width, or height x width (default: the config's)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the counts to this file as well")


def run(args: argparse.Namespace) -> int:
    config = common.load_config(args, "float")
    settings = read_section(config, "calops_cfg")
    shape = parse_shape(args.input_shape) if args.input_shape else settings["input_shape"]
    if args.json:
        check_outputs([args.json], reads(config), "--json")
    counts = count_ops(build_model(config, "calops_cfg"), check_shape(shape))
    show(counts)
    if args.json:
        write_json(args.json, as_json(counts, config.path))
        print(f"\nCounts: {args.json}")
    return 0


def parse_shape(text: str) -> tuple[int, ...]:
    """``"1x6x384x512"`` or ``"384x512"`` (or with commas) as (1, 6, 384, 512)."""
    words = re.split(r"[x*,\s]+", text.strip().lower())
    if not all(word.isdecimal() for word in words) or len(words) not in (2, 4):
        raise InputError(
            f"--input-shape {text!r}: expected height x width or batch x 6 x height x width, "
            "such as 384x512 or 1x6x384x512"
        )
    numbers = tuple(int(word) for word in words)
    return numbers if len(numbers) == 4 else (1, 6, *numbers)


def check_shape(shape: Sequence[int]) -> tuple[int, int, int, int]:
    """``shape`` as a tuple of four; InputError unless it is an image pair."""
    if len(shape) != 4 or shape[1] != 6 or min(shape) < 1:
        raise InputError(
            f"input shape {'x'.join(map(str, shape))}: expected batch x 6 channels (two images) x "
            "height x width, such as 1x6x384x512"
        )
    batch, channels, height, width = shape
    return batch, channels, height, width


def show(counts: OpCount) -> None:
    """Print the table and the totals."""
    total = counts.macs + counts.other_macs
    rows = [
        (
            layer.name,
            layer.operation,
            "x".join(map(str, layer.output)) or "not run",
            f"{layer.parameters:,}",
            f"{layer.macs / 1e6:,.2f}",
            f"{100 * layer.macs / total:.2f}" if total else "",
        )
        for layer in counts.layers
    ]
    header = ("layer", "operation", "output", "parameters", "MMAC", "%")
    print(table(rows, header, text_columns=3))
    shape = "x".join(map(str, counts.input_shape))
    print(f"\nInput           {shape}")
    print(f"Parameters      {counts.parameters:,}")
    print(f"MACs            {counts.macs / 1e9:.2f} GMAC ({counts.macs:,}), convolutions")
    for name, macs in others(counts.layers).items():
        print(f"                {macs / 1e9:.2f} GMAC ({macs:,}), {name}, not in the total")


def others(layers: Sequence[LayerCount]) -> dict[str, int]:
    """MACs of what is no convolution, by the kind of operation."""
    sums: dict[str, int] = {}
    for layer in layers:
        if layer.macs and not layer.is_convolution:
            kind = layer.operation.partition(",")[0]
            sums[kind] = sums.get(kind, 0) + layer.macs
    return sums


def table(rows: Sequence[Sequence[str]], header: Sequence[str], text_columns: int) -> str:
    """Aligned columns: the first ``text_columns`` to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for row in (header, ["-" * width for width in widths], *rows):
        cells = [
            cell.ljust(width) if index < text_columns else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def as_json(counts: OpCount, config: str) -> dict[str, Any]:
    """The counts as plain values; MACs in single operations."""
    return {
        "config": Path(config).as_posix(),
        "input_shape": list(counts.input_shape),
        "parameters": counts.parameters,
        "macs": counts.macs,
        "macs_not_in_total": others(counts.layers),
        "layers": [
            {
                "name": layer.name,
                "operation": layer.operation,
                "output_shape": list(layer.output),
                "parameters": layer.parameters,
                "macs": layer.macs,
            }
            for layer in counts.layers
        ],
    }
