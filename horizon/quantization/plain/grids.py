"""What the grid of an ``F.grid_sample`` in a graph is as a function of a flow.

The nodes that make the grid run on chosen values. They begin at layers and inputs, whose values are
noise: a grid that depends on one of them besides the flow is no warp by that flow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_map

from horizon.quantization.plain.tracer import ancestors, carried_out
from horizon.quantization.plain.tracing import shape_of, value_of

NEAR = 1e-3
"""How exact a place is, in pixels: what grids of float32 hold. Fixed point has steps of 1/256."""
FINE = 1e-6
"""How exact a factor is, relative to it."""
MAGNITUDES = (1.0, 30.0, 1e4)
"""Of the flows that are tried, in pixels: some far outside of any map."""


@dataclass
class Linear:
    """``offset = matrix @ flow`` at each pixel, in pixels of the map.

    Attributes:
        matrix: (2, channels of the flow) float64, at most one number other than 0 in each row.
        any_size: whether the numbers in the graph are for maps of any size.
    """

    matrix: Tensor
    any_size: bool

    @property
    def factor(self) -> float | None:
        """The positive number by which both channels of a flow are multiplied; None: no such."""
        number = float(self.matrix[0, 0])
        same = torch.equal(self.matrix, number * torch.eye(2, dtype=torch.float64))
        return number if same and number > 0 else None


class Grid:
    """A node that gives a grid (N, H, W, 2), and what it depends on.

    Args:
        align_corners: what the corners of -1..1 are, as in ``F.grid_sample``.
    """

    def __init__(self, module: fx.GraphModule, node: fx.Node, align_corners: bool = False) -> None:
        self.module, self.node, self.align_corners = module, node, align_corners
        everything = ancestors(node)
        self.ends = {n for n in everything if n.op in ("call_module", "placeholder")}
        self.nodes = ancestors(node, self.ends)

    def varies(self) -> bool:
        """Whether what the node gives depends on an input of the network."""
        first, second = (self._values(seed) for seed in (0, 1))
        return not torch.equal(first, second)

    def stays(self) -> bool:
        """Whether the grid leaves every pixel in its place, whatever the inputs are."""
        return not self.varies() and bool(self._offsets(0).abs().max() < NEAR)

    def linear(self, source: fx.Node) -> Linear | None:
        """The offset as a function of ``source``; None if it is none, or not linear."""
        try:
            matrix = self._matrix(source, 1)
        except (RuntimeError, TypeError, ValueError, IndexError):
            return None  # a node that cannot take such values is no flow
        if matrix is None:
            return None
        try:
            larger = self._matrix(source, 2)
        except (RuntimeError, TypeError, ValueError, IndexError):
            larger = None  # positions are constants of one size
        return Linear(matrix, larger is not None and torch.equal(matrix, larger))

    def _matrix(self, source: fx.Node, grow: int) -> Tensor | None:
        """``Linear.matrix`` for maps so many times as large; None if there is none."""
        shape = list(shape_of(source))
        shape[2:] = [side * grow for side in shape[2:]]
        zero = torch.zeros(shape, dtype=torch.float64)
        if not self._offsets(0, grow, source, zero).abs().max() < NEAR:
            return None
        columns = []
        size = float(max(shape[2:]))
        for channel in range(shape[1]):
            flow = zero.clone()
            flow[:, channel] = size
            columns.append(self._offsets(0, grow, source, flow).mean((0, 2, 3)) / size)
        matrix = _clean(torch.stack(columns, 1))
        if (matrix != 0).sum(1).max() > 1 or not matrix.any():
            return None
        for seed, magnitude in enumerate(MAGNITUDES, 1):
            generator = torch.Generator().manual_seed(seed)
            flow = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
            flow *= magnitude
            wanted = torch.einsum("kc,nchw->nkhw", matrix, flow)
            error = (self._offsets(seed, grow, source, flow) - wanted).abs().max()
            if not error < NEAR + FINE * float(wanted.abs().max()):
                return None
        return matrix

    def _offsets(
        self, seed: int, grow: int = 1, source: Any = None, flow: Tensor | None = None
    ) -> Tensor:
        """How far the grid moves each pixel, (N, 2, H, W) in pixels."""
        grid = self._values(seed, grow, source, flow).permute(0, 3, 1, 2)
        if not torch.isfinite(grid).all():
            raise ValueError("a grid that is not finite")
        height, width = grid.shape[2:]
        size = torch.tensor([width, height], dtype=torch.float64).view(1, 2, 1, 1)
        span = size - 1 if self.align_corners else size
        place = (grid + 1) * span / 2 - (0 if self.align_corners else 0.5)
        rows, columns = torch.meshgrid(
            *(torch.arange(n, dtype=torch.float64) for n in (height, width)), indexing="ij"
        )
        return place - torch.stack([columns, rows])

    @torch.no_grad()
    def _values(
        self, seed: int, grow: int = 1, source: Any = None, flow: Tensor | None = None
    ) -> Tensor:
        """What the node gives; ``source`` gives ``flow``, and what it begins at gives noise."""
        generator = torch.Generator().manual_seed(seed)
        known: dict[fx.Node, Any] = {}

        def noise(x: Any) -> Any:
            if not isinstance(x, Tensor) or not x.is_floating_point():
                return x
            shape = [*x.shape[:2], *(side * grow for side in x.shape[2:])]
            return torch.rand(shape, generator=generator, dtype=torch.float64)

        with _double():
            for node in ancestors(self.node, self.ends | {source}):
                if node is source:
                    known[node] = flow
                elif node in self.ends:
                    known[node] = tree_map(noise, value_of(node))
                elif node.op == "get_attr":
                    known[node] = tree_map(_as_double, value_of(node))
                else:
                    given = fx.map_arg((node.args, node.kwargs), known.__getitem__)
                    args, kwargs = tree_map(_wider, given)
                    known[node] = _as_double(carried_out(self.module, node, args, kwargs))
        result: Tensor = known[self.node]
        return result


def _as_double(x: Any) -> Any:
    return x.double() if isinstance(x, Tensor) and x.is_floating_point() else x


def _wider(x: Any) -> Any:
    """``x`` as an argument, copied: operations in place leave what is known alone."""
    if x in (torch.float32, torch.float16, torch.bfloat16) if isinstance(x, torch.dtype) else False:
        return torch.float64
    return x.clone() if isinstance(x, Tensor) else x


@contextmanager
def _double() -> Iterator[None]:
    """Within the block, torch makes real numbers of double precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _clean(matrix: Tensor) -> Tensor:
    """The numbers without the rounding of a float32 grid: 0, 1, and equal where they nearly are."""
    largest = float(matrix.abs().max())
    matrix = torch.where(matrix.abs() < FINE * largest, 0.0, matrix)
    rounded = [[float(f"{x:.6g}") for x in row] for row in matrix.tolist()]
    return torch.tensor(rounded, dtype=torch.float64)
