"""The reference executor: a program in numpy int64, slow and obviously right.

All other executors are compared with it bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from horizon.errors import InputError
from horizon.hbir.fixed_point import LIMITS
from horizon.hbir.graph import Graph, verify
from horizon.hbir.operators import operator_of


def run(
    graph: Graph, inputs: Mapping[str, np.ndarray], keep_all: bool = False
) -> dict[str, np.ndarray]:
    """Run a program.

    Args:
        inputs: integers by name, of the shape and within the range of the program's inputs.
        keep_all: return every tensor instead of the outputs only.

    Returns:
        int64 arrays (N, H, W, C) by name.

    Raises:
        InputError: a program that :func:`~horizon.hbir.graph.verify` refuses; inputs that are
            missing, unknown, of another shape or out of range; an accumulator that overflows.
    """
    verify(graph)
    if set(inputs) != set(graph.inputs):
        raise InputError(
            f"program {graph.name}: inputs {sorted(inputs)}; expected {sorted(graph.inputs)}"
        )
    tensors = {name: _checked_input(graph, name, inputs[name]) for name in graph.inputs}
    last_use = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    for index, node in enumerate(graph.nodes):
        values = operator_of(node).run(node, [tensors[name] for name in node.inputs])
        assert values.dtype == np.int64
        tensors[node.output] = values
        if not keep_all:
            for name in set(node.inputs) - set(graph.outputs):
                if last_use[name] == index:
                    del tensors[name]
    return tensors if keep_all else {name: tensors[name] for name in graph.outputs}


def _checked_input(graph: Graph, name: str, values: np.ndarray) -> np.ndarray:
    info = graph.tensors[name]
    values = np.asarray(values)
    low, high = LIMITS[info.dtype]
    if values.dtype.kind not in "iu":
        raise InputError(f"input {name}: {values.dtype} values; expected integers, {info.dtype}")
    if values.shape != info.shape:
        raise InputError(f"input {name}: shape {values.shape}; expected {info.shape} (N, H, W, C)")
    if int(values.min()) < low or int(values.max()) > high:
        raise InputError(
            f"input {name}: values {values.min()}..{values.max()}; expected {low}..{high}"
        )
    return values.astype(np.int64)
