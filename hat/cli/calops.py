"""Count a network's parameters and multiply-accumulate operations (MACs), per layer and in total.

The total is that of the convolutions, transposed ones included, and linear layers, as publications
count it; correlation and warp are given apart. One MAC is one multiplication and one addition.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from hat.analysis import LayerCount, OpCount, count_ops
from hat.cli import common
from hat.cli.reads import reads
from hat.cli.sections import build_model, read_section
from hat.data.files import write_json
from hat.errors import InputError
from hat.file_kinds import COUNTS
from hat.models.tasks import NetworkTask
from hat.outputs import check_outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_config_arguments(parser, stages=None)
    parser.add_argument(
        "--input-shape",
        metavar="1x6x384x512",
        help="batch x channels x height x width, or height x width of an image pair (default: the "
        "config's)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the counts to this file as well")


def run(args: argparse.Namespace) -> int:
    config = common.load_config(args, "float")
    settings = read_section(config, "calops_cfg")
    if args.json:
        check_outputs([(args.json, COUNTS)], reads(config), "--json")
    model = build_model(config, "calops_cfg")
    counts = count_ops(model, input_shapes(model, settings["input_shape"], args.input_shape))
    show(counts)
    if args.json:
        write_json(args.json, as_json(counts, config.path))
        print(f"\nCounts: {args.json}")
    return 0


def input_shapes(model: nn.Module, configured: Any, given: str | None) -> Any:
    """What :func:`~hat.analysis.count_ops` takes: of ``--input-shape``, or else of the config."""
    if not isinstance(model, NetworkTask):
        return check_shape(parse_shape(given) if given else configured)
    shapes = {name: tuple(value.shape) for name, value in model.example.items()}
    if given is None:
        return shapes
    numbers = re.fullmatch(r"\d+([x*,]\d+)*", given.strip().lower())
    if len(shapes) > 1 or numbers is None:
        raise InputError(
            f"--input-shape {given!r}: expected the shape of a single input, such as "
            f"{'x'.join(map(str, model.arguments.shape))}"
            if len(shapes) == 1
            else f"--input-shape {given!r}: the network has the inputs {', '.join(shapes)}; set "
            f'the shape of each: --opts deploy_inputs.{model.names[0]} "(1, ...)"'
        )
    return {model.names[0]: tuple(map(int, re.findall(r"\d+", given)))}


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
    texts = ["x".join(map(str, shape)) for shape in counts.inputs.values()]
    if len(texts) > 1:
        texts = [f"{text} ({name})" for name, text in zip(counts.inputs, texts, strict=True)]
    print(f"\nInput           {', '.join(texts)}")
    linear = any(layer.operation == "linear" for layer in counts.layers)
    counted = "convolutions and linear layers" if linear else "convolutions"
    print(f"Parameters      {counts.parameters:,}")
    print(f"MACs            {amount(counts.macs)} ({counts.macs:,}), {counted}")
    for name, macs in others(counts.layers).items():
        print(f"                {amount(macs)} ({macs:,}), {name}, not in the total")


def amount(macs: int) -> str:
    """MACs in a unit that shows three digits or more."""
    return f"{macs / 1e9:.2f} GMAC" if macs >= 1e9 else f"{macs / 1e6:.2f} MMAC"


def others(layers: Sequence[LayerCount]) -> dict[str, int]:
    """MACs of what is not in the total, by the kind of operation."""
    sums: dict[str, int] = {}
    for layer in layers:
        if layer.macs and not layer.in_total:
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
        "inputs": {name: list(shape) for name, shape in counts.inputs.items()},
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
