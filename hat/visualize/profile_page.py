"""The model profiler's HTML page: one file with plots and tables that sort on a click."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from hat.visualize.profile_tables import Table
from hat.visualize.report import STYLE

MORE_STYLE = """
body { max-width: 84rem }
nav { margin: 1rem 0 } nav a { margin-right: 1.2rem }
ul.findings { padding-left: 1.2rem }
figure { margin: 1rem 0; overflow-x: auto } figure img { width: auto; max-width: 100% }
.table { overflow: auto; max-height: 38rem; border: 1px solid var(--line); border-radius: 6px }
.table table { font-size: .82rem; font-variant-numeric: tabular-nums; white-space: nowrap }
th, td { padding: .25rem .6rem } th.text, td.text { text-align: left }
th { position: sticky; top: 0; background: var(--box); z-index: 1 }
td:first-child { position: sticky; left: 0; background: var(--paper) }
th:first-child { left: 0; z-index: 2 }
th button { all: unset; cursor: pointer } th button:focus-visible { outline: 2px solid #0072b2 }
th[aria-sort=ascending] button::after { content: " \\2191" }
th[aria-sort=descending] button::after { content: " \\2193" }
p.note { color: var(--quiet); max-width: 60rem }
"""

SCRIPT = """
for (const button of document.querySelectorAll("th button")) button.onclick = () => {
  const head = button.parentElement, row = head.parentElement;
  const body = head.closest("table").tBodies[0], index = [...row.cells].indexOf(head);
  const down = head.ariaSort !== "descending";
  for (const other of row.cells) other.removeAttribute("aria-sort");
  head.ariaSort = down ? "descending" : "ascending";
  const key = tr => tr.cells[index].dataset.value;
  const text = head.classList.contains("text");
  const order = (a, b) => {
    const x = key(a), y = key(b);
    if (x === "" || y === "") return (x === "") - (y === "");  // nothing to compare: at the end
    const way = text ? x.localeCompare(y, "en", { numeric: true }) : x - y;
    return down ? -way : way;
  };
  body.append(...[...body.rows].sort(order));
};
"""


@dataclass(frozen=True)
class Section:
    """Part of the page: what was found in one sentence each, plots as SVG text, tables."""

    key: str
    title: str
    findings: Sequence[str]
    plots: Sequence[tuple[str, str]] = ()
    tables: Sequence[Table] = field(default_factory=tuple)


def profile_page(title: str, facts: Sequence[str], sections: Sequence[Section]) -> str:
    """The page's text.

    Args:
        title: of the page.
        facts: what was profiled: files, images, sizes.
        sections: in the order of the page; each plot is (description, SVG).
    """
    body = [f"<h1>{escape(title)}</h1>"]
    body.append(f'<p class="summary">{"<br>".join(escape(fact) for fact in facts)}</p>')
    links = (f'<a href="#{s.key}">{escape(s.title)}</a>' for s in sections)
    body.append(f"<nav>{''.join(links)}</nav>")
    body.append(_findings([line for section in sections for line in section.findings[:1]]))
    for section in sections:
        body.append(f'<h2 id="{section.key}">{escape(section.title)}</h2>')
        body.append(_findings(section.findings))
        body.extend(_figure(description, svg) for description, svg in section.plots)
        body.extend(_table(table) for table in section.tables)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{STYLE}{MORE_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + f"\n<script>{SCRIPT}</script>\n</body></html>\n"
    )


def _findings(lines: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="findings">{items}</ul>' if items else ""


def _figure(description: str, svg: str) -> str:
    # As an image each plot keeps its ids and styles to itself.
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure><img alt="{escape(description)}" src="data:image/svg+xml;base64,{data}"></figure>'
    )


def _table(table: Table) -> str:
    classes = [' class="text"' if column.text else "" for column in table.columns]
    heads = "".join(
        f'<th{kind} scope="col"><button>{escape(column.heading)}</button></th>'
        for column, kind in zip(table.columns, classes, strict=True)
    )
    lines = []
    for row, shown in zip(table.rows, table.shown(), strict=True):
        cells = []
        for column, kind, text in zip(table.columns, classes, shown, strict=True):
            value = row[column.key]
            raw = "" if value is None else escape(str(value))
            cells.append(f'<td{kind} data-value="{raw}">{escape(text)}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<h3>{escape(table.title)}</h3><p class="note">{escape(table.note)}</p>'
        f'<div class="table"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
