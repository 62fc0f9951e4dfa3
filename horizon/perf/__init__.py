"""The performance of a program on a machine, estimated: ``docs/performance.md``."""

from __future__ import annotations

from horizon.perf.estimate import Estimate, LayerEstimate, Timed, estimate

__all__ = ["Estimate", "LayerEstimate", "Timed", "estimate"]
