"""The model checker: which ops of a program a machine can run, and what would make it faster.

``check_graph`` answers op by op. The compiler calls ``refuse_unsupported``.
"""

from __future__ import annotations

from horizon.compiler.check.advice import KINDS, Advice
from horizon.compiler.check.findings import (
    SLOW,
    SUPPORTED,
    UNSUPPORTED,
    Check,
    OpFinding,
    check_graph,
    counts,
)
from horizon.compiler.check.problem import Problem
from horizon.compiler.check.record import as_json

__all__ = [
    "KINDS",
    "SLOW",
    "SUPPORTED",
    "UNSUPPORTED",
    "Advice",
    "Check",
    "OpFinding",
    "Problem",
    "as_json",
    "check_graph",
    "counts",
]
