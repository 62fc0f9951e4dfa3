"""Formatting of numbers and names for the page."""

from __future__ import annotations

import html
from typing import Any

from horizon.files import json_text
from horizon.perf.estimate import LayerEstimate

# Okabe and Ito's palette, which the colour-blind can tell apart.
COLOURS = {
    "tensor": "#0072B2",
    "ddr": "#D55E00",
    "load": "#D55E00",
    "store": "#E69F00",
    "vector": "#009E73",
    "aux": "#CC79A7",
    "transform": "#56B4E9",
    "sram": "#000000",
}
OTHER_COLOUR = "#666666"


def escape(text: str) -> str:
    return html.escape(text, quote=True)


def script_json(value: Any) -> str:
    """JSON for a script element: nothing in it can end the element."""
    text = json_text(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def colour_of(name: str) -> str:
    return COLOURS.get(name, OTHER_COLOUR)


def number(value: float, digits: int = 3) -> str:
    """Rounded to so many significant digits, with commas, never with an exponent."""
    if not value:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    text = f"{rounded:,.{max(0, digits - 1 - _magnitude(rounded))}f}"
    return text.rstrip("0").rstrip(".") if "." in text and abs(rounded) < 1 else text


def time_text(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{number(seconds * factor)} {unit}"
    return f"{number(seconds * 1e9)} ns"


def bytes_text(count: float) -> str:
    return _scaled(count, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")), "bytes")


def macs_text(count: float) -> str:
    return _scaled(count, ((1e12, "TMAC"), (1e9, "GMAC"), (1e6, "MMAC"), (1e3, "kMAC")), "MAC")


def memory_text(count: int) -> str:
    """The size of a memory, in binary units because such sizes are powers of two."""
    return _scaled(count, ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")), "bytes")


def count_text(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def time_link(layer: LayerEstimate) -> str:
    """To the layer's part of the time line, in µs."""
    return f"#t={layer.start * 1e6:.4f}-{layer.end * 1e6:.4f}"


def _scaled(count: float, units: tuple[tuple[float, str], ...], smallest: str) -> str:
    for factor, unit in units:
        if count >= factor:
            return f"{number(count / factor)} {unit}"
    return f"{number(count)} {smallest}"


def _magnitude(value: float) -> int:
    return int(f"{abs(value):e}".split("e")[1])
