"""Programs of integer operators: their form, their checks and their reference executor.

``graph`` has the program, ``ops`` its operators, ``fixed_point`` the arithmetic that all executors
share, ``reference`` the executor that all others are compared with.
"""

from __future__ import annotations

from horizon.hbir.graph import Graph, Node, TensorInfo, resized, verify
from horizon.hbir.reference import run

__all__ = ["Graph", "Node", "TensorInfo", "resized", "run", "verify"]
