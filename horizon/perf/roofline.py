"""The roofline (Williams, Waterman and Patterson 2009) of a program as SVG.

Each layer is a mark. Its horizontal place is its multiply-accumulates per byte of DDR (on a CPU,
which has one memory, per byte of operands). Its vertical place is its multiply-accumulates per
second in which it runs. Its area is that time. Layers without multiply-accumulates stand on a line
below the axes, in the program's order. Layers without DDR traffic stand beyond the right end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from horizon.perf.activity import running
from horizon.perf.cost import bandwidth
from horizon.perf.estimate import Estimate, LayerEstimate
from horizon.perf.machine_numbers import peak_macs
from horizon.perf.markup import (
    bytes_text,
    colour_of,
    escape,
    macs_text,
    percent,
    time_link,
    time_text,
)
from horizon.perf.work import TRANSFERS
from horizon.perf.work import touched as bytes_touched

WIDTH, HEIGHT = 1080, 600
LEFT, RIGHT, TOP, BOTTOM = 68, 96, 16, 100
STRIP = 68  # from the axis down to the line of layers without multiply-accumulates
LARGEST, SMALLEST = 26.0, 3.0  # radii of marks
LABELS = 10
LETTER = 6.3  # width of one, about
Box = tuple[float, float, float, float]  # left, top, right, bottom
HOLLOW = ("ddr", "load", "store", "sram")


@dataclass(frozen=True)
class Mark:
    """A layer on the page: centre and radius in px."""

    layer: LayerEstimate
    seconds: float
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Traffic:
    """Traffic of the memory on the horizontal axis.

    Attributes:
        memory: its name.
        rate: bytes per second.
        moved: bytes by layer.
    """

    memory: str
    rate: float
    moved: dict[str, int]


@dataclass(frozen=True)
class Axes:
    """The (lowest, highest) exponents of ten of both axes."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at_x(self, value: float) -> float:
        low, high = self.x
        return LEFT + (math.log10(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def at_y(self, value: float) -> float:
        low, high = self.y
        bottom = HEIGHT - BOTTOM
        return bottom - (math.log10(value) - low) / (high - low) * (bottom - TOP)


def roofline(estimate: Estimate) -> str:
    """An ``svg`` element; empty for a machine without a tensor unit."""
    peak = peak_macs(estimate.machine)
    if not peak:
        return ""
    traffic = _traffic(estimate)
    times = running(estimate)
    axes = _axes(estimate, times, traffic)
    marks = _marks(estimate, times, axes, traffic)
    taken = [box for _, _, box in _titles(estimate, axes)]
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Roofline: '
        f'multiply-accumulates per second over those per byte of {traffic.memory}">',
        *_grid(estimate, axes, traffic),
        *(_circle(mark) for mark in sorted(marks, key=lambda mark: -mark.radius)),
        *_roofs(estimate, axes, traffic),
        *_labels(marks, taken),
        "</svg>",
    ]
    return "\n".join(parts)


def _traffic(estimate: Estimate) -> Traffic:
    machine = estimate.machine
    if not machine.constants_in_place:
        moved = {layer.name: layer.loaded + layer.stored for layer in estimate.layers}
        return Traffic("DDR", bandwidth(machine, estimate.cores), moved)
    touched = {layer.name: layer.loaded + layer.stored for layer in estimate.layers}
    for instruction in estimate.program.instructions:
        if instruction.opcode not in TRANSFERS:
            touched[instruction.layer] += bytes_touched(instruction)
    rate = machine.sram_bytes_per_cycle * machine.workers * machine.clock_hz
    return Traffic("memory", rate, touched)


def _axes(estimate: Estimate, times: Sequence[float], traffic: Traffic) -> Axes:
    peak = peak_macs(estimate.machine)
    ridge = peak / traffic.rate
    xs, ys = [ridge / 10, ridge * 4], [peak * 2]
    for layer, seconds in zip(estimate.layers, times, strict=True):
        if layer.macs:
            ys.append(layer.macs / seconds)
            if moved := traffic.moved[layer.name]:
                xs.append(layer.macs / moved)
    ys.append(peak / 30)
    ys.extend(rate for rate, _ in _horizontals(estimate))
    return Axes(_exponents(xs), _exponents(ys))


def _exponents(values: Sequence[float]) -> tuple[float, float]:
    return math.log10(min(values)) - 0.12, math.log10(max(values)) + 0.05


def _marks(estimate: Estimate, times: Sequence[float], axes: Axes, traffic: Traffic) -> list[Mark]:
    longest = max(times, default=0.0) or 1.0
    bottom, side = HEIGHT - BOTTOM + STRIP, WIDTH - RIGHT / 2
    idle = [layer.name for layer in estimate.layers if not layer.macs]
    step = (WIDTH - LEFT - RIGHT) / (len(idle) + 1)
    places = {name: LEFT + step * (index + 1) for index, name in enumerate(idle)}
    marks = []
    for layer, seconds in zip(estimate.layers, times, strict=True):
        moved = traffic.moved[layer.name]
        if not layer.macs:
            x, y = places[layer.name], float(bottom)
        else:
            x = axes.at_x(layer.macs / moved) if moved else float(side)
            y = axes.at_y(layer.macs / seconds)
        radius = max(SMALLEST, LARGEST * math.sqrt(seconds / longest))
        marks.append(Mark(layer, seconds, x, y, radius))
    return marks


def _grid(estimate: Estimate, axes: Axes, traffic: Traffic) -> Iterator[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for exponent, value in _ticks(axes.x):
        x, main = axes.at_x(value), value == 10.0**exponent
        yield _line(x, TOP, x, bottom, "grid" if main else "fine")
        if main:
            yield _text(x, bottom + 16, f"{value:,g}", "middle")
    for exponent, value in _ticks(axes.y):
        y, main = axes.at_y(value), value == 10.0**exponent
        yield _line(LEFT, y, right, y, "grid" if main else "fine")
        if main:
            yield _text(LEFT - 6, y + 4, f"{value / 1e9:,g}", "end")
    yield f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>'
    yield _text((LEFT + right) / 2, bottom + 33, f"MAC per byte of {traffic.memory}", "middle")
    middle = (TOP + bottom) / 2
    yield (
        f'<text class="middle" transform="translate(14 {middle}) rotate(-90)">'
        "GMAC per second</text>"
    )
    y = bottom + STRIP
    yield _line(LEFT, y, right, y, "fine")
    yield _text(LEFT - 6, y + 4, "no MAC", "end")
    if any(layer.macs and not traffic.moved[layer.name] for layer in estimate.layers):
        yield _line(right + RIGHT / 2, TOP, right + RIGHT / 2, bottom, "fine")
        yield _text(right + RIGHT / 2, bottom + 16, f"no {traffic.memory}", "middle")


def _ticks(exponents: tuple[float, float]) -> Iterator[tuple[int, float]]:
    low, high = exponents
    for exponent in range(math.floor(low), math.ceil(high) + 1):
        for digit in range(1, 10):
            if low <= math.log10(digit) + exponent <= high:
                yield exponent, digit * 10.0**exponent


def _roofs(estimate: Estimate, axes: Axes, traffic: Traffic) -> Iterator[str]:
    peak, rate = peak_macs(estimate.machine), traffic.rate
    left, right = 10 ** axes.x[0], 10 ** axes.x[1]
    lowest = 10 ** axes.y[0]
    ridge = peak / rate
    start = max(left, lowest / rate)
    points = [(start, start * rate), (ridge, peak), (right, peak)]
    path = "L".join(f"{axes.at_x(x):.1f} {axes.at_y(y):.1f}" for x, y in points)
    yield f'<path class="roof" d="M{path}"/>'
    x, y = axes.at_x(start), axes.at_y(start * rate)
    x2, y2 = axes.at_x(ridge), axes.at_y(peak)
    angle = math.degrees(math.atan2(y2 - y, x2 - x))
    along = 0.08 * (x2 - x), 0.08 * (y2 - y)
    yield (
        f'<text class="roof-text" transform="translate({x + along[0]:.1f} {y + along[1]:.1f}) '
        f'rotate({angle:.1f})" dy="-7">{traffic.memory}: {bytes_text(rate)}/s</text>'
    )
    for other, title, box in _titles(estimate, axes):
        if other != peak:
            y = axes.at_y(other)
            yield _line(axes.at_x(max(left, other / rate)), y, axes.at_x(right), y, "roof low")
        yield _text(box[2], box[3] - 3, title, "end roof-text")


def _horizontals(estimate: Estimate) -> list[tuple[float, str]]:
    """The peaks of the arrays, with titles. Arrays with the same peak share a line."""
    names = {
        "conv": "convolution",
        "correlation": "correlation",
        "narrow": "up to 4 outputs",
        "depthwise": "depthwise",
    }
    found: dict[float, list[str]] = {}
    for array, name in names.items():
        found.setdefault(peak_macs(estimate.machine, array), []).append(name)
    return [(rate, f"{', '.join(same)}: {macs_text(rate)}/s") for rate, same in found.items()]


def _titles(estimate: Estimate, axes: Axes) -> list[tuple[float, str, Box]]:
    """Horizontal roofs with their titles above the right end, or beside other titles there."""
    found: list[tuple[float, str, Box]] = []
    for rate, title in _horizontals(estimate):
        y, right, width = axes.at_y(rate), WIDTH - RIGHT - 4.0, LETTER * len(title) + 12
        box = right - width, y - 20, right, y - 4
        while others := [other for _, _, other in found if _meet(box, other)]:
            right = min(other[0] for other in others) - 6
            box = right - width, y - 20, right, y - 4
        found.append((rate, title, box))
    return found


def _circle(mark: Mark) -> str:
    layer = mark.layer
    colour = colour_of(layer.bounded_by)
    fill = f'fill="{colour}"' if layer.bounded_by not in HOLLOW else 'fill="#fff"'
    return (
        f'<a href="{time_link(layer)}"><circle cx="{mark.x:.1f}" cy="{mark.y:.1f}" '
        f'r="{mark.radius:.1f}" {fill} stroke="{colour}"><title>{escape(_story(mark))}</title>'
        "</circle></a>"
    )


def _story(mark: Mark) -> str:
    layer, moved = mark.layer, mark.layer.loaded + mark.layer.stored
    lines = [layer.name, f"runs for {time_text(mark.seconds)}"]
    if layer.macs:
        lines.append(f"{macs_text(layer.macs)}: {macs_text(layer.macs / mark.seconds)}/s")
        lines.append(f"utilisation {percent(layer.utilisation)} while the tensor unit works")
    if moved:
        lines.append(f"{bytes_text(moved)} of DDR")
    lines.append(f"bounded by {layer.bounded_by}: {time_text(layer.bound)}")
    return "\n".join(lines)


def _labels(marks: Sequence[Mark], taken: list[Box]) -> Iterator[str]:
    """Names of the layers that run longest, placed so that they cover no text and few marks."""
    for mark in sorted(marks, key=lambda mark: -mark.seconds)[:LABELS]:
        name = mark.layer.name
        best: tuple[float, Box] | None = None
        for box in _places(mark, LETTER * len(name)):
            inside = box[0] > LEFT and box[2] < WIDTH and box[1] > TOP and box[3] < HEIGHT - 20
            if not inside or any(_meet(box, other) for other in taken):
                continue
            covered = sum(_meet(box, _around(other)) for other in marks)
            away = math.hypot((box[0] + box[2]) / 2 - mark.x, (box[1] + box[3]) / 2 - mark.y)
            if best is None or covered * 40 + away < best[0]:
                best = covered * 40 + away, box
        if best:
            box = best[1]
            taken.append(box)
            x = min(max(mark.x, box[0]), box[2])
            y = min(max(mark.y, box[1]), box[3])
            yield _line(mark.x, mark.y, x, y, "leader")
            yield _text(box[0], box[3] - 3, name, "label")


def _places(mark: Mark, width: float) -> Iterator[Box]:
    """Places for a name around a mark, the nearest first."""
    for gap in range(6, 200, 12):
        reach = mark.radius + gap
        for step in range(16):
            angle = step * math.pi / 8
            x, y = mark.x + reach * math.cos(angle), mark.y + reach * math.sin(angle)
            left = x - width * (1 - math.cos(angle)) / 2
            yield left, y - 7, left + width, y + 7


def _around(mark: Mark) -> Box:
    return mark.x - mark.radius, mark.y - mark.radius, mark.x + mark.radius, mark.y + mark.radius


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<path class="{kind}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
