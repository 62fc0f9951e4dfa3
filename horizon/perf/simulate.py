"""When each instruction starts and ends: the parallel units of one core, and its DDR bus.

A unit executes its instructions in the order of the list. An instruction starts when its unit is
free and all instructions that it waits for have ended. A load or store then takes its startup time,
waits until the earlier transfers of the list have left the bus, and holds the bus for its own
transfer. On a sequential machine, an instruction starts when the previous one in the list has
ended.

Every start is a maximum of ends, and every end is a start plus a duration. The order does not
depend on times. A shorter duration therefore never makes anything later.
"""

from __future__ import annotations

from collections.abc import Sequence

from horizon.hbm.records import Instruction, Unit
from horizon.perf.cost import Cost


def simulate(
    instructions: Sequence[Instruction], costs: Sequence[Cost], sequential: bool
) -> tuple[list[float], list[float]]:
    """Starts and ends in seconds, in the order of the instructions.

    Args:
        costs: of each instruction.
        sequential: units take turns.
    """
    ends: list[list[float]] = [[] for _ in Unit]  # by unit, ascending
    starts, finishes = [], []
    bus_free = previous = 0.0
    for instruction, cost in zip(instructions, costs, strict=True):
        own = ends[cost.unit]
        start = previous if sequential else own[-1] if own else 0.0
        for unit, count in enumerate(instruction.waits):
            if count:
                done = ends[unit][count - 1]
                if done > start:
                    start = done
        if cost.bus:
            begin = max(start + cost.startup, bus_free)
            bus_free = begin + cost.bus
            end = begin + cost.duration
        else:
            end = start + cost.duration
        own.append(end)
        starts.append(start)
        finishes.append(end)
        previous = end
    return starts, finishes
