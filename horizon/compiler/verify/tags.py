"""A number for each element of a graph; slices and concats keep the numbers of their inputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from horizon.hbir.graph import Graph
from horizon.hbir.node import Node

Quad = tuple[int, int, int, int]


class Tags:
    """Numbers 0, 1, ... for all elements that inputs and arithmetic make.

    Slices and concats make no new elements: their elements keep the numbers of their sources.
    Slices and concats along batch and channels leave rows and columns in place, so element
    (n, y, x, c) of a tensor has the number ``base[n, c] + (y * W + x) * pitch[n, c]``. A tensor
    whose rows or columns were moved has a list of its numbers instead.

    Attributes:
        producer: the node that makes a tensor; None for inputs of the graph.
        dtype: type of the tags: int32 if it suffices, because there is one tag per byte of memory.
    """

    def __init__(self, graph: Graph) -> None:
        self.shapes = {name: info.shape for name, info in graph.tensors.items()}
        self.producer: dict[str, Node | None] = dict.fromkeys(graph.inputs)
        self._base: dict[str, np.ndarray] = {}
        self._pitch: dict[str, np.ndarray] = {}
        self._listed: dict[str, np.ndarray] = {}  # (N, H, W, C)
        self._first: list[int] = []
        self._names: list[str] = []
        self.count = 0
        for name in graph.inputs:
            self._number(name)
        for node in graph.nodes:
            if node.op == "concat":
                self._concat(node)
            elif node.op == "slice":
                self._slice(node)
            else:
                self.producer[node.output] = node
                self._number(node.output)
        self.dtype = np.dtype(np.int32 if self.count < 2**31 else np.int64)

    def _number(self, name: str) -> None:
        batch, height, width, channels = self.shapes[name]
        image = height * width * channels
        n, c = np.arange(batch)[:, None], np.arange(channels)
        self._base[name] = self.count + n * image + c
        self._pitch[name] = np.full((batch, channels), channels)
        self._first.append(self.count)
        self._names.append(name)
        self.count += batch * image

    def _concat(self, node: Node) -> None:
        axis = node.attributes["axis"]
        if axis in (1, 2) or any(name in self._listed for name in node.inputs):
            parts = [self._list(name) for name in node.inputs]
            self._listed[node.output] = np.concatenate(parts, axis)
            return
        axis = min(axis, 1)
        for table in (self._base, self._pitch):
            table[node.output] = np.concatenate([table[name] for name in node.inputs], axis)

    def _slice(self, node: Node) -> None:
        part = slice(node.attributes["start"], node.attributes["stop"])
        (source,), axis = node.inputs, node.attributes["axis"]
        if axis in (1, 2) or source in self._listed:
            self._listed[node.output] = self._list(source)[(slice(None),) * axis + (part,)]
            return
        index = part if node.attributes["axis"] == 0 else (slice(None), part)
        for table in (self._base, self._pitch):
            table[node.output] = table[source][index]

    def _list(self, name: str) -> np.ndarray:
        """The numbers of all elements of a tensor, (N, H, W, C)."""
        if name in self._listed:
            return self._listed[name]
        _, height, width, _ = self.shapes[name]
        places = np.arange(height * width).reshape(height, width, 1)
        base, pitch = (table[name][:, None, None] for table in (self._base, self._pitch))
        return np.asarray(base + places * pitch)

    def inside(self, name: str, start: Quad, shape: Quad) -> bool:
        """Whether a box is inside of a tensor."""
        ends = zip(start, shape, self.shapes[name], strict=True)
        return all(low >= 0 and low + side <= whole for low, side, whole in ends)

    def blocks(self, name: str, start: Quad, shape: Quad) -> Iterator[tuple[int, int, np.ndarray]]:
        """The tags of a box, some rows at a time: (first row, last row + 1, (N, rows, W, C))."""
        batch, height, width, channels = shape
        if name in self._listed:
            yield 0, height, self._box(name, start, shape).astype(self.dtype)
            return
        where = np.s_[start[0] : start[0] + batch, start[3] : start[3] + channels]
        base = self._base[name][where].astype(self.dtype)[:, None, None]
        pitch = self._pitch[name][where].astype(self.dtype)[:, None, None]
        columns = np.arange(start[2], start[2] + width, dtype=self.dtype)
        step = max(1, 2**18 // (batch * width * channels))
        for top in range(0, height, step):
            bottom = min(top + step, height)
            rows = np.arange(start[1] + top, start[1] + bottom, dtype=self.dtype)
            places = rows[:, None] * self.shapes[name][2] + columns
            yield top, bottom, base + places[:, :, None] * pitch

    def origin(self, name: str, place: Quad) -> tuple[str, Quad]:
        """The input or arithmetic that makes an element: (tensor, place in it)."""
        n, y, x, c = place
        if name in self._listed:
            return self.find(int(self._listed[name][place]))
        width = self.shapes[name][2]
        return self.find(int(self._base[name][n, c] + (y * width + x) * self._pitch[name][n, c]))

    def find(self, tag: int) -> tuple[str, Quad]:
        """The element of a number: (tensor, (n, y, x, c))."""
        index = int(np.searchsorted(self._first, tag, side="right")) - 1
        name = self._names[index]
        n, y, x, c = np.unravel_index(tag - self._first[index], self.shapes[name])
        return name, (int(n), int(y), int(x), int(c))

    def same(self, name: str, start: Quad, other: str, first: Quad, shape: Quad) -> bool:
        """Whether two boxes of the same shape hold the same elements."""
        if name in self._listed or other in self._listed:
            return np.array_equal(self._box(name, start, shape), self._box(other, first, shape))
        if start[1:3] != first[1:3]:
            return False
        here = np.s_[start[0] : start[0] + shape[0], start[3] : start[3] + shape[3]]
        there = np.s_[first[0] : first[0] + shape[0], first[3] : first[3] + shape[3]]
        return np.array_equal(self._base[name][here], self._base[other][there]) and np.array_equal(
            self._pitch[name][here], self._pitch[other][there]
        )

    def _box(self, name: str, start: Quad, shape: Quad) -> np.ndarray:
        """The numbers of a box, of its shape."""
        box = tuple(slice(low, low + side) for low, side in zip(start, shape, strict=True))
        return self._list(name)[box]
