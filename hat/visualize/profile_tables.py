"""Tables of the model profiler: one definition for the terminal, for files and for the page."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hat.data.files import write_file


@dataclass(frozen=True)
class Column:
    """``key`` in the rows, ``heading`` on paper, ``form`` how a number is written, ``none`` what
    stands for None, ``text`` whether it holds words (to the left) or numbers (to the right)."""

    key: str
    heading: str
    form: str = ""
    none: str = "-"
    text: bool = False

    def show(self, value: Any) -> str:
        if value is None:
            return self.none
        if self.form == "%":
            return f"{100 * value:.2f} %"
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        return format(value, self.form)


@dataclass(frozen=True)
class Table:
    """Rows of plain values under columns; ``title`` and ``note`` say what they are."""

    title: str
    note: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]

    def shown(self) -> list[list[str]]:
        return [[column.show(row[column.key]) for column in self.columns] for row in self.rows]


def print_profile_table(table: Table) -> None:
    """Title and table on the terminal."""
    cells = table.shown()
    headings = [column.heading for column in table.columns]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    print(f"\n{table.title}\n")
    for line in (headings, ["-" * width for width in widths], *cells):
        fields = [
            cell.ljust(width) if column.text else cell.rjust(width)
            for column, cell, width in zip(table.columns, line, widths, strict=True)
        ]
        print("  ".join(fields).rstrip())


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as comma-separated values under ``columns``; None is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_file(path, text.getvalue().encode())
