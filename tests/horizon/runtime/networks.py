"""A compiled network for the tests of everything that runs programs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from horizon.compiler import compile_program
from horizon.hbir import reference
from horizon.hbm import Program, to_bytes
from horizon.march import load
from tests.horizon.hbir.onnx_programs import small_network


@dataclass(frozen=True)
class Network:
    """A program, its file, images (1, 6, H, W) and the flows (1, 2, H, W) that are right."""

    program: Program
    file: bytes
    images: tuple[np.ndarray, ...]
    flows: tuple[np.ndarray, ...]


@cache
def network(machine: str = "host", input_type: str = "uint8", height: int = 64) -> Network:
    """Pyramid, cost volume, warp and upsampling in small, 3/2 as wide as high.

    Most of its instructions are large enough to be shared among threads.
    """
    graph = small_network(np.random.default_rng(5), height, height * 3 // 2)
    program = compile_program(graph, load(machine), input_type=input_type).program
    rng = np.random.default_rng(6)
    images, flows = [], []
    for _ in range(4):
        image = rng.integers(0, 256, (1, 6, height, height * 3 // 2), np.uint8)
        values = (image ^ 0x80).view(np.int8)
        result = reference.run(graph, {"img": values.transpose(0, 2, 3, 1)})
        images.append(image if input_type == "uint8" else values)
        flow = result["large"].transpose(0, 3, 1, 2)
        flows.append(np.ascontiguousarray(flow, np.int32))
    return Network(program, to_bytes(program), tuple(images), tuple(flows))
