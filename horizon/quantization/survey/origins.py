"""Where the plain tensors of a network come from: its input, constants, or a DeQuantStub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

CONSTANT, INPUT, DEQUANTISED = "constant", "input", "dequantised"
ORDER = (None, CONSTANT, INPUT, DEQUANTISED)
MARK = "_horizon_origin"


class Origins(TorchFunctionMode):
    """Within the block, the results of torch's functions get the origin of their arguments.

    If arguments have several origins, the last of them in ``ORDER`` counts. Tensors that other code
    than torch's functions makes have no origin.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        attributes = (vars(module).values() for module in model.modules())
        plain = (x for values in attributes for x in values if isinstance(x, Tensor))
        self._constants = {id(x) for x in (*model.parameters(), *model.buffers(), *plain)}

    def of(self, x: Any) -> str | None:
        if not isinstance(x, Tensor):
            return None
        return CONSTANT if id(x) in self._constants else getattr(x, MARK, None)

    def is_constant(self, x: Any) -> bool:
        return self.of(x) == CONSTANT

    def mark_input(self, x: Any) -> Any:
        return self._mark(x, INPUT)

    def mark_dequantised(self, x: Any) -> Any:
        return self._mark(x, DEQUANTISED)

    def _mark(self, x: Any, origin: str | None) -> Any:
        if isinstance(x, Tensor) and origin is not None and id(x) not in self._constants:
            setattr(x, MARK, origin)
        return x

    def __torch_function__(
        self, function: Callable, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        made = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        name = getattr(function, "__name__", "")
        changes = (name.endswith("_") and not name.startswith("__")) or name == "__setitem__"
        if made or changes:
            origins = [self.of(x) for x in given] or [CONSTANT]
            origin = max(origins, key=ORDER.index)
            for x in (*made, *(given[:1] if changes else ())):
                self._mark(x, origin)
        return result
