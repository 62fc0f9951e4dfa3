"""A generator whose workers halt, each of them while it writes its third flow.

The command's process replaces ``workers.procedural_texture`` by :func:`texture`, which draws the
same. Workers are told of it by name, so that it is at work there too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hat.data.files import atomic_path
from hat.data.flow_io import write_flo
from hat.data.synthesis import workers
from hat.data.synthesis.textures import procedural_texture
from tests.other_processes import halt

HALT_AT = 3  # a worker's pair

_pairs = 0


def texture(rng: np.random.Generator, side: int, background: bool) -> np.ndarray:
    global _pairs
    _pairs += background  # which each pair has one of
    workers.write_flo = _write_or_halt  # type: ignore[attr-defined]
    return procedural_texture(rng, side, background)


def _write_or_halt(path: Path, flow: np.ndarray) -> None:
    if _pairs != HALT_AT:
        write_flo(path, flow)
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"half of it")
        halt()
        write_flo(temporary, flow)
