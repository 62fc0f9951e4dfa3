"""A network's graph to a program for this CPU."""

from __future__ import annotations

from collections.abc import Callable

import horizon.hbm
import horizon.march
from horizon.compiler import compile_program
from horizon.compiler.verify import verify_program
from horizon.errors import CapacityError, CompilerError
from horizon.hbir import Graph, resized
from horizon_flow.one_image import features_of, one_image_at_a_time

VERIFIED_PIXELS = 1920 * 1152  # 1080p, padded; the proof takes longer for larger ones: 3 s at 4K


def compile_network(graph: Graph, size: tuple[int, int], video: bool = False) -> bytes | None:
    """The .hbm file of a network for images of ``size`` (H, W), multiples of its own.

    Args:
        video: of the network that takes one image at a time; None if there is no such form.

    Programs for images of up to ``VERIFIED_PIXELS`` are verified as ``hat compile-perf`` verifies
    them.

    Raises:
        InputError: tensors of that size are beyond what programs may take.
    """
    network: Graph | None = resized(graph, 1, *size)
    if video:
        network = one_image_at_a_time(resized(graph, 1, *size))
    if network is None:
        return None
    compiled = compile_program(
        network,
        horizon.march.load("host"),
        # Features go out as int8, so they are taken as int8, too, and with them the image.
        input_type="int8" if video else "uint8",
        channels_last=features_of(network) if video else (),
    )
    if size[0] * size[1] <= VERIFIED_PIXELS:
        verify_program(compiled)
    return horizon.hbm.to_bytes(compiled.program)


def largest_size(
    attempt: Callable[[tuple[int, int]], object], size: tuple[int, int], multiple: int
) -> tuple[int, int] | None:
    """The largest (H, W) of about the shape of ``size`` that ``attempt`` compiles.

    Args:
        attempt: compiles for a size; raises CapacityError or CompilerError if it is too large.
        size: one that is too large; multiples of ``multiple``.

    Returns:
        Multiples of ``multiple``; None if not even the smallest size is compiled.
    """

    def reduced(steps: int) -> tuple[int, int]:
        """``size`` times steps / longest, in multiples."""
        height, width = (max(1, side // multiple * steps // longest) for side in size)
        return height * multiple, width * multiple

    longest = max(size) // multiple
    good, bad = 0, longest
    while bad - good > 1:  # images of this size take a tenth of a second: they are not verified
        middle = (good + bad) // 2
        try:
            attempt(reduced(middle))
            good = middle
        except (CapacityError, CompilerError):
            bad = middle
    return reduced(good) if good else None
