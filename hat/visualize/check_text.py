"""The model checker's findings as text that fits the terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence

from horizon.compiler.check import (
    KINDS,
    SLOW,
    SUPPORTED,
    UNSUPPORTED,
    Advice,
    Check,
    OpFinding,
    Problem,
    counts,
)
from horizon.compiler.check.advice import duration, percent
from horizon.quantization.unquantised import NO_FORM, Unquantised

LARGEST_WIDTH = 140
SMALLEST_NAME = 16
LAYERS_SHOWN = 6
FINDINGS_SHOWN = 8
MARKS = {SUPPORTED: "yes", SLOW: "slow", UNSUPPORTED: "NO"}


def width() -> int:
    """Columns of the terminal, or 100 where there is none."""
    return max(min(shutil.get_terminal_size((100, 24)).columns, LARGEST_WIDTH), 60)


def ops_table(checks: Sequence[Check]) -> str:
    """Every op; of one machine with times, of several a column of verdicts each."""
    header = ["op", "kind", "output"]
    rows = [[op.name, op.op, op.output] for op in checks[0].ops]
    if len(checks) == 1:
        header += ["fits", "time", "bound", "array"]
        for row, op in zip(rows, checks[0].ops, strict=True):
            row += _times(op)
    else:
        for check in checks:
            header.append(check.machine.name)
            for row, op in zip(rows, check.ops, strict=True):
                row.append(MARKS[op.verdict])
    return table(header, rows)


def _times(op: OpFinding) -> list[str]:
    time = duration(op.seconds) if op.seconds else "-"
    array = percent(op.utilisation) if op.utilisation else ""
    return [MARKS[op.verdict], time, op.bounded_by, array or op.note]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns. If the terminal is too narrow, the first column is shortened."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    spare = width() - sum(widths[1:]) - 2 * (len(widths) - 1)
    widths[0] = max(min(widths[0], spare), min(widths[0], SMALLEST_NAME))
    lines = []
    for row in (header, ["-" * one for one in widths], *rows):
        cells = [_shortened(row[0], widths[0]), *row[1:]]
        line = "  ".join(cell.ljust(one) for cell, one in zip(cells, widths, strict=True))
        lines.append(line.rstrip())
    return "\n".join(lines)


def _shortened(text: str, room: int) -> str:
    """The end of a layer's name says most."""
    return text if len(text) <= room else f"...{text[len(text) - room + 3 :]}"


def report(check: Check) -> str:
    """Problems, advice and totals of one machine."""
    machine = check.machine
    size = "x".join(map(str, check.size))
    title = f"{machine.name}: {machine.title}; images {size} (height x width), {check.opt}"
    lines = [*_wrapped(title, "", "  "), ""]
    problems = [*check.problems, *(problem for op in check.ops for problem in op.problems)]
    if problems:
        lines += _problems(problems)
    if check.advice:
        lines += _advice(check)
    lines += _totals(check)
    return "\n".join(lines)


def _problems(problems: Sequence[Problem]) -> list[str]:
    lines = ["What does not fit:"]
    by_remedy: dict[tuple[str, str], dict[str, list[str]]] = {}
    for problem in problems:
        same = by_remedy.setdefault((problem.kind, problem.remedy), {})
        same.setdefault(problem.found, []).append(problem.layer)
    for (_, remedy), founds in by_remedy.items():
        for found, layers in founds.items():
            names = [layer for layer in layers if layer]
            lines += _wrapped(f"{', '.join(names)}: {found}" if names else found, "  ")
        lines += [*_wrapped(f"-> {remedy}", "     "), ""]
    return lines


def _advice(check: Check) -> list[str]:
    lines = ["What would make it faster (time of a frame that each would save by itself):"]
    by_kind: dict[str, list[Advice]] = {}
    for one in check.advice:
        by_kind.setdefault(one.kind, []).append(one)
    ordered = sorted(by_kind, key=lambda kind: -sum(one.gain for one in by_kind[kind]))
    for kind in ordered:
        gain = sum(one.gain for one in by_kind[kind])
        lines.append(f"  {KINDS[kind]}: {duration(gain)}, {percent(gain / check.seconds)}")
        by_change: dict[str, list[Advice]] = {}
        for one in by_kind[kind][:FINDINGS_SHOWN]:
            by_change.setdefault(one.change, []).append(one)
        for change, found in by_change.items():
            for one in found:
                text = f"{duration(one.gain)}  {_names(one.layers)}: {one.found}"
                lines += _wrapped(text, "    ", "      ")
            lines += _wrapped(f"-> {change}", "      ", "         ")
        if (more := len(by_kind[kind]) - FINDINGS_SHOWN) > 0:
            lines.append(f"    and {more} more, each of which gains less (--json has them)")
    return [*lines, ""]


def _names(layers: Sequence[str]) -> str:
    shown = ", ".join(layers[:LAYERS_SHOWN])
    more = len(layers) - LAYERS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _totals(check: Check) -> list[str]:
    found = counts(check)
    good = found[SUPPORTED] + found[SLOW]
    lines = [
        f"{len(check.ops)} ops: {good} supported, {found[SLOW]} of them slow; "
        f"{found[UNSUPPORTED]} not supported"
    ]
    if check.fits:
        lines.append(
            f"{duration(check.seconds)} if every layer takes the longer of its arithmetic and its "
            "transfers (closed form; compile_perf.py estimates the program)"
        )
    near = check.nearest_limit
    if near is not None:
        lines.append(
            f"nearest limit of larger images: {near.name} of {near.layer}, {near.value:,} of "
            f"{near.limit:,}"
        )
    return [line for text in lines for line in _wrapped(text, "", "  ")]


def overview(checks: Sequence[Check]) -> str:
    """One line for each machine."""
    header = ["machine", "fits", "ops", "not supported", "slow", "closed form"]
    rows = []
    for check in checks:
        found = counts(check)
        row = [check.machine.name, "yes" if check.fits else "NO", str(len(check.ops))]
        row += [str(found[UNSUPPORTED]), str(found[SLOW])]
        rows.append([*row, duration(check.seconds) if check.fits else "-"])
    return table(header, rows)


def unquantised_text(refused: Sequence[Unquantised]) -> str:
    """Layers of the float network that no machine can carry out."""
    lines = ["Not supported by any machine: these layers have no fixed-point form."]
    for one in refused:
        reason = "" if one.reason == NO_FORM else f": {one.reason}"
        lines += _wrapped(f"{one.layer} ({one.kind}){reason}", "  ", "    ")
        lines += _wrapped(f"-> {one.instead}", "     ", "        ")
    count = f"{len(refused)} layer{'s' * (len(refused) != 1)}"
    lines += [
        "",
        f"{count} not supported; the rest is checked once the network can be quantised",
    ]
    return "\n".join(lines)


def _wrapped(text: str, indent: str, further: str | None = None) -> Iterable[str]:
    return textwrap.wrap(
        text,
        width(),
        initial_indent=indent,
        subsequent_indent=f"{indent}  " if further is None else further,
        break_long_words=False,
        break_on_hyphens=False,
    )
