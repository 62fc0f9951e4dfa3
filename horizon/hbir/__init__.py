"""Programs of integer operators: their form, their checks and their reference executor.

``graph`` has the program, ``operators`` what its nodes are, ``fixed_point`` the arithmetic that all
executors share, ``reference`` the executor that all others are compared with, ``text`` the readable
form.
"""

from __future__ import annotations

from horizon.hbir.graph import Graph, resized, verify
from horizon.hbir.node import Node, TensorInfo
from horizon.hbir.reference import run
from horizon.hbir.text import constants, parse_text, to_text

__all__ = [
    "Graph",
    "Node",
    "TensorInfo",
    "constants",
    "parse_text",
    "resized",
    "run",
    "to_text",
    "verify",
]
