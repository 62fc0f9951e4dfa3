"""The page of a run's folder: what each stage has come to, in one HTML file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from hat.visualize.report import PALETTE

GENERATOR = "hat train"  # by which the command knows its own pages again
REFRESH_SECONDS = 60

STYLE = (
    PALETTE
    + """
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 76rem; margin: 2rem auto; padding: 0 1.2rem; overflow-wrap: break-word }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { font-size: 1.3rem; margin-top: 2.6rem }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem }
p.summary, p.note { color: var(--quiet); margin-top: 0 } nav a { margin-right: 1.2rem }
progress { width: 100%; height: .7rem; accent-color: #0072b2 }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px }
@media (prefers-color-scheme: dark) { /* lines on white become lines on dark, of the same hues */
  img[src^="data:image/png"] { filter: invert(.9) hue-rotate(180deg) } }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .3rem .8rem; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left } th { color: var(--quiet); font-weight: 600 }
.strip { display: flex; flex-wrap: wrap; gap: .6rem }
.strip figure { margin: 0; flex: 0 1 10rem } .strip figcaption { font-size: .8rem;
  color: var(--quiet) }
details { margin: .8rem 0 } summary { cursor: pointer }
details td { text-align: left; font-size: .85rem; vertical-align: top; overflow-wrap: anywhere }
details td:first-child { white-space: nowrap; color: var(--quiet) }
"""
)


@dataclass(frozen=True)
class Strip:
    """One pair: its newest figure, and its flow after some steps; pictures are JPEG."""

    name: str
    newest: bytes | None
    earlier: Sequence[tuple[int, bytes]] = ()


@dataclass(frozen=True)
class StageOfRun:
    """A stage of a run.

    Attributes:
        state: a sentence: running, finished, stopped.
        share: done, 0 to 1, while it runs; None otherwise.
        metrics: (heading, values by name), the newest first.
        curves: PNG.
        details: tables that can be folded out: title and rows.
    """

    name: str
    state: str
    share: float | None = None
    metrics: Sequence[tuple[str, Mapping[str, float | None]]] = ()
    curves: bytes | None = None
    strips: Sequence[Strip] = ()
    details: Sequence[tuple[str, Sequence[tuple[str, str]]]] = field(default_factory=tuple)


def run_page(title: str, summary: str, stages: Sequence[StageOfRun], running: bool) -> str:
    """The page's text; while a stage is ``running`` browsers load it again by themselves."""
    refresh = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if running else ""
    body = [f"<h1>{escape(title)}</h1>", f'<p class="summary">{escape(summary)}</p>']
    if len(stages) > 1:
        links = (f'<a href="#{escape(s.name)}">{escape(s.name)}</a>' for s in stages)
        body.append(f"<nav>{''.join(links)}</nav>")
    body.extend(_stage(stage) for stage in stages)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="generator" content="{GENERATOR}">{refresh}'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _stage(stage: StageOfRun) -> str:
    name = escape(stage.name)
    parts = [f'<h2 id="{name}">Stage {name}</h2>', f'<p class="note">{escape(stage.state)}</p>']
    if stage.share is not None:
        share = f"{min(max(stage.share, 0.0), 1.0):.4f}"
        parts.append(f'<progress max="1" value="{share}">{share}</progress>')
    if stage.metrics:
        parts.append(_metrics(stage.metrics))
    if stage.curves:
        parts.append("<h3>Curves</h3>")
        parts.append(_image(stage.curves, "png", "End-point error, loss and learning rate"))
    for strip in stage.strips:
        parts.append(f"<h3>Pair {escape(strip.name)}</h3>")
        if strip.newest:
            parts.append(_image(strip.newest, "jpeg", "Images, predicted and true flow, error"))
        if len(strip.earlier) > 1:
            parts.append('<p class="note">Predicted flow after some steps</p>')
            shown = "".join(
                f"<figure>{_image(data, 'jpeg', f'Flow after step {step}')}"
                f"<figcaption>{step:,}</figcaption></figure>"
                for step, data in strip.earlier
            )
            parts.append(f'<div class="strip">{shown}</div>')
    for title, rows in stage.details:
        lines = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in rows)
        parts.append(f"<details><summary>{escape(title)}</summary><div class='scroll'>")
        parts.append(f"<table>{lines}</table></div></details>")
    return "\n".join(parts)


def _metrics(columns: Sequence[tuple[str, Mapping[str, float | None]]]) -> str:
    names = list(dict.fromkeys(name for _, values in columns for name in values))
    heads = "".join(f"<th>{escape(heading)}</th>" for heading, _ in columns)
    lines = []
    for name in names:
        values = (column.get(name) for _, column in columns)
        cells = "".join(f"<td>{'-' if v is None else f'{v:.4g}'}</td>" for v in values)
        lines.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    return (
        f"<h3>Validation</h3><div class='scroll'><table><tr><th></th>{heads}</tr>"
        f"{''.join(lines)}</table></div>"
    )


def _image(data: bytes, kind: str, description: str) -> str:
    text = base64.b64encode(data).decode()
    return f'<img alt="{escape(description)}" src="data:image/{kind};base64,{text}">'
