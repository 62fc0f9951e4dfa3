"""When units and layers are busy: sums over the estimate's instructions, for both reports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from horizon.hbm.records import Opcode
from horizon.perf.estimate import Estimate

COMPUTE_UNITS = ("tensor", "vector", "aux", "transform")


def running(estimate: Estimate) -> list[float]:
    """For each layer, the seconds in which at least one of its instructions executes.

    Layers overlap, so the sum over the layers exceeds the time of the program.
    """
    pairs = zip(estimate.program.instructions, estimate.instructions, strict=True)
    spans = sorted((timed.start, timed.end, instruction.layer) for instruction, timed in pairs)
    total = {layer.name: 0.0 for layer in estimate.layers}
    reached = dict.fromkeys(total, 0.0)
    for start, end, layer in spans:
        if end > reached[layer]:
            total[layer] += end - max(start, reached[layer])
            reached[layer] = end
    return list(total.values())


def used_units(estimate: Estimate) -> list[str]:
    """The machine's units that have instructions of the program, in the machine's order."""
    used = {instruction.unit.name for instruction in estimate.program.instructions}
    return [unit for unit in estimate.machine.units if unit in used]


def unit_intervals(estimate: Estimate, unit: str, edges: np.ndarray) -> np.ndarray:
    """Seconds that a unit works in each interval between ``edges``, without waits for the bus."""
    chosen = [
        timed
        for instruction, timed in zip(
            estimate.program.instructions, estimate.instructions, strict=True
        )
        if instruction.unit.name == unit
    ]
    return spread(
        [timed.end - timed.busy for timed in chosen],
        [timed.end for timed in chosen],
        [timed.busy for timed in chosen],
        edges,
    )


def ddr_intervals(estimate: Estimate, opcode: Opcode, edges: np.ndarray) -> np.ndarray:
    """Bytes that LOADs or STOREs move in each interval, evenly while they hold the bus."""
    chosen = [
        timed
        for instruction, timed in zip(
            estimate.program.instructions, estimate.instructions, strict=True
        )
        if instruction.opcode is opcode
    ]
    return spread(
        [timed.bus[0] for timed in chosen],
        [timed.bus[1] for timed in chosen],
        [timed.ddr_bytes for timed in chosen],
        edges,
    )


def mac_intervals(estimate: Estimate, edges: np.ndarray) -> np.ndarray:
    """Multiply-accumulates in each interval."""
    chosen = [timed for timed in estimate.instructions if timed.macs]
    return spread(
        [timed.start for timed in chosen],
        [timed.end for timed in chosen],
        [timed.macs for timed in chosen],
        edges,
    )


def spread(
    start: Sequence[float], end: Sequence[float], amount: Sequence[float], edges: np.ndarray
) -> np.ndarray:
    """Spread each amount evenly over its time, and sum the parts between edges.

    Args:
        edges: (n + 1,), ascending; they cover all times.

    Returns:
        (n,): the sum of all amounts in each interval.
    """
    begin, finish, total = (np.array(values, float) for values in (start, end, amount))
    length = np.maximum(finish - begin, np.finfo(float).tiny)
    with np.errstate(over="ignore"):  # tiny times: done at once
        done = [(np.clip((edge - begin) / length, 0, 1) * total).sum() for edge in edges[:-1]]
    return np.diff([*done, total.sum()])
