"""The performance estimate in a few lines of text."""

from __future__ import annotations

import math
from typing import Any

SLOWEST = 5


def speed_line(performance: dict[str, Any]) -> str:
    """The line that scripts look for, with five digits of each number."""
    fps, latency = (number(performance[key]) for key in ("FPS", "latency (us)"))
    return f"FPS={fps}, latency = {latency} us"


def estimate_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Titles and texts: what bounds the program, how busy its units are, the slowest layers.

    Args:
        summary: of the performance record.
    """
    own = summary["estimate"]
    latency = summary["performance"]["latency (us)"]
    cores = summary["model info"]["BPU core number"]
    busy = own["busy (us) by unit"]
    rows = [
        ("cores", f"{cores}, each on a frame of its own" if cores > 1 else "1"),
        (
            "bound",
            f"{own['bounded by']}: {number(own['bound (us)'])} us at least, "
            f"{own['bound (us)'] / latency:.0%} of the latency",
        ),
        ("busy", ", ".join(f"{unit} {value / latency:.0%}" for unit, value in busy.items())),
        ("MAC units", f"{own['MAC utilization']:.1%} of their peak"),
    ]
    layers = sorted(summary["layer details"], key=lambda layer: -layer["running time (us)"])
    width = max((len(layer["layer name"]) for layer in layers[:SLOWEST]), default=0)
    for index, layer in enumerate(layers[:SLOWEST]):
        seconds = layer["running time (us)"]
        text = (
            f"{layer['layer name']:{width}}  {number(seconds):>7} us, {seconds / latency:4.0%} of "
            f"the latency, bounded by {layer['bounded by']}"
        )
        rows.append(("slowest" if index == 0 else "", text))
    return rows


def number(value: float, digits: int = 5) -> str:
    """``value`` with at least so many digits and without an exponent."""
    places = digits - 1 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(0, places)}f}"
