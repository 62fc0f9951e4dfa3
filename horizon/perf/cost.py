"""How long each instruction takes on a machine when nothing else runs.

``docs/performance.md`` has the formulas. They consist of sums, products, quotients and maxima in a
fixed order. All of these round monotonically, so a machine that is better in one number is never
estimated as slower, not even by the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

from horizon.hbm.records import Instruction, Unit
from horizon.march import Array, Machine
from horizon.perf import work


@dataclass(frozen=True, eq=False, slots=True)
class Cost:
    """The cost of one instruction. Instructions with the same cost share an object.

    Attributes:
        unit: the unit that executes the instruction.
        startup: seconds before a transfer asks for the bus; 0 for instructions that compute.
        duration: seconds after the startup. For a transfer, from when it has the bus.
        bus: seconds for which a transfer occupies the core's share of the DDR's bandwidth.
        busy: startup + duration.
        macs: multiply-accumulates, padding included.
        array, wide: name of the array that multiplies; whether its inputs are int16.
        pixels, written: pixels (n, y, x) and bytes of the output.
        touched: bytes of all operands; 0 for transfers.
        moved: bytes of a load or store; 0 for instructions that compute.
    """

    unit: Unit
    startup: float
    duration: float
    bus: float
    busy: float
    macs: int
    array: str | None
    wide: bool
    pixels: int
    written: int
    touched: int
    moved: int


class Costs:
    """The costs of instructions on a machine, each computed once.

    Args:
        machine: a machine that has all units that the instructions need.
        cores: cores that work at the same time; each has its share of the DDR's bandwidth.
    """

    def __init__(self, machine: Machine, cores: int) -> None:
        self._machine = machine
        self._ddr = bandwidth(machine, cores)
        self._known: dict[tuple[object, ...], Cost] = {}

    def of(self, instruction: Instruction) -> Cost:
        key = work.signature(instruction)
        cost = self._known.get(key)
        if cost is None:
            cost = self._known[key] = self._cost(instruction)
        return cost

    def _cost(self, instruction: Instruction) -> Cost:
        machine, out = self._machine, instruction.out
        moves = instruction.opcode in work.TRANSFERS
        written = work.nbytes(out)
        touched = 0 if moves else work.touched(instruction)
        startup = bus = 0.0
        if moves:
            unit = machine.simple[instruction.unit.name]
            startup = unit.startup_cycles / machine.clock_hz
            bus = work.burst_bytes(instruction, machine.burst_bytes) / self._ddr
            alone = _simple_cycles(instruction, machine) / machine.workers / machine.clock_hz
            duration = max(bus, alone)
        else:
            cycles, start_cycles = _compute_cycles(instruction, machine)
            cycles = max(cycles, touched / machine.sram_bytes_per_cycle)
            duration = (start_cycles + cycles / machine.workers) / machine.clock_hz
        return Cost(
            unit=instruction.unit,
            startup=startup,
            duration=duration,
            bus=bus,
            busy=startup + duration,
            macs=work.products(instruction),
            array=work.array_of(instruction),
            wide=work.is_wide(instruction),
            pixels=work.pixels(out),
            written=written,
            touched=touched,
            moved=written if moves else 0,
        )


def bandwidth(machine: Machine, cores: int) -> float:
    """Bytes per second of the DDR for one of ``cores`` cores."""
    return machine.ddr_bytes_per_second * machine.ddr_efficiency / cores


def _compute_cycles(instruction: Instruction, machine: Machine) -> tuple[float, float]:
    """Cycles of the work if one worker does it, and startup cycles."""
    name = work.array_of(instruction)
    if name is None:
        startup = machine.simple[instruction.unit.name].startup_cycles
        return _simple_cycles(instruction, machine), startup
    tensor = machine.tensor
    assert tensor is not None
    array = tensor.array(name)
    steps = tensor.int16_steps if work.is_wide(instruction) else 1.0
    return array_cycles(instruction, array, steps), tensor.startup_cycles


def array_cycles(instruction: Instruction, array: Array, steps_per_step: float) -> float:
    """Cycles of a convolution, correlation or matrix product on an array."""
    groups = work.groups_of(instruction)
    outputs = groups * -(-(instruction.out.shape[3] // groups) // array.outputs)
    inputs = -(-work.inputs_of(instruction) // array.inputs)
    cycles = 0.0
    for rows, columns, taps in work.phases(instruction):
        tiles = rows * -(-columns // array.pixels) * outputs
        steps = taps * inputs * array.step_cycles * steps_per_step
        cycles += tiles * (steps + array.drain_cycles)
    return cycles


def _simple_cycles(instruction: Instruction, machine: Machine) -> float:
    """Cycles for the pixels of the output, plus cycles for its bytes in each pass."""
    unit = machine.simple[instruction.unit.name]
    out = instruction.out
    return (
        work.pixels(out) * unit.pixel_cycles
        + work.passes(instruction) * work.nbytes(out) / unit.bytes_per_cycle
    )
