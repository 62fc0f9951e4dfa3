"""The compiler: from the program graph to a program for one machine (``docs/compiler.md``)."""

from __future__ import annotations

from horizon.compiler.compile import Compiled, compile_program

__all__ = ["Compiled", "compile_program"]
