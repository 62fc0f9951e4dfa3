"""The exchange of a map's pixels and channels: a movement, which a program has as a node."""

from __future__ import annotations

from horizon.hbir import Graph, Node
from horizon.quantization.arithmetic import native
from horizon.quantization.layers.converted import QuantizedLayer
from horizon.quantization.layers.twin import Twin
from horizon.quantization.movement.gather import exchanged
from horizon.quantization.qtensor import QTensor


class QuantizedTranspose(QuantizedLayer):
    """The converted form of a node; networks have the movement itself."""

    def __init__(self, layer: str, heads: int, size: tuple[int, int]) -> None:
        super().__init__(layer)
        self.heads, self.size = heads, size

    def forward(self, x: QTensor) -> QTensor:
        if x.device.type == "cpu":
            values = native.transpose(x.integers(), self.heads, self.size)
        else:
            values = exchanged(x.values, self.heads, self.size)
        return QTensor(values, x.one_scale(self.layer), x.bits)


def transpose_of(node: Node, graph: Graph) -> QuantizedTranspose:
    """The converted layer of a node."""
    rows, columns = node.attributes["size"]
    return QuantizedTranspose(node.name, int(node.attributes["heads"]), (int(rows), int(columns)))


TWIN = Twin(operators={"transpose": transpose_of})
