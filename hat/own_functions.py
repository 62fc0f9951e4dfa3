"""What a config's own functions, a loss or a metric, refuse: told in a sentence with its place."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import OutOfMemoryError, Tensor
from torch.utils._pytree import tree_leaves

MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a function raises whose arguments are not those that it was written for."""
LIBRARIES = (
    Path(__file__).parent,
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")),
)
"""Folders of code that is not the user's."""


def refusal(what: str, outputs: Any, targets: Any, names: Iterable[str], error: Exception) -> str:
    """That a function refuses a network's outputs and the targets, why, and in which line.

    Args:
        what: names the function.
        names: of the targets.
        error: one of MISTAKES, as it was caught.

    Raises:
        OutOfMemoryError: ``error`` is one, which is no mistake of the function.
    """
    return (
        f"{what} refuses the network's outputs ({shapes(outputs)}) and the targets "
        f"({shapes(targets)}): {reason(error)}; it is called with "
        f"({', '.join(['outputs', *names])})"
    )


def reason(error: Exception) -> str:
    """The first line of an error with its kind, and the line of the user's file behind it."""
    if isinstance(error, OutOfMemoryError):
        raise error
    lines = str(error).splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    places = [
        f" ({Path(frame.filename).name}:{frame.lineno})"
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(Path(frame.filename).is_relative_to(folder) for folder in LIBRARIES)
    ]
    return text + "".join(places[-1:])


def shapes(values: Any) -> str:
    """Types and shapes of all tensors in nested lists and dicts."""
    tensors = [x for x in tree_leaves(values) if isinstance(x, Tensor)]
    return ", ".join(f"{x.dtype} {tuple(x.shape)}" for x in tensors) or "no tensor"
