"""The least time that an amount of work can take, from totals and peaks alone.

No instruction is timed here: neither startups nor what is left over of an array, neither bursts
nor waiting. So the simulation has to stay above it, and how far it does is what there is to gain.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from horizon.march import Machine
from horizon.perf.cost import Cost, bandwidth

# The simulation rounds the times at which instructions end. Where nothing starts up and nothing is
# left over, it meets the bound, and must not fall below it by a rounding.
ROUNDED_DOWN = 1 - 1e-7


def peak(machine: Machine, array: str, wide: bool = False) -> float:
    """Multiply-accumulates per second of one core.

    Args:
        array: of ``march.ARRAYS``.
        wide: with int16 inputs.
    """
    tensor = machine.tensor
    assert tensor is not None
    found = tensor.array(array)
    steps = tensor.int16_steps if wide else 1.0
    return found.products_per_cycle / steps * machine.workers * machine.clock_hz


def tensor_seconds(machine: Machine, costs: Mapping[Cost, int]) -> float:
    """Seconds of all multiply-accumulates at the peak of their array.

    Args:
        costs: and how many instructions have each.
    """
    macs: Counter[tuple[str, bool]] = Counter()
    for cost, count in costs.items():
        if cost.array is not None:
            macs[cost.array, cost.wide] += cost.macs * count
    return sum((total / peak(machine, *kind) for kind, total in macs.items()), 0.0)


def bound(machine: Machine, cores: int, costs: Mapping[Cost, int]) -> tuple[float, str]:
    """Seconds that instructions take at least, and what sets them.

    Args:
        cores: that share the DDR's bandwidth.
        costs: and how many instructions have each.

    Returns:
        The largest of the times of: "tensor", multiply-accumulates; "ddr", bytes of loads and
        stores; "sram", operands of the unit that touches most; and every other unit's name, pixels
        and bytes of its outputs.
    """
    pixels: defaultdict[str, int] = defaultdict(int)
    written: defaultdict[str, int] = defaultdict(int)
    touched: defaultdict[str, int] = defaultdict(int)
    moved = 0
    for cost, count in costs.items():
        name = cost.unit.name
        pixels[name] += cost.pixels * count
        written[name] += cost.written * count
        touched[name] += cost.touched * count
        moved += cost.moved * count
    second = machine.workers * machine.clock_hz  # cycles of all workers
    found = {
        "tensor": tensor_seconds(machine, costs),
        "ddr": moved / bandwidth(machine, cores),
        "sram": max(touched.values(), default=0) / machine.sram_bytes_per_cycle / second,
    }
    for name, unit in machine.simple.items():
        cycles = pixels[name] * unit.pixel_cycles + written[name] / unit.bytes_per_cycle
        found[name] = cycles / second
    largest = max(found, key=lambda name: found[name])
    return found[largest] * ROUNDED_DOWN, largest
