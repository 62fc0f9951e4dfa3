"""The result of a check as plain values, for JSON."""

from __future__ import annotations

from typing import Any

from horizon.compiler.check.findings import SLOW, SUPPORTED, UNSUPPORTED, Check, counts
from horizon.compiler.check.problem import Problem


def as_json(check: Check) -> dict[str, Any]:
    """Times in seconds, sizes in bytes; ``docs/checker.md`` names the fields."""
    found = counts(check)
    nearest = check.nearest_limit
    return {
        "machine": check.machine.name,
        "title": check.machine.title,
        "opt": check.opt,
        "size": list(check.size),
        "fits": check.fits,
        "totals": {
            "ops": len(check.ops),
            "supported": found[SUPPORTED] + found[SLOW],
            "slow": found[SLOW],
            "not_supported": found[UNSUPPORTED],
            "macs": sum(op.macs for op in check.ops),
            "loaded_stored": sum(op.loaded_stored for op in check.ops),
            "seconds": check.seconds,
        },
        "nearest_map_limit": None
        if nearest is None
        else {
            "layer": nearest.layer,
            "limit": nearest.name,
            "value": nearest.value,
            "maximum": nearest.limit,
        },
        "problems": [_problem(problem) for problem in check.problems],
        "ops": [
            {
                "name": op.name,
                "op": op.op,
                "inputs": list(op.inputs),
                "output": op.output,
                "verdict": op.verdict,
                "problems": [_problem(problem) for problem in op.problems],
                "note": op.note,
                "macs": op.macs,
                "seconds": op.seconds,
                "bounded_by": op.bounded_by,
                "utilisation": op.utilisation,
                "loaded_stored": op.loaded_stored,
            }
            for op in check.ops
        ],
        "advice": [
            {
                "kind": one.kind,
                "layers": list(one.layers),
                "found": one.found,
                "change": one.change,
                "gain_seconds": one.gain,
                "gain_share": one.gain / check.seconds,
            }
            for one in check.advice
        ],
    }


def _problem(problem: Problem) -> dict[str, str]:
    return {
        "layer": problem.layer,
        "kind": problem.kind,
        "found": problem.found,
        "remedy": problem.remedy,
    }
