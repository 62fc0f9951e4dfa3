"""A network's graph to a program for this CPU."""

from __future__ import annotations

import horizon.hbm
import horizon.march
from horizon.compiler import compile_program
from horizon.compiler.verify import verify_program
from horizon.hbir import Graph, resized


def compile_network(graph: Graph, size: tuple[int, int]) -> bytes:
    """The .hbm file of a network for images of ``size`` (H, W), multiples of its own.

    Raises:
        InputError: tensors of that size are beyond what programs may take.
    """
    compiled = compile_program(resized(graph, 1, *size), horizon.march.load("host"))
    verify_program(compiled)
    return horizon.hbm.to_bytes(compiled.program)
