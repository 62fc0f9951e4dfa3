"""An example of what a network takes, and how it is handed over."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn


def call_with(model: nn.Module, example: Any) -> Any:
    """The output of ``model`` for an example; see :func:`arguments_of`."""
    return model(*arguments_of(model, example))


def arguments_of(model: nn.Module, example: Any) -> tuple[Any, ...]:
    """The arguments of ``forward`` for an example.

    Args:
        example: what ``forward`` takes; a tuple is handed over as that many arguments where
            ``forward`` takes so many, as in ``torch.onnx.export``.
    """
    return example if type(example) is tuple and _takes(model, example) else (example,)


def _takes(model: nn.Module, arguments: tuple[Any, ...]) -> bool:
    try:
        inspect.signature(model.forward).bind(*arguments)
    except TypeError:
        return False
    return True
