"""Read a machine from its description, a TOML file; ``docs/march.md`` says how to write one.

The descriptions of the shipped machines are beside this file.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

from horizon.errors import InputError
from horizon.march.limits import INPUT_TYPES, LIMITS, TYPES, UNIT_OF_OPERATOR
from horizon.march.machine import NEEDED_UNITS, UNITS, Array, Machine, SimpleUnit, TensorUnit
from horizon.march.table import Table

FOLDER = Path(__file__).parent
# Program files place constants and memories at multiples of this.
SMALLEST_ALIGNMENT = 64
# A machine's name names a folder. A report lists the instructions of every core.
LONGEST_NAME, MOST_CORES = 64, 256
NAME = (
    "one word of letters, digits, '_', '-' and '.' that begins with none of '-.' and has at most "
    f"{LONGEST_NAME} of them"
)
Limits = dict[str, dict[str, int | tuple[str, ...]]]


def available() -> tuple[str, ...]:
    """Names of the shipped machines."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def is_name(text: str) -> bool:
    """Whether ``text`` is a valid name of a machine; ``NAME`` describes valid names in words."""
    return re.fullmatch(r"\w[\w.-]*", text) is not None and len(text) <= LONGEST_NAME


def load(name_or_path: str | os.PathLike[str]) -> Machine:
    """A shipped machine, by its name, or the machine of a file, by its path (``*.toml``).

    Raises:
        InputError: an unknown name; a file that cannot be read or is not TOML; a key that is
            unknown, missing, of another type, out of range or in contradiction to another one.
    """
    text = os.fspath(name_or_path)
    if text in available():
        path = FOLDER / f"{text}.toml"
    elif text.endswith(".toml"):
        path = Path(text).expanduser()
    else:
        raise InputError(
            f"machine {text!r} is unknown; expected one of {', '.join(available())}, "
            "or the path of a description, which ends in .toml"
        )
    try:
        values = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot read it: {reason}; expected a description") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {error}; expected a TOML file in UTF-8") from error
    return _machine(Table(values, str(path)))


def _machine(top: Table) -> Machine:
    name, title = top.text("name"), top.text("title")
    if not is_name(name):
        top.fail("name", f"{name!r}", NAME)
    units = _units(top)
    cores, workers = top.count("cores", MOST_CORES), top.count("workers")
    sequential, clock_hz = top.flag("sequential"), top.quantity("clock_hz")
    memory = top.table("memory")
    machine = Machine(
        name=name,
        title=title,
        cores=cores,
        workers=workers,
        sequential=sequential,
        clock_hz=clock_hz,
        units=units,
        sram_bytes=memory.count("sram_bytes"),
        alignment=memory.count("alignment"),
        constants_in_place=memory.flag("constants_in_place"),
        sram_bytes_per_cycle=memory.quantity("sram_bytes_per_cycle"),
        ddr_bytes_per_second=memory.quantity("ddr_bytes_per_second"),
        ddr_efficiency=memory.quantity("ddr_efficiency", largest=1),
        burst_bytes=memory.count("burst_bytes"),
        tensor=_tensor(top) if "tensor" in units else None,
        simple={unit: _simple(top.table(unit)) for unit in units if unit != "tensor"},
        limits=_limits(top, units),
        sources=top.sources,
    )
    memory.finish()
    _check_memory(memory, machine)
    top.finish()
    return machine


def _units(top: Table) -> tuple[str, ...]:
    units = top.names("units", UNITS)
    for unit in NEEDED_UNITS:
        if unit not in units:
            top.fail("units", f"no {unit!r}", "it: without it no data enter or leave the machine")
    for unit in UNITS:
        if unit not in units and unit in top:
            top.fail(unit, "described", f"no such table, or {unit!r} among the units")
    return units


def _check_memory(memory: Table, machine: Machine) -> None:
    alignment, burst = machine.alignment, machine.burst_bytes
    if alignment < SMALLEST_ALIGNMENT or alignment & (alignment - 1):
        expected = f"a power of two of at least {SMALLEST_ALIGNMENT}"
        memory.fail("alignment", f"{alignment}", expected)
    if burst & (burst - 1):
        memory.fail("burst_bytes", f"{burst}", "a power of two")
    if machine.sram_bytes % alignment:
        found = f"{machine.sram_bytes}, with alignment {alignment}"
        memory.fail("sram_bytes", found, "a multiple of the alignment; change one of the two")


def _tensor(top: Table) -> TensorUnit:
    table = top.table("tensor")
    steps = table.quantity("int16_steps")
    if steps < 1:
        table.fail("int16_steps", f"{steps:g}", "1 or more: int16 is no quicker than int8")
    unit = TensorUnit(
        table.quantity("startup_cycles", zero=True),
        steps,
        _array(table.table("conv")),
        _array(table.table("narrow")),
        _array(table.table("correlation")),
        _depthwise(table),
    )
    table.finish()
    return unit


def _depthwise(tensor: Table) -> Array | None:
    table = tensor.optional_table("depthwise")
    if table is None:
        return None
    array = _array(table)
    if array.inputs != 1:
        table.fail("inputs", f"{array.inputs}", "1: an output of a depthwise convolution reads one")
    return array


def _array(table: Table) -> Array:
    array = Array(
        table.count("pixels"),
        table.count("inputs"),
        table.count("outputs"),
        table.quantity("step_cycles"),
        table.quantity("drain_cycles", zero=True),
    )
    table.finish()
    return array


def _simple(table: Table) -> SimpleUnit:
    unit = SimpleUnit(
        table.quantity("startup_cycles", zero=True),
        table.quantity("pixel_cycles", zero=True),
        table.quantity("bytes_per_cycle"),
    )
    table.finish()
    return unit


def _limits(top: Table, units: tuple[str, ...]) -> Limits:
    limits: Limits = {}
    tables = top.optional_table("limits")
    if tables is None:
        return limits
    for op, names in LIMITS.items():
        table = tables.optional_table(op)
        if table is None:
            continue
        unit = UNIT_OF_OPERATOR.get(op)
        if unit is not None and unit not in units:
            tables.fail(op, "limited", f"no such table, or {unit!r} among the units")
        limits[op] = {name: table.count(name) for name in names if table.has(name)}
        if table.has(INPUT_TYPES):
            limits[op][INPUT_TYPES] = _types(table)
        _check_limits(table, limits[op])
        table.finish()
    tables.finish()
    return limits


def _types(table: Table) -> tuple[str, ...]:
    types = table.names(INPUT_TYPES, TYPES)
    if not types:
        table.fail(INPUT_TYPES, "empty", "at least one type; without the unit the operator is out")
    return types


def _check_limits(table: Table, limits: dict[str, int | tuple[str, ...]]) -> None:
    """Refuse limits that contradict each other; they are mistakes in the file."""
    height, width, pixels = (limits.get(name) for name in ("height", "width", "pixels"))
    if isinstance(height, int) and isinstance(width, int) and isinstance(pixels, int):
        if pixels > height * width:
            table.fail("pixels", f"{pixels}", f"at most height x width, {height * width}")
        if pixels < max(height, width):
            expected = f"at least the larger of height and width, {max(height, width)}"
            table.fail("pixels", f"{pixels}", expected)
    weights, kernel = limits.get("weights_per_output"), limits.get("kernel")
    if isinstance(weights, int) and isinstance(kernel, int) and weights < kernel:
        table.fail("weights_per_output", f"{weights}", f"at least the kernel's {kernel}")
