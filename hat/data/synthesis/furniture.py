"""Outlines of pieces of furniture: slabs, slats, legs, tubes and wires seen from one side.

FlyingChairs' objects are renderings of chairs: large plain faces on thin legs. A piece is put
together from boxes and tubes in three dimensions (x to the right, y down, z away from the viewer),
turned to a random view, and projected; every visible face becomes a part with the shade that a
lamp gives it, far parts first. Thin things are as thin as those of the published pairs: at size
factor 1 the piece is 250 px long and its legs are 1.5 to 12 px wide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from hat.data.synthesis.shapes import Part, smooth_curve, strip

__all__ = ["random_furniture"]

LENGTH = 250.0  # px of the longer side at size factor 1: the published 200 +- 200 px, of 0.8 +- 0.8
ELEVATION = (-0.15, 0.75)  # radians above the horizon
AMBIENT = 0.3  # share of the light that comes from everywhere
ROUND = 24  # corners of a disc
HIGHLIGHT = 0.3  # p that the tubes of a piece shine

Tint = tuple[float, float, float]
Point = tuple[float, float, float]


class _Piece:
    """Faces and tubes in three dimensions that become parts of a picture."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        azimuth, elevation = rng.uniform(-math.pi, math.pi), rng.uniform(*ELEVATION)
        ca, sa, ce, se = (f(a) for a in (azimuth, elevation) for f in (math.cos, math.sin))
        about_y = np.array([[ca, 0, sa], [0, 1, 0], [-sa, 0, ca]])
        about_x = np.array([[1, 0, 0], [0, ce, -se], [0, se, ce]])
        self.view = about_x @ about_y
        lamp = rng.normal((0, -1, -1), 1, 3)  # rather from above and from the viewer's side
        self.lamp = lamp / np.linalg.norm(lamp)
        self.shine = rng.random() < HIGHLIGHT
        self.seen: list[tuple[float, Part]] = []

    def face(self, corners: np.ndarray, normal: np.ndarray, tint: Tint) -> None:
        """A flat polygon (N, 3) whose outer side shows along ``normal``."""
        normal = self.view @ normal
        if normal[2] < 0:  # towards the viewer
            light = AMBIENT + (1 - AMBIENT) * max(0.0, float(normal @ self.lamp)) * 1.6
            self._add(corners, lambda flat: flat, tint, light)

    def box(self, centre: Point, size: Point, tint: Tint) -> None:
        """A cuboid with sides along the axes."""
        c, half = np.array(centre, np.float64), np.array(size) / 2
        square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64)
        for axis in range(3):
            others = [a for a in range(3) if a != axis]
            for side in (-1.0, 1.0):
                corners = np.empty((4, 3))
                corners[:, axis] = side
                corners[:, others] = square
                self.face(c + corners * half, np.eye(3)[axis] * side, tint)

    def disc(self, centre: Point, radius: float, tint: Tint) -> None:
        """A round plate seen from above."""
        angles = np.arange(ROUND) * (2 * math.pi / ROUND)
        ring = np.stack([np.cos(angles), np.zeros(ROUND), np.sin(angles)], axis=1)
        light = float(self.rng.uniform(0.6, 1.4))
        self._add(ring * radius + centre, lambda flat: flat, tint, light)

    def tube(self, points: Sequence[Point] | np.ndarray, width: float, tint: Tint) -> None:
        """A round bar along a path."""
        path = np.asarray(points, np.float64)
        self._add(path, lambda f: strip(f, width), tint, float(self.rng.uniform(0.4, 1.5)))
        if self.shine and width >= 0.02:
            self._add(path, lambda f: strip(f, 0.35 * width), (2.0, 2.0, 2.0), 1.0)

    def _add(
        self, points: np.ndarray, outline: Callable[[np.ndarray], np.ndarray], tint: Tint, f: float
    ) -> None:
        turned = points @ self.view.T
        flat = turned[:, :2] / (1 + 0.15 * turned[:, 2:])  # far ends are a little smaller
        red, green, blue = (float(np.clip(channel * f, 0, 2)) for channel in tint)
        part = Part(outline(flat), tint=(red, green, blue))
        self.seen.append((float(turned[:, 2].mean()), part))

    def parts(self) -> list[Part]:
        """Far ones first, moved to the middle and ``LENGTH`` px long."""
        self.seen.sort(key=lambda entry: -entry[0])
        every = np.concatenate([part.outline for _, part in self.seen])
        low, high = every.min(axis=0), every.max(axis=0)
        scale, middle = LENGTH / float((high - low).max()), (low + high) / 2
        return [Part((p.outline - middle) * scale, p.hole, p.tint) for _, p in self.seen]


def random_furniture(rng: np.random.Generator) -> list[Part]:
    """Draw a chair, an armchair, a table, a bench or a lamp."""
    piece, kind = _Piece(rng), rng.random()
    frame, cover = _tint(rng), _tint(rng)
    if kind < 0.6:
        _chair(piece, rng, frame, cover)
    elif kind < 0.72:
        _armchair(piece, rng, frame, cover)
    elif kind < 0.84:
        _table(piece, rng, frame, cover)
    elif kind < 0.94:
        _bench(piece, rng, frame, cover)
    else:
        _lamp(piece, rng, frame, cover)
    return piece.parts()


def _tint(rng: np.random.Generator) -> Tint:
    """Multiplies the object's colour: mostly a little, now and then to another colour."""
    spread = 0.6 if rng.random() < 0.25 else 0.12
    red, green, blue = np.clip(rng.normal(1.0, spread, 3), 0.05, 2.0) * rng.uniform(0.5, 1.3)
    return float(red), float(green), float(blue)


def _leg_width(rng: np.random.Generator) -> float:
    """Width of a leg for a piece of length 1: 2 to 12 px of 250, half of them below 5."""
    return float(np.exp(rng.uniform(math.log(0.008), math.log(0.05))))


def _chair(piece: _Piece, rng: np.random.Generator, frame: Tint, cover: Tint) -> None:
    width, depth, height = rng.uniform(0.35, 0.6), rng.uniform(0.35, 0.55), rng.uniform(0.35, 0.65)
    thick = float(rng.choice([0.015, 0.04, 0.1]))
    if rng.random() < 0.85:
        piece.box((0, 0, 0), (width, thick, depth), cover)
    else:
        piece.disc((0, 0, 0), width / 2, cover)
    if rng.random() < 0.85:
        _back(piece, rng, width, depth, frame, cover)
    leg = _leg_width(rng)
    legs = (_straight_legs, _cantilever, _pedestal, _wire_legs, _sled)
    legs[int(rng.choice(5, p=(0.4, 0.2, 0.15, 0.15, 0.1)))](
        piece, rng, (width, depth, height), leg, frame
    )
    if rng.random() < 0.4:
        _arms(piece, rng, (width, depth), leg, frame)


def _back(
    piece: _Piece, rng: np.random.Generator, width: float, depth: float, frame: Tint, cover: Tint
) -> None:
    """A slab, a frame of bars, or slats, at the seat's far side (z = depth / 2)."""
    height, z = rng.uniform(0.3, 0.75), depth / 2
    kind, thick = rng.random(), rng.uniform(0.01, 0.06)
    if kind < 0.4:  # a slab that stands on the seat or on two posts
        gap = 0.0 if rng.random() < 0.5 else rng.uniform(0.1, 0.5) * height
        slab = (height - gap) if gap else height
        piece.box((0, -height + slab / 2, z), (width, slab, thick), cover)
        if gap:
            _posts(piece, width, height, z, _leg_width(rng), frame)
        return
    post = _leg_width(rng)
    _posts(piece, width, height, z, post, frame)
    rail = rng.uniform(0.02, 0.15)
    piece.box((0, -height + rail / 2, z), (width, rail, thick), frame)
    count, bar = int(rng.integers(1, 7)), rng.uniform(0.01, 0.06)
    for i in range(count):
        at = (i + 0.5) / count
        if kind < 0.75:
            x = (at - 0.5) * width
            piece.tube([(x, 0, z), (x, -height, z)], bar, frame)
        else:
            y = -height * at
            piece.tube([(-width / 2, y, z), (width / 2, y, z)], bar, frame)


def _posts(piece: _Piece, width: float, height: float, z: float, post: float, tint: Tint) -> None:
    for x in (-width / 2, width / 2):
        piece.tube([(x, 0, z), (x, -height, z)], post, tint)


def _straight_legs(
    piece: _Piece, rng: np.random.Generator, size: Point, leg: float, tint: Tint
) -> None:
    width, depth, height = size
    splay, stretch = rng.uniform(0.0, 0.12), rng.random() < 0.4
    feet = [(sx, sz) for sx in (-1, 1) for sz in (-1, 1)]
    for sx, sz in feet:
        x, z = sx * width / 2, sz * depth / 2
        piece.tube([(x, 0, z), (x + sx * splay, height, z + sz * splay)], leg, tint)
    if stretch:
        level = float(rng.uniform(0.3, 0.8))
        x, z = width / 2 + splay * level, depth / 2 + splay * level
        corners = [(-x, -z), (x, -z), (x, z), (-x, z)]
        for (x0, z0), (x1, z1) in zip(corners, corners[1:] + corners[:1], strict=True):
            ends = [(x0, level * height, z0), (x1, level * height, z1)]
            piece.tube(ends, 0.7 * leg, tint)


def _cantilever(
    piece: _Piece, rng: np.random.Generator, size: Point, leg: float, tint: Tint
) -> None:
    """One bent tube: down at the front, along the floor, and back below the seat."""
    width, depth, height = size
    x, z = width / 2, depth / 2
    front = -z - rng.uniform(0.0, 0.08)
    leg = min(leg, 0.025)
    for side in (-x, x):
        piece.tube([(side, 0, z), (side, 0, front), (side, height, front)], leg, tint)
        piece.tube([(side, height, front), (side, height, z)], leg, tint)
    piece.tube([(-x, height, z), (x, height, z)], leg, tint)
    if rng.random() < 0.5:
        piece.tube([(-x, height, front), (x, height, front)], leg, tint)


def _pedestal(piece: _Piece, rng: np.random.Generator, size: Point, leg: float, tint: Tint) -> None:
    """A pole on a plate or on a star of feet."""
    width, _, height = size
    piece.tube([(0, 0, 0), (0, height, 0)], 1.5 * leg, tint)
    reach = rng.uniform(0.3, 0.6) * width
    if rng.random() < 0.5:
        piece.disc((0, height, 0), reach, tint)
        return
    count, start = int(rng.integers(3, 6)), rng.uniform(0, math.pi)
    for i in range(count):
        angle = start + 2 * math.pi * i / count
        foot = (reach * math.cos(angle), height + 0.03, reach * math.sin(angle))
        piece.tube([(0, height - 0.03, 0), foot], leg, tint)


def _wire_legs(
    piece: _Piece, rng: np.random.Generator, size: Point, leg: float, tint: Tint
) -> None:
    """A bundle of crossing wires, 1.5 to 3 px of 250."""
    width, depth, height = size
    wire = float(rng.uniform(0.006, 0.012))
    feet = [(sx * width / 2, height, sz * depth / 2) for sx in (-1, 1) for sz in (-1, 1)]
    tops = [(0.5 * x, 0.0, 0.5 * z) for x, _, z in feet]
    for number, foot in enumerate(feet):
        for step in range(int(rng.integers(1, 4))):
            piece.tube([tops[(number + step) % 4], foot], wire, tint)
    for a, b in ((0, 1), (1, 3), (3, 2), (2, 0)):
        piece.tube([tops[a], feet[b]], wire, tint)


def _sled(piece: _Piece, rng: np.random.Generator, size: Point, leg: float, tint: Tint) -> None:
    """Two loops of tube that stand on the floor."""
    width, depth, height = size
    leg, inset = min(leg, 0.03), rng.uniform(0, 0.1)
    for x in (-width / 2, width / 2):
        corners = [(x, -depth / 2), (x, depth / 2)]
        (_, near), (_, far) = corners
        path = [(x, 0, near), (x, height, near + inset), (x, height, far - inset), (x, 0, far)]
        piece.tube(path, leg, tint)


def _arms(
    piece: _Piece, rng: np.random.Generator, size: tuple[float, float], leg: float, tint: Tint
) -> None:
    width, depth = size
    height, x, z = rng.uniform(0.15, 0.3), width / 2 + leg, depth / 2
    for side in (-x, x):
        ends = [(side, 0, -z), (side, -height, -z), (side, -height, z)]
        if rng.random() < 0.5:
            piece.tube(smooth_curve(np.array(ends, np.float64)), leg, tint)
        else:
            piece.tube(ends[:2], leg, tint)
            piece.tube(ends[1:], max(leg, 0.03), tint)


def _armchair(piece: _Piece, rng: np.random.Generator, frame: Tint, cover: Tint) -> None:
    """Upholstered blocks on short feet: large plain faces."""
    width, depth, height = rng.uniform(0.5, 1.2), rng.uniform(0.45, 0.7), rng.uniform(0.2, 0.35)
    back, arm = rng.uniform(0.3, 0.6), rng.uniform(0.08, 0.18)
    piece.box((0, height / 2, 0), (width, height, depth), cover)
    piece.box((0, -back / 2, depth / 2 - arm / 2), (width, back, arm), cover)
    for x in (-width / 2 + arm / 2, width / 2 - arm / 2):
        high = rng.uniform(0.1, 0.25)
        piece.box((x, -high / 2, -arm / 2), (arm, high, depth - arm), cover)
    foot = rng.uniform(0.03, 0.15)
    for x in (-0.45 * width, 0.45 * width):
        for z in (-0.45 * depth, 0.45 * depth):
            piece.tube([(x, height, z), (x, height + foot, z)], _leg_width(rng), frame)


def _table(piece: _Piece, rng: np.random.Generator, frame: Tint, cover: Tint) -> None:
    width, depth = rng.uniform(0.5, 1.2), rng.uniform(0.4, 0.8)
    piece.box((0, 0, 0), (width, rng.uniform(0.015, 0.06), depth), cover)
    size = (width, depth, float(rng.uniform(0.3, 0.7)))
    (_straight_legs if rng.random() < 0.7 else _sled)(piece, rng, size, _leg_width(rng), frame)


def _bench(piece: _Piece, rng: np.random.Generator, frame: Tint, cover: Tint) -> None:
    """Slats as seat and back, with gaps through which the background shows."""
    width, depth, high = rng.uniform(0.8, 1.4), rng.uniform(0.3, 0.5), rng.uniform(0.25, 0.5)
    count, fill = int(rng.integers(3, 8)), rng.uniform(0.35, 0.9)
    for i in range(count):
        at = (i + 0.5) / count
        z, y = (at - 0.5) * depth, -0.06 - at * high
        piece.box((0, 0, z), (width, 0.02, fill * depth / count), cover)
        piece.box((0, y, depth / 2), (width, fill * high / count, 0.02), cover)
    _posts(piece, 0.9 * width, high + 0.06, depth / 2, _leg_width(rng), frame)
    size = (0.9 * width, depth, float(rng.uniform(0.25, 0.45)))
    _straight_legs(piece, rng, size, _leg_width(rng), frame)


def _lamp(piece: _Piece, rng: np.random.Generator, frame: Tint, cover: Tint) -> None:
    """A long thin pole between a shade and a plate."""
    height, shade = 1.0, rng.uniform(0.1, 0.22)
    piece.tube([(0, height, 0), (0, 0, 0)], float(rng.uniform(0.008, 0.025)), frame)
    piece.disc((0, height, 0), float(rng.uniform(0.1, 0.2)), frame)
    piece.tube([(0, 0, 0), (0, -rng.uniform(0.15, 0.3), 0)], 2 * shade, cover)
