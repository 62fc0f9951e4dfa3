"""A self-contained HTML page: text, tables, pictures, commands."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

PALETTE = """
:root { color-scheme: light dark; --ink: #1d2433; --quiet: #5b6478; --paper: #fff; --line: #dfe3ea;
        --box: #f4f6f9; --link: #0064a4 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8f0; --quiet: #a3acbd; --paper: #14171d; --line: #343b48; --box: #1e232c;
          --link: #79bdf2 } }
a { color: var(--link) }
"""
"""The colours of all pages, light and dark as the reader's system has it."""

STYLE = (
    PALETTE
    + """
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 70rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.8rem; margin-bottom: .2rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
p.summary { color: var(--quiet); margin-top: 0 }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { text-align: right; padding: .4rem .7rem; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left } th { color: var(--quiet); font-weight: 600 }
img { width: 100%; height: auto; display: block; margin: .8rem 0; background: #fff;
      border-radius: 4px }
pre { background: var(--box); padding: .9rem 1rem; overflow-x: auto; font-size: .85rem;
      border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere }
"""
)


def html_report(
    title: str,
    summary: str,
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[Any]]]],
    galleries: Sequence[tuple[str, Sequence[Path]]],
    commands: Sequence[str],
) -> str:
    """The page's text.

    Args:
        tables: (heading, header, rows) each.
        galleries: (heading, PNG files) each; the files are embedded.
    """
    body = [f"<h1>{escape(title)}</h1>", f'<p class="summary">{escape(summary)}</p>']
    for heading, header, rows in tables:
        body.append(f"<h2>{escape(heading)}</h2>" + _table(header, rows))
    for heading, files in galleries:
        body.append(f"<h2>{escape(heading)}</h2>")
        body.extend(_picture(file) for file in files)
    lines = "\n".join(escape(line) for line in commands)
    body.append(f"<h2>Commands</h2><pre>{lines}</pre>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    cells = ["<tr>" + "".join(f"<th>{escape(name)}</th>" for name in header) + "</tr>"]
    for row in rows:
        texts = (f"{v:.2f}" if isinstance(v, float) else "-" if v is None else str(v) for v in row)
        cells.append("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in texts) + "</tr>")
    return '<div class="scroll"><table>' + "".join(cells) + "</table></div>"


def _picture(file: Path) -> str:
    data = base64.b64encode(file.read_bytes()).decode()
    return f'<img alt="{escape(file.stem)}" src="data:image/png;base64,{data}">'
