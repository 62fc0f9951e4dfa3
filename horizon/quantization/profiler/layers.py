"""What the profiler calls a layer, and how it looks at every layer's inputs and output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.quantization.calls import at_use
from horizon.quantization.layers.converted import QuantizedLayer
from horizon.quantization.qtensor import DTYPES, QTensor

LIBRARIES = ("torch.nn.", "horizon.")
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Call:
    """One call of a layer: ``key`` is its name, with a number if it is called again.

    ``use`` is the ordinal of the call in the run, from 0.
    """

    key: str
    name: str
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any
    use: int = 0


@dataclass(frozen=True)
class Value:
    """An output in real numbers (float64) and, if it is quantised, its step and bits.

    ``step`` has a shape that broadcasts to that of ``real``.
    """

    real: Tensor
    step: Tensor | None = None
    bits: int | None = None

    @property
    def integers(self) -> Tensor:
        """The integers (float64) of a quantised value."""
        assert self.step is not None
        return torch.round(self.real / self.step)


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    """The layers of ``model`` by name.

    A layer is a module of torch's or of this library that is no mere container, or any module
    without children. What lies below a layer (its observers, say) and identities, which fusing
    leaves behind, are none.
    """
    found: dict[str, nn.Module] = {}
    seen: set[nn.Module] = set()

    def walk(module: nn.Module, prefix: str) -> None:
        for name, child in module.named_children():
            if child in seen:  # a layer or a block in a second place
                continue
            seen.add(child)
            path = f"{prefix}{name}"
            library = type(child).__module__.startswith(LIBRARIES)
            if isinstance(child, nn.Identity):
                continue
            # nn.Module itself is what torch.fx puts in the place of a container
            container = isinstance(child, CONTAINERS) or type(child) is nn.Module
            if not container and (library or not any(child.children())):
                found[path] = child
            else:
                walk(child, f"{path}.")

    walk(model, "")
    return found


@contextmanager
def watched(model: nn.Module, callback: Callable[[Call], None]) -> Iterator[None]:
    """Within the block, ``callback`` gets every call of a layer, in the order of execution.

    One block is for one run of the model: calls are counted from its beginning.
    """
    calls: Counter[str] = Counter()

    def hook_of(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
            calls[name] += 1
            key = name if calls[name] == 1 else f"{name} (call {calls[name]})"
            callback(Call(key, name, module, args, kwargs, output, calls[name] - 1))

        return hook

    handles = [
        layer.register_forward_hook(hook_of(name), with_kwargs=True)
        for name, layer in layers_of(model).items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def value_of(output: Any, name: str) -> Value | None:
    """The output of layer ``name``; None if it is no single tensor.

    Raises:
        InputError: values that are not finite.
    """
    if isinstance(output, QTensor) and output.scale is not None:
        step = along_channels(output.scale.double(), output.values.dim())
        return Value(output.values.double() * step, step, output.bits)
    if isinstance(output, QTensor):
        output = output.values
    if not isinstance(output, Tensor):
        return None
    bad = int((~torch.isfinite(output)).sum())
    if bad:
        raise InputError(
            f"layer {name}: {bad} of {output.numel()} values are NaN or infinite; its weights or "
            "those of a layer before it are damaged: use another checkpoint"
        )
    return Value(output.detach().double())


def along_channels(values: Tensor, dimensions: int) -> Tensor:
    """() or (C,) in a shape that broadcasts to (N, C, ...) of so many dimensions."""
    return values.reshape(1, -1, *[1] * (dimensions - 2)) if values.dim() else values


def run(model: nn.Module, batch: Any) -> Any:
    """The outputs of ``model`` in evaluation mode, without gradients."""
    model.eval()
    with torch.no_grad():
        return model(batch)


def inputs_for(layer: nn.Module, value: Any) -> Any:
    """Arguments that a layer of one stage got, as the same layer of another stage takes them.

    Quantised tensors become real numbers for a float layer, and the same integers in the type
    that holds them there for a prepared or a converted one.
    """
    if isinstance(value, list | tuple):
        return type(value)(inputs_for(layer, item) for item in value)
    if isinstance(value, Mapping):
        return {key: inputs_for(layer, item) for key, item in value.items()}
    if not isinstance(value, QTensor):
        return value
    if isinstance(layer, QuantizedLayer):
        values = value.values.to(DTYPES[value.bits])
    elif is_prepared(layer):
        values = value.values.float()
    else:
        return value.dequantize()
    return QTensor(values, value.scale, value.bits)


def is_prepared(module: nn.Module) -> bool:
    """Whether prepare_calibration or prepare_qat made this layer."""
    return hasattr(module, "fake_quant_state")


def call_layer(
    layer: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], use: int = 0
) -> Any:
    """Call a layer's use with the arguments that another stage's layer of its name got."""
    uses = getattr(layer, "uses", None) or 1
    with at_use(use if use < uses else 0):
        if args and isinstance(args[0], str):
            # FloatFunctional and what it becomes: the method fills in what it alone needs.
            return getattr(layer, args[0])(*args[1:], **kwargs)
        return layer(*args, **kwargs)
