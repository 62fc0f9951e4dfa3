"""The performance of a program on a machine, estimated: ``docs/performance.md``."""

from __future__ import annotations

from horizon.perf.estimate import Estimate, LayerEstimate, Timed, estimate
from horizon.perf.page import html_page
from horizon.perf.record import as_json

__all__ = ["Estimate", "LayerEstimate", "Timed", "as_json", "estimate", "html_page"]
