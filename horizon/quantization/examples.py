"""An example of what a network takes, and how it is handed over."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn


def call_with(model: nn.Module, example: Any) -> Any:
    """The output of ``model`` for an example.

    Args:
        example: what ``forward`` takes; a tuple is handed over as that many arguments where
            ``forward`` takes so many, as in ``torch.onnx.export``.
    """
    if type(example) is tuple and _takes(model, example):
        return model(*example)
    return model(example)


def _takes(model: nn.Module, arguments: tuple[Any, ...]) -> bool:
    try:
        inspect.signature(model.forward).bind(*arguments)
    except TypeError:
        return False
    return True
