"""An integer model to a compiled program of one image size."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import horizon.march
from hat.deploy.program_size import check_size
from hat.errors import InputError
from horizon.compiler import Compiled, compile_program
from horizon.compiler.verify import verify_program
from horizon.hbir import Graph, resized
from horizon.march import Machine

if TYPE_CHECKING:  # what is compiled is the model's graph, without torch
    from horizon.quantization import IntegerModel

DEFAULT_MARCH = "host"
DEFAULT_OPT = "O2"
OPT_LEVELS = ("O0", "O1", "O2", "O3")
INPUT_TYPES = ("uint8", "int8")


def compile_model(
    model: IntegerModel,
    size: tuple[int, int],
    *,
    name: str | None = None,
    march: str = DEFAULT_MARCH,
    opt: str = DEFAULT_OPT,
    input_type: str = "uint8",
) -> Compiled:
    """Compile and verify.

    Args:
        size: (H, W) of the images, multiples of ``model.multiple``.
        name: of the program; None keeps the model's.
        march: a machine's name, or the path of its description (.toml).
        opt: "O0" to "O3".
        input_type: "uint8", YUV as a camera gives it, or "int8", the same minus 128.

    Returns:
        Program and graph.

    Raises:
        InputError: an unknown machine, a size that is no multiple, or a layer that the machine
            cannot carry out.
    """
    graph = sized_graph(model, size, name)
    return compile_graph(graph, horizon.march.load(march), opt, input_type)


def sized_graph(model: IntegerModel, size: tuple[int, int], name: str | None = None) -> Graph:
    """The network for images of ``size``, which it takes without padding, called ``name``."""
    size = checked_size(model, size)
    check_size(model.graph, size)
    graph: Graph = resized(model.graph, 1, *size)
    return graph if name is None else replace(graph, name=name)


def compile_graph(graph: Graph, machine: Machine, opt: str, input_type: str) -> Compiled:
    """Compile and verify.

    Raises:
        InputError: a layer that the machine cannot carry out, or too little memory.
    """
    compiled = compile_program(graph, machine, opt=opt, input_type=input_type)
    verify_program(compiled)
    return compiled


def checked_size(model: IntegerModel, size: tuple[int, int]) -> tuple[int, int]:
    """``size``; InputError unless the network takes images of it without padding."""
    if any(side < 1 or side % model.multiple for side in size):
        raise InputError(
            f"program size {size[0]}x{size[1]} (height x width): expected multiples of "
            f"{model.multiple}, such as {'x'.join(map(str, padded_size(model, size)))}; images of "
            "other sizes are padded to the program's"
        )
    return size


def padded_size(model: IntegerModel, size: tuple[int, int]) -> tuple[int, int]:
    """The smallest size of a program that takes images of ``size``."""
    height, width = (max(1, -(-side // model.multiple)) * model.multiple for side in size)
    return height, width
