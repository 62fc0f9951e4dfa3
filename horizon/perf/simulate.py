"""When each instruction starts and ends: the units of one core, side by side, and its DDR bus.

A unit carries out its instructions in the order of the list. One starts when the unit is free and
all that it waits for has ended. A load or store then takes its startup, waits until the transfers
that stand before it in the list have left the bus, and holds it for its own. On a sequential
machine an instruction starts when the one before it in the list has ended.

Every start is a maximum of ends and every end a start plus a duration, in an order that does not
depend on times: a shorter duration never makes anything later.
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
    ends: list[list[float]] = [[] for _ in Unit]  # of each unit's instructions; they never fall
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
