"""The data of the page's time line, as columns of integers to keep the page small."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from horizon.hbm.records import Opcode
from horizon.perf.activity import used_units
from horizon.perf.estimate import Estimate, Timed
from horizon.perf.occupation import Occupation

DIGITS = 9  # of the latency


def time_line_data(estimate: Estimate, live: dict[str, Occupation]) -> dict[str, Any]:
    """JSON values. Times are in ticks; ``start``, ``time`` and ``live`` are differences.

    ``amount`` is the multiply-accumulates of an instruction of the tensor unit, and the bytes of a
    transfer.
    """
    tick = 10.0 ** (math.floor(math.log10(estimate.latency)) - DIGITS + 1)
    layers = [layer.name for layer in estimate.layers]
    place = {name: index for index, name in enumerate(layers)}
    pairs = list(zip(estimate.program.instructions, estimate.instructions, strict=True))
    units = []
    for unit in used_units(estimate):
        own = [
            (index, instruction, timed)
            for index, (instruction, timed) in enumerate(pairs)
            if instruction.unit.name == unit
        ]
        timed = [timed for _, _, timed in own]
        start, end = _ticks([t.start for t in timed], tick), _ticks([t.end for t in timed], tick)
        work = _ticks([t.end - t.busy for t in timed], tick)
        units.append(
            {
                "name": unit,
                "start": _differences(start),
                "length": (end - start).tolist(),
                "wait": (work - start).tolist(),
                "layer": [place[instruction.layer] for _, instruction, _ in own],
                "op": [int(instruction.opcode) for _, instruction, _ in own],
                "index": _differences(np.array([index for index, _, _ in own])),
                "amount": [_amount(t) for t in timed],
            }
        )
    return {
        "tick": tick,
        "end": int(_ticks([estimate.latency], tick)[0]),
        "layers": layers,
        "ops": {int(code): code.name for code in Opcode},
        "units": units,
        "memories": [
            {
                "name": name.upper(),
                "size": memory.size,
                "peak": memory.peak,
                "time": _differences(_ticks(memory.times, tick)),
                "live": _differences(memory.live),
            }
            for name, memory in live.items()
            if memory.size
        ],
    }


def _amount(timed: Timed) -> int:
    return timed.ddr_bytes or timed.macs


def _ticks(seconds: Sequence[float] | np.ndarray, tick: float) -> np.ndarray:
    return np.rint(np.asarray(seconds, float) / tick).astype(np.int64)


def _differences(values: np.ndarray) -> list[int]:
    result: list[int] = np.diff(values, prepend=0).tolist()
    return result
