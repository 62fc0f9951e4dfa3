"""Shadow memory: for each byte of the memories, the element of the graph that it holds."""

from __future__ import annotations

import numpy as np

from horizon.compiler.verify.problem import Wrong, at
from horizon.compiler.verify.tags import Quad, Tags
from horizon.hbm.records import DataType, IoTensor, Layout, Program, Space, View

NOTHING = -1  # was never written
INSIDE = -2  # the second, third or fourth byte of an element
TORN = -3  # an element that was overwritten in part
CONSTANT = -4  # byte k of the constants is CONSTANT - k


class Shadow:
    """The tags of the elements in memory; instructions move them and make new ones."""

    def __init__(self, program: Program, tags: Tags) -> None:
        self.tags = tags
        self._bytes = {
            (Space.sram, 0): np.full(program.sram_bytes, NOTHING, tags.dtype),
            (Space.ddr, 0): np.full(program.ddr_bytes, NOTHING, tags.dtype),
        }
        for index, tensor in enumerate(program.outputs):
            self._bytes[Space.output, index] = np.full(tensor.nbytes, NOTHING, tags.dtype)
        for index, tensor in enumerate(program.inputs):
            self._bytes[Space.input, index] = np.full(tensor.nbytes, NOTHING, tags.dtype)
            view = whole(tensor, Space.input, index)
            self.write(view, tensor.name, (0, 0, 0, 0))

    def read(self, view: View) -> np.ndarray:
        """A copy of the tags of a view's elements, of its shape."""
        if view.space is Space.constant:
            steps = zip(np.ogrid[tuple(map(slice, view.shape))], view.strides, strict=True)
            places = sum((index * step for index, step in steps), np.array(view.offset))
            return np.asarray(CONSTANT - places, self.tags.dtype)
        found = self._at(view, 0).copy()
        for byte in range(1, view.dtype.size):
            rest = self._at(view, byte)
            never = (found == NOTHING) & (rest == NOTHING)
            found[(rest != INSIDE) & ~never] = TORN
        return found

    def move(self, view: View, moved: np.ndarray) -> None:
        """Write tags (of a view's shape) into it."""
        self._at(view, 0)[...] = moved
        for byte in range(1, view.dtype.size):
            self._at(view, byte)[...] = INSIDE

    def write(self, view: View, name: str, start: Quad) -> None:
        """Mark a view as holding the box of tensor ``name`` that begins at ``start``."""
        target = self._at(view, 0)
        for top, bottom, block in self.tags.blocks(name, start, view.shape):
            target[:, top:bottom] = block
        for byte in range(1, view.dtype.size):
            self._at(view, byte)[...] = INSIDE

    def expect(self, operand: str, view: View, name: str, start: Quad) -> None:
        """Check that a view holds the box of tensor ``name`` that begins at ``start``."""
        if not self.tags.inside(name, start, view.shape):
            raise Wrong(
                at(operand, view),
                f"{box(name, start, view.shape)}",
                f"a part of {name}, which is {self.tags.shapes[name]}",
            )
        here = self._at(view, 0)
        for top, bottom, block in self.tags.blocks(name, start, view.shape):
            if not np.array_equal(here[:, top:bottom], block):
                self._mismatch(operand, view, name, start)
        for byte in range(1, view.dtype.size):
            if (self._at(view, byte) != INSIDE).any():
                self._mismatch(operand, view, name, start)

    def _mismatch(self, operand: str, view: View, name: str, start: Quad) -> None:
        found = self.read(view)
        for top, bottom, block in self.tags.blocks(name, start, view.shape):
            bad = found[:, top:bottom] != block
            if bad.any():
                n, y, x, c = (int(i) for i in np.unravel_index(bad.argmax(), bad.shape))
                tag, place = int(found[n, top + y, x, c]), (n, top + y, x, c)
                byte = view.offset + sum(i * s for i, s in zip(place, view.strides, strict=True))
                wanted = tuple(a + b for a, b in zip(start, place, strict=True))
                raise Wrong(
                    at(operand, view),
                    f"byte {byte} holds {self.describe(tag)}",
                    f"element {wanted} of {name}",
                )

    def describe(self, tag: int) -> str:
        """A tag in words."""
        if tag >= 0:
            name, place = self.tags.find(tag)
            return f"element {place} of {name}"
        if tag <= CONSTANT:
            return f"byte {CONSTANT - tag} of the constants"
        return {NOTHING: "nothing that was written", TORN: "an element partly overwritten"}.get(
            tag, "the inside of a wider element"
        )

    def _at(self, view: View, byte: int) -> np.ndarray:
        tags = self._bytes[view.space, view.index]
        size = tags.itemsize
        strides = tuple(step * size for step in view.strides)
        return np.ndarray(view.shape, tags.dtype, tags, (view.offset + byte) * size, strides)


def whole(tensor: IoTensor, space: Space, index: int) -> View:
    """All of an input or output, as NHWC."""
    size = tensor.dtype.size
    if tensor.layout is Layout.nchw:
        batch, channels, height, width = tensor.shape
        steps = (channels * height * width, width, 1, height * width)
    else:
        batch, height, width, channels = tensor.shape
        steps = (height * width * channels, width * channels, channels, 1)
    n, y, x, c = (step * size for step in steps)
    return View(space, tensor.dtype, (batch, height, width, channels), (n, y, x, c), 0, index)


def box(name: str, start: Quad, shape: Quad) -> str:
    """A part of a tensor in words."""
    ranges = ", ".join(f"{low}..{low + side - 1}" for low, side in zip(start, shape, strict=True))
    return f"({ranges}) of {name}"


def fits(view: View, dtype: str) -> bool:
    """Whether a view's type fits a graph's tensor; uint8 fits only in the caller's inputs."""
    if view.space is Space.input and view.dtype is DataType.uint8:
        return dtype == "int8"
    return view.dtype.name == dtype
