"""The operators of a program, each defined in one file (``docs/adding_an_operator.md``)."""

from __future__ import annotations

from horizon.errors import InputError
from horizon.hbir.node import Node
from horizon.hbir.operators.adaptive_avg_pool2d import AdaptiveAvgPool2d
from horizon.hbir.operators.adaptive_max_pool2d import AdaptiveMaxPool2d
from horizon.hbir.operators.add import Add
from horizon.hbir.operators.avg_pool2d import AvgPool2d
from horizon.hbir.operators.concat import Concat
from horizon.hbir.operators.conv2d import Conv2d
from horizon.hbir.operators.conv_transpose2d import ConvTranspose2d
from horizon.hbir.operators.correlation import Correlation
from horizon.hbir.operators.lookup import Lookup
from horizon.hbir.operators.matmul import MatMul
from horizon.hbir.operators.max_pool2d import MaxPool2d
from horizon.hbir.operators.mul import Mul
from horizon.hbir.operators.operator import Moves, Operator, Products
from horizon.hbir.operators.rescale import Rescale
from horizon.hbir.operators.resize import Resize
from horizon.hbir.operators.slice import Slice
from horizon.hbir.operators.transpose import Transpose
from horizon.hbir.operators.warp import Warp

__all__ = ["OPERATORS", "Moves", "Operator", "Products", "operator_of"]

OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        Conv2d(),
        ConvTranspose2d(),
        Correlation(),
        Warp(),
        Rescale(),
        Add(),
        Mul(),
        MatMul(),
        MaxPool2d(),
        AdaptiveMaxPool2d(),
        AvgPool2d(),
        AdaptiveAvgPool2d(),
        Resize(),
        Lookup(),
        Transpose(),
        Concat(),
        Slice(),
    )
}


def operator_of(node: Node) -> Operator:
    """The definition of a node's operator.

    Raises:
        InputError: there is no operator of this name.
    """
    try:
        return OPERATORS[node.op]
    except KeyError:
        raise InputError(
            f"layer {node.name} ({node.op}): unknown operator; expected one of "
            f"{', '.join(OPERATORS)}"
        ) from None
