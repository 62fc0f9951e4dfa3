"""Parameters and multiply-accumulate operations (MACs), per layer and in total.

What counts as MACs:

- convolution: output values x weights that make one of them;
- transposed convolution: input values x weights that each of them meets;
- correlation: output values x channels;
- warp: four, the taps of bilinear interpolation, per output value.

Biases, activations, additions, concatenations and scalings are no MACs. Batch normalisation is
none either: it is folded into the convolution before it, and its parameters are listed there.
A layer that runs twice counts twice; parameters that several layers share count once, with the
first of these.

The number that publications give is that of the convolutions, transposed ones included;
correlation and warp are totalled apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from hat.errors import InputError
from horizon.hbir.products import phases
from horizon.nn import Correlation, GridSample

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


@dataclass
class LayerCount:
    """One layer: its place in the model, what it does, and what it costs for the whole batch."""

    name: str
    operation: str
    parameters: int
    macs: int = 0
    output: tuple[int, ...] = ()
    is_convolution: bool = False


@dataclass(frozen=True)
class OpCount:
    """The layers in order of execution; layers that did not run come last, with an empty output."""

    input_shape: tuple[int, int, int, int]
    layers: list[LayerCount] = field(default_factory=list)

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """MACs of the convolutions."""
        return sum(layer.macs for layer in self.layers if layer.is_convolution)

    @property
    def other_macs(self) -> int:
        """MACs of correlation and warp."""
        return sum(layer.macs for layer in self.layers if not layer.is_convolution)


def count_ops(model: nn.Module, input_shape: tuple[int, int, int, int]) -> OpCount:
    """Count a task's layers in one evaluation of ``{"img": (N, 6, H, W)}``.

    The model is on the CPU; it is put into evaluation mode and otherwise left alone.

    Raises:
        InputError: the model cannot evaluate an input of this shape.
    """
    counts: dict[nn.Module, LayerCount] = {}
    order: list[nn.Module] = []
    handles = []
    counted: set[int] = set()
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        # Tied parameters are those of the layer that has them first.
        new = {
            id(parameter): parameter.numel() for parameter in own if id(parameter) not in counted
        }
        counted |= new.keys()
        parameters = sum(new.values())
        if own or isinstance(module, Correlation | GridSample):
            counts[module] = LayerCount(
                name, describe(module), parameters, is_convolution=isinstance(module, CONVOLUTIONS)
            )
            handles.append(module.register_forward_hook(recorder(counts[module], order)))
    model.eval()
    try:
        # Fake tensors know shapes but hold and compute no values: any size is quick.
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            model({"img": torch.empty(input_shape)})
    except (RuntimeError, ValueError) as error:
        shape = "x".join(map(str, input_shape))
        reason = str(error).splitlines()[0]
        raise InputError(
            f"the model cannot evaluate an input of {shape}: {reason}; expected "
            "batch x 6 channels x height x width"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    order += [module for module in counts if module not in order]
    return OpCount(input_shape, fold([(module, counts[module]) for module in order]))


def recorder(layer: LayerCount, order: list[nn.Module]) -> Callable[..., None]:
    """A forward hook that adds a call to ``layer``."""

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if module not in order:
            order.append(module)
        layer.output = tuple(output.shape)
        layer.macs += macs_of(module, inputs[0], output)

    return hook


def macs_of(module: nn.Module, first_input: Tensor, output: Tensor) -> int:
    """MACs of one call."""
    if isinstance(module, nn.ConvTranspose2d):  # weight: (in, out / groups, kh, kw)
        layer: Any = module
        places = phases(output.shape[-2:], layer.kernel_size, layer.stride, layer.padding, True)
        channels = output.shape[0] * layer.weight.shape[0] * layer.weight.shape[1]
        return int(channels * sum(rows * columns * taps for rows, columns, taps in places))
    if isinstance(module, nn.Conv2d):  # weight: (out, in / groups, kh, kw)
        return output.numel() * module.weight[0].numel()
    if isinstance(module, Correlation):
        return output.numel() * first_input.shape[1]
    if isinstance(module, GridSample):
        return output.numel() * 4
    return 0


def describe(module: nn.Module) -> str:
    """``3x3 conv, stride 2`` and the like."""
    if isinstance(module, CONVOLUTIONS):
        kind = "conv" if isinstance(module, nn.Conv2d) else "transposed conv"
        parts = [f"{'x'.join(map(str, module.kernel_size))} {kind}"]
        defaults = (("stride", 1), ("dilation", 1))
        for key, default in defaults:
            values = getattr(module, key)
            if set(values) != {default}:
                parts.append(f"{key} {'x'.join(map(str, dict.fromkeys(values)))}")
        if module.groups != 1:
            parts.append(f"groups {module.groups}")
        return ", ".join(parts)
    if isinstance(module, Correlation):
        return f"correlation, {module.out_channels} shifts"
    if isinstance(module, GridSample):
        return "warp"
    return type(module).__name__


def fold(layers: list[tuple[nn.Module, LayerCount]]) -> list[LayerCount]:
    """List a batch normalisation with the convolution that ran just before it beside it."""
    rows: list[LayerCount] = []
    for module, layer in layers:
        parent = layer.name.rpartition(".")[0]
        before = rows[-1] if rows else None
        if (
            isinstance(module, nn.BatchNorm2d)
            and before is not None
            and before.is_convolution
            and before.name.rpartition(".")[0] == parent
            and before.output == layer.output
        ):
            before.parameters += layer.parameters
            before.operation += " + BN"
        else:
            rows.append(layer)
    return rows
