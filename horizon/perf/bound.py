"""A lower bound on the time of an amount of work, from totals and peak rates alone.

The bound ignores startups, partly filled arrays, bursts and waiting. The simulated time is never
below it; the difference is what better scheduling could gain at most.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from horizon.march import Machine
from horizon.perf.cost import Cost, bandwidth

# The simulation rounds the ends of instructions. Without startups and partly filled arrays it
# equals the bound, and rounding must not bring it below.
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
    """Seconds of all multiply-accumulates at the peak rate of their array.

    Args:
        costs: how many instructions have each cost.
    """
    macs: Counter[tuple[str, bool]] = Counter()
    for cost, count in costs.items():
        if cost.array is not None:
            macs[cost.array, cost.wide] += cost.macs * count
    return sum((total / peak(machine, *kind) for kind, total in macs.items()), 0.0)


def bound(machine: Machine, cores: int, costs: Mapping[Cost, int]) -> tuple[float, str]:
    """The least seconds that instructions can take, and the resource that sets them.

    Args:
        cores: number of cores that share the DDR's bandwidth.
        costs: how many instructions have each cost.

    Returns:
        The largest of these times, and its name: "tensor", from multiply-accumulates; "ddr", from
        bytes of loads and stores; "sram", from the operands of the unit that touches most bytes; or
        another unit's name, from pixels and bytes of its outputs.
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
