"""The performance estimate of a program on a machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from horizon.errors import InputError
from horizon.hbm.records import Instruction, Program, Space, Unit
from horizon.march import Machine
from horizon.perf.bound import bound, tensor_seconds
from horizon.perf.cost import Cost, Costs
from horizon.perf.simulate import simulate


@dataclass(frozen=True, slots=True)
class Timed:
    """The times of one instruction, in the program's order.

    Attributes:
        start, end: seconds from the start of the frame.
        busy: seconds that the unit needs for it, without waiting for the bus.
        macs: multiply-accumulates, padding included.
        ddr_bytes: moved by a load or store.
        bus: for a load or store, when it takes the bus and when it releases it, in seconds from the
            start of the frame.
    """

    start: float
    end: float
    busy: float
    macs: int
    ddr_bytes: int
    bus: tuple[float, float]


@dataclass(frozen=True)
class LayerEstimate:
    """All instructions of a layer.

    Attributes:
        opcodes: names, each once, in order of first use.
        macs: multiply-accumulates, padding included.
        loaded, stored: bytes.
        start, end: seconds: the first start and the last end of its instructions, its active
            period. Those of several layers overlap, because loads run ahead.
        busy: seconds of its instructions by unit.
        bound: the least seconds that the layer can take (``horizon.perf.bound``).
        bounded_by: what sets the bound: "tensor", "ddr", "sram" or another unit's name.
        utilisation: share of the tensor unit's peak while it is busy with the layer; 0 without
            multiply-accumulates.
    """

    name: str
    opcodes: tuple[str, ...]
    macs: int
    loaded: int
    stored: int
    start: float
    end: float
    busy: Mapping[str, float]
    bound: float
    bounded_by: str
    utilisation: float


@dataclass(frozen=True)
class Estimate:
    """A program's time on a machine.

    Attributes:
        cores: cores that work at the same time, each on its own frame.
        instructions: in the program's order.
        layers: in order of their first instruction.
        latency: seconds of a frame on one core.
        bound: the least seconds that a frame can take.
        loaded, stored: bytes of a frame, equal to the executor's counters.
        macs: multiply-accumulates of a frame, padding included.
        busy: seconds by unit of the machine.
    """

    program: Program
    machine: Machine
    cores: int
    instructions: tuple[Timed, ...]
    layers: tuple[LayerEstimate, ...]
    latency: float
    bound: float
    loaded: int
    stored: int
    macs: int
    busy: Mapping[str, float]

    @property
    def fps(self) -> float:
        """Frames per second of all cores."""
        return self.cores / self.latency


def estimate(program: Program, machine: Machine, cores: int | None = None) -> Estimate:
    """Time a program on a machine.

    Args:
        program: from ``hbm.read`` or the compiler.
        machine: may differ from the machine that the program was compiled for, if it can execute
            the program.
        cores: cores that work at the same time; default: all cores of the machine.

    Raises:
        InputError: the machine has fewer cores, lacks a unit, has too little memory, or cannot read
            weights where the program has them; or the program has no instructions.
    """
    cores = machine.cores if cores is None else cores
    _check(program, machine, cores)
    known = Costs(machine, cores)
    costs = [known.of(instruction) for instruction in program.instructions]
    starts, ends = simulate(program.instructions, costs, machine.sequential)
    timed = tuple(
        Timed(start, end, cost.busy, cost.macs, cost.moved, _on_bus(end, cost))
        for start, end, cost in zip(starts, ends, costs, strict=True)
    )
    layers: dict[str, list[int]] = {}
    for place, instruction in enumerate(program.instructions):
        layers.setdefault(instruction.layer, []).append(place)
    counts = Counter(costs)
    return Estimate(
        program=program,
        machine=machine,
        cores=cores,
        instructions=timed,
        layers=tuple(
            _layer(
                [program.instructions[place] for place in places],
                [timed[place] for place in places],
                [costs[place] for place in places],
                machine,
                cores,
            )
            for places in layers.values()
        ),
        latency=max(ends),
        bound=bound(machine, cores, counts)[0],
        loaded=_moved(counts, Unit.load),
        stored=_moved(counts, Unit.store),
        macs=_macs(counts),
        busy=dict.fromkeys(machine.units, 0.0) | _busy(costs),
    )


def _layer(
    instructions: Sequence[Instruction],
    timed: Sequence[Timed],
    costs: Sequence[Cost],
    machine: Machine,
    cores: int,
) -> LayerEstimate:
    """The estimate of a layer from all of its instructions."""
    counts = Counter(costs)
    least, limit = bound(machine, cores, counts)
    busy = _busy(costs)
    tensor = busy.get(Unit.tensor.name)
    return LayerEstimate(
        name=instructions[0].layer,
        opcodes=tuple(dict.fromkeys(instruction.opcode.name for instruction in instructions)),
        macs=_macs(counts),
        loaded=_moved(counts, Unit.load),
        stored=_moved(counts, Unit.store),
        start=min(one.start for one in timed),
        end=max(one.end for one in timed),
        busy=busy,
        bound=least,
        bounded_by=limit,
        # Both times are rounded, so a layer that fills the array exactly could come out above 1.
        utilisation=min(tensor_seconds(machine, counts) / tensor, 1.0) if tensor else 0.0,
    )


def _on_bus(end: float, cost: Cost) -> tuple[float, float]:
    begin = end - cost.duration
    return begin, begin + cost.bus


def _busy(costs: Sequence[Cost]) -> dict[str, float]:
    """Seconds by name of the units that have instructions, in the order of ``Unit``."""
    seconds: dict[Unit, float] = {}
    for cost in costs:
        seconds[cost.unit] = seconds.get(cost.unit, 0.0) + cost.busy
    return {unit.name: seconds[unit] for unit in Unit if unit in seconds}


def _moved(counts: Mapping[Cost, int], unit: Unit) -> int:
    return sum(cost.moved * count for cost, count in counts.items() if cost.unit is unit)


def _macs(counts: Mapping[Cost, int]) -> int:
    return sum(cost.macs * count for cost, count in counts.items())


def _check(program: Program, machine: Machine, cores: int) -> None:
    """Raise InputError if the machine cannot execute the program."""
    if not 1 <= cores <= machine.cores:
        raise InputError(
            f"machine {machine.name}: {cores} cores; expected 1 to {machine.cores}; choose the "
            "number of cores that work at the same time"
        )
    if not program.instructions:
        raise InputError(
            f"program {program.name}: no instructions; expected at least a store of each output; "
            "compile it again"
        )
    if program.sram_bytes > machine.sram_bytes:
        raise InputError(
            f"program {program.name}: needs {program.sram_bytes} bytes of SRAM; machine "
            f"{machine.name} has {machine.sram_bytes}; compile it for this machine"
        )
    for instruction in program.instructions:
        unit, weight = instruction.unit.name, instruction.weight
        if unit not in machine.units:
            raise InputError(
                f"layer {instruction.layer}: {instruction.opcode.name} needs unit {unit}; machine "
                f"{machine.name} has {', '.join(machine.units)}; change the layer or the machine"
            )
        if weight is not None and weight.space is Space.constant and not machine.constants_in_place:
            raise InputError(
                f"layer {instruction.layer}: its weights are read in place; machine "
                f"{machine.name} loads them first; compile the program for this machine"
            )
