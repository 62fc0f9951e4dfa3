"""The estimate as JSON, with the fields that existing scripts of this tool chain parse.

``docs/performance_report.md`` says what each field means, and which fields are this project's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from horizon.hbm.records import VERSION, Opcode
from horizon.perf.activity import (
    COMPUTE_UNITS,
    ddr_intervals,
    mac_intervals,
    running,
    unit_intervals,
    used_units,
)
from horizon.perf.cost import bandwidth
from horizon.perf.estimate import Estimate, LayerEstimate
from horizon.perf.left_out import LEFT_OUT
from horizon.perf.machine_numbers import peak_macs, provenance_counts
from horizon.perf.occupation import occupation

INTERVALS = 100
INSTRUCTION_TYPES = {
    "load": "LOAD",
    "store": "STORE",
    "tensor": "TAE",
    "vector": "VPU",
    "aux": "AAE",
    "transform": "TRANS",
}


def as_json(estimate: Estimate, *, details: bool = True) -> dict[str, Any]:
    """The performance record: ``summary`` and, unless turned off, ``details``.

    Args:
        details: whether to list every instruction, for each core.
    """
    result: dict[str, Any] = {
        "summary": {
            "performance": _performance(estimate),
            "DDR access data": _ddr_access(estimate),
            "interval info": _intervals(estimate),
            "layer details": _layers(estimate),
            "model info": _model(estimate),
            "estimate": _estimate(estimate),
        }
    }
    if details:
        # Each core works on a frame of its own, all at the same pace.
        result["details"] = [_instructions(estimate)] * estimate.cores
    return result


def _performance(estimate: Estimate) -> dict[str, Any]:
    latency = microseconds(estimate.latency)
    return {
        "FPS": significant(estimate.fps),
        "latency (us)": latency,
        "latency (ms)": round(estimate.latency * 1e3, 6),
        "latency (us) by segments": [latency],
    }


def _ddr_access(estimate: Estimate) -> dict[str, Any]:
    program = estimate.program
    memories = {
        "input memory": sum(tensor.nbytes for tensor in program.inputs),
        "output memory": sum(tensor.nbytes for tensor in program.outputs),
        "static memory": len(program.constants),
        "dynamic memory": program.ddr_bytes,
    }
    return {
        "DDR megabytes per run": round((estimate.loaded + estimate.stored) / 1e6, 6),
        "loaded bytes per run": estimate.loaded,
        "stored bytes per run": estimate.stored,
        "min memory requirement": sum(memories.values()),
        **memories,
    }


def _intervals(estimate: Estimate) -> dict[str, Any]:
    edges = np.linspace(0, estimate.latency, INTERVALS + 1)
    length = estimate.latency / INTERVALS
    units = {unit: unit_intervals(estimate, unit, edges) for unit in used_units(estimate)}
    none = np.zeros(INTERVALS)
    peak = peak_macs(estimate.machine)

    def rates(values: np.ndarray, unit: float, digits: int) -> list[float]:
        return [round(float(value), digits) for value in values / (length * unit)]

    return {
        "interval number": INTERVALS,
        "interval time (ms)": significant(length * 1e3),
        "interval computing unit utilization": rates(units.get("tensor", none), 1, 4),
        "interval ddr loading bandwidth (megabytes/s)": rates(
            ddr_intervals(estimate, Opcode.load, edges), 1e6, 3
        ),
        "interval ddr storing bandwidth (megabytes/s)": rates(
            ddr_intervals(estimate, Opcode.store, edges), 1e6, 3
        ),
        "interval MAC utilization": rates(mac_intervals(estimate, edges), peak, 4)
        if peak
        else none.tolist(),
        "interval utilization by unit": {
            INSTRUCTION_TYPES[unit]: rates(values, 1, 4) for unit, values in units.items()
        },
    }


def _layers(estimate: Estimate) -> list[dict[str, Any]]:
    return [
        {
            "layer name": layer.name,
            "active period of time": [microseconds(layer.start), microseconds(layer.end)],
            "computing cost (no DDR)": microseconds(
                sum(layer.busy.get(unit, 0.0) for unit in COMPUTE_UNITS)
            ),
            "load cost": microseconds(layer.busy.get("load", 0.0)),
            "store cost": microseconds(layer.busy.get("store", 0.0)),
            "origin ops": origin_ops(layer),
            "running time (us)": microseconds(seconds),
            "MACs": layer.macs,
            "loaded bytes": layer.loaded,
            "stored bytes": layer.stored,
            "bound (us)": microseconds(layer.bound),
            "bounded by": layer.bounded_by,
            "utilization": round(layer.utilisation, 6),
        }
        for layer, seconds in zip(estimate.layers, running(estimate), strict=True)
    ]


def origin_ops(layer: LayerEstimate) -> list[str]:
    """The opcodes of what the layer computes; transfers only if the layer computes nothing."""
    computing = [name for name in layer.opcodes if name not in ("load", "store")]
    return computing or list(layer.opcodes)


def _model(estimate: Estimate) -> dict[str, Any]:
    program = estimate.program
    pairs = zip(program.instructions, estimate.instructions, strict=True)
    macs = sum(timed.macs for instruction, timed in pairs if instruction.weight is not None)
    return {
        "BPU march": program.march,
        "BPU core number": estimate.cores,
        "version": f"hbm {VERSION}, compiler {program.metadata.get('compiler', 'unknown')}",
        "compiling options": f"--march {program.march} --opt O{program.opt} --input-type "
        + ",".join(tensor.dtype.name for tensor in program.inputs),
        "original conv ops": 2 * macs,
        "model name": program.name,
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    """The fields of this project's own."""
    machine = estimate.machine
    live = occupation(estimate)
    return {
        "machine": machine.name,
        "MACs": estimate.macs,
        "MAC utilization": round(mac_utilisation(estimate), 6),
        "bound (us)": microseconds(estimate.bound),
        "busy (us) by unit": {
            INSTRUCTION_TYPES[unit]: microseconds(estimate.busy.get(unit, 0.0))
            for unit in used_units(estimate)
        },
        "peak MACs per second": significant(peak_macs(machine)),
        "DDR bytes per second": significant(bandwidth(machine, estimate.cores)),
        "SRAM bytes": estimate.program.sram_bytes,
        "SRAM live bytes peak": live["sram"].peak,
        "DDR live bytes peak": live["ddr"].peak,
        "machine numbers": provenance_counts(machine),
        "left out": [f"{what}: {text}" for what, text in LEFT_OUT],
    }


def mac_utilisation(estimate: Estimate) -> float:
    """Multiply-accumulates of the run as a share of what the fastest array could do meanwhile."""
    peak = peak_macs(estimate.machine)
    return estimate.macs / (peak * estimate.latency) if peak else 0.0


def _instructions(estimate: Estimate) -> list[dict[str, Any]]:
    return [
        {
            "inst_type": INSTRUCTION_TYPES[instruction.unit.name],
            "source_layer_names": [instruction.layer],
            "start_time (us)": microseconds(timed.start),
            "working_time (us)": microseconds(timed.end - timed.start),
        }
        for instruction, timed in zip(
            estimate.program.instructions, estimate.instructions, strict=True
        )
    ]


def microseconds(seconds: float) -> float:
    """Microseconds, rounded to a picosecond, which is below any clock's cycle."""
    return round(seconds * 1e6, 6)


def significant(value: float) -> float:
    return float(f"{value:.9g}")
