"""From measured times to the machine whose estimate is closest to them.

The estimate's own formulas (``horizon.perf``) predict the times. The fitted numbers therefore make
up for effects that the formulas leave out, as far as they can.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from hat.errors import InputError
from hat.host_fit import numbers
from hat.host_fit.least_squares import fit
from hat.host_fit.measure import Timing, check
from horizon.hbm.records import DataType, Instruction, WeightLayout
from horizon.isa.instructions import INSTRUCTIONS
from horizon.march import Machine
from horizon.march.keys import number
from horizon.perf.cost import Costs

SWEEPS = 2
SRAM = "memory.sram_bytes_per_cycle"
BYTES_PER_CYCLE = (
    256.0,
    32.0,
    16.0,
    8.0,
    4.0,
    2.0,
)  # the start of the search
# The shorter a time below this, the less its relative error counts.
SHORT = 1e-6
CONVOLUTION, WIDE, NARROW = "convolution, int8", "convolution, int16", "convolution, few outputs"
DEPTHWISE = "convolution, depthwise"
OTHERS = tuple(code.name for code, what in INSTRUCTIONS.items() if "weight" not in what.operands)
KINDS = (CONVOLUTION, WIDE, NARROW, DEPTHWISE, *OTHERS)
ARRAYS = {
    "conv": CONVOLUTION,
    "narrow": NARROW,
    "correlation": "correlation",
    "depthwise": DEPTHWISE,
}
OF_LAYOUT = {
    WeightLayout.blocked: CONVOLUTION,
    WeightLayout.rows: NARROW,
    WeightLayout.depthwise: DEPTHWISE,
}
FEWEST = 3  # instructions of each kind


@dataclass(frozen=True)
class Residual:
    """A measured instruction, its kind (of ``KINDS``) and its estimated seconds."""

    timing: Timing
    kind: str
    seconds: float

    @property
    def relative(self) -> float:
        return self.seconds / self.timing.seconds - 1


def calibrate(timings: Sequence[Timing], base: Machine) -> Machine:
    """``base`` with the numbers (``numbers.fitted_keys``) that describe the times best.

    Args:
        timings: instructions of all ``KINDS``.
        base: the machine whose clock, workers, units and DDR bandwidth are kept; the search for the
            other numbers starts from its values.

    Raises:
        InputError: times that are not positive, or too few of a kind.
    """
    check(timings)
    by_kind: dict[str, list[Timing]] = {kind: [] for kind in KINDS}
    by_unit: dict[str, list[Timing]] = {}
    for timing in timings:
        by_kind[kind_of(timing.instruction)].append(timing)
        by_unit.setdefault(timing.instruction.unit.name, []).append(timing)
    for kind, own in by_kind.items():
        if len(own) < FEWEST:
            raise InputError(
                f"{len(own)} measured instructions of kind {kind!r}; expected {FEWEST} or more; "
                "measure more probes"
            )
    machine = numbers.with_array(base, "depthwise", numbers.array_of(base, "depthwise"))
    machine = numbers.with_numbers(machine, {SRAM: numbers.limits(SRAM)[1]})
    for _ in range(SWEEPS):
        for name, kind in ARRAYS.items():
            machine = _with_best_array(machine, name, by_kind[kind])
        # If memory sets an instruction's time, the time does not depend on the unit, and the other
        # way round. From a bad start the search could not tell which one does: so try several.
        trials = [
            _fitted_by_kind(numbers.with_numbers(machine, {SRAM: value}), by_kind, by_unit)
            for value in (number(machine, SRAM), *BYTES_PER_CYCLE)
        ]
        machine, _ = min(trials, key=lambda trial: trial[1])
        machine, _ = _fitted(machine, numbers.fitted_keys(), timings)
    return machine


def residuals(timings: Sequence[Timing], machine: Machine) -> list[Residual]:
    """The estimate of each measured time."""
    return [
        Residual(timing, kind_of(timing.instruction), float(seconds))
        for timing, seconds in zip(timings, predicted(timings, machine), strict=True)
    ]


def predicted(timings: Iterable[Timing], machine: Machine) -> np.ndarray:
    """Estimated seconds of each instruction."""
    costs = Costs(machine, 1)
    return np.array([costs.of(timing.instruction).busy for timing in timings])


def kind_of(instruction: Instruction) -> str:
    """One of ``KINDS``."""
    if instruction.weight is None:
        return instruction.opcode.name
    if instruction.a.dtype is DataType.int16:
        return WIDE
    return OF_LAYOUT[instruction.weight_layout]


def _fitted_by_kind(
    machine: Machine, by_kind: Mapping[str, list[Timing]], by_unit: Mapping[str, list[Timing]]
) -> tuple[Machine, float]:
    """All numbers but ``SRAM`` fitted, each to the instructions that depend on it; the loss."""
    total = 0.0
    for name, kind in ARRAYS.items():
        machine, loss = _fitted(machine, _array_keys(name), by_kind[kind])
        total += loss
    machine, loss = _fitted(machine, ("tensor.int16_steps",), by_kind[WIDE])
    total += loss
    for unit in numbers.UNITS:
        keys = tuple(key for key in numbers.fitted_keys() if key.startswith(f"{unit}."))
        machine, loss = _fitted(machine, keys, by_unit[unit])
        total += loss
    return machine, total


def _array_keys(name: str) -> tuple[str, ...]:
    """The keys of an array's cycles. The startup is fitted with convolutions."""
    keys = (f"tensor.{name}.step_cycles", f"tensor.{name}.drain_cycles")
    return (*keys, "tensor.startup_cycles") if name == "conv" else keys


def _with_best_array(machine: Machine, name: str, timings: Sequence[Timing]) -> Machine:
    """The machine with the best sizes of an array and the best cycles for them.

    Pixels and outputs are tried in pairs: to halve one and double the other changes little.
    """
    keys = _array_keys(name)
    best, loss = _fitted(machine, keys, timings)
    for names in (("inputs",), ("pixels", "outputs")):
        for values in product(*(numbers.sizes_of(name, size) for size in names)):
            changed = _resized(best, name, dict(zip(names, values, strict=True)))
            found, value = _fitted(changed, keys, timings)
            if value < loss:
                best, loss = found, value
    return best


def _resized(machine: Machine, name: str, sizes: Mapping[str, int]) -> Machine:
    """The array with other sizes, and as fast as before on work that the sizes divide evenly."""
    old = numbers.array_of(machine, name)
    new = replace(old, **sizes)
    groups = new.pixels * new.outputs / (old.pixels * old.outputs)
    step = old.step_cycles * groups * new.inputs / old.inputs
    resized = replace(new, step_cycles=step, drain_cycles=old.drain_cycles * groups)
    return numbers.with_array(machine, name, resized)


def _fitted(
    machine: Machine, keys: Sequence[str], timings: Sequence[Timing]
) -> tuple[Machine, float]:
    """The machine with the best values of some numbers, and the loss."""
    seconds = np.array([timing.seconds for timing in timings])
    limits = np.array([numbers.limits(key) for key in keys])
    start = np.array([number(machine, key) for key in keys])

    def changed(values: np.ndarray) -> Machine:
        return numbers.with_numbers(machine, dict(zip(keys, map(float, values), strict=True)))

    values, loss = fit(
        lambda values: predicted(timings, changed(values)),
        start,
        limits,
        seconds,
        seconds / (seconds + SHORT),
    )
    return changed(values), loss
