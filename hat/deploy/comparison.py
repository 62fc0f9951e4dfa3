"""Machines side by side: one table, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hat.deploy.estimate import Result
from hat.deploy.estimate_rows import number
from hat.deploy.summary import size

COLUMNS = ("machine", "cores", "FPS", "latency, us", "bound by", "DDR bytes", "MAC units", "SRAM")


def comparison_cells(figures: dict[str, Any]) -> tuple[str, ...]:
    """A machine's figures as texts, one for each of COLUMNS."""
    latency = figures["latency (us)"]
    moved = figures["loaded bytes per run"] + figures["stored bytes per run"]
    return (
        figures["machine"],
        str(figures["cores"]),
        number(figures["FPS"]),
        number(latency),
        f"{figures['bounded by']} {figures['bound (us)'] / latency:.0%}",
        f"{moved:,}",
        f"{figures['MAC utilization']:.1%}",
        f"{size(figures['SRAM bytes'])} of {size(figures['SRAM bytes of the machine'])}",
    )


def table(found: Sequence[Result]) -> str:
    """Lines of text: one for each machine; those that cannot run the network say why."""
    rows = [COLUMNS, *(comparison_cells(result.figures) for result in found if not result.error)]
    names = [result.machine.name for result in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[0] = max(widths[0], *map(len, names))
    cells = iter(rows[1:])
    lines = [_line(COLUMNS, widths), "  ".join("-" * width for width in widths)]
    for result in found:
        if result.error:
            lines.append(f"{result.machine.name:{widths[0]}}  cannot run it: {result.error}")
        else:
            lines.append(_line(next(cells), widths))
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        text.ljust(width) if index == 0 else text.rjust(width)
        for index, (text, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *others])


def comparison_record(found: Sequence[Result]) -> list[dict[str, Any]]:
    """The figures of each machine; of one that cannot run the network, ``error``."""
    return [
        {"machine": result.machine.name, "title": result.machine.title, "error": result.error}
        if result.error
        else result.figures
        for result in found
    ]
