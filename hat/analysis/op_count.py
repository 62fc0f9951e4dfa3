"""Parameters and multiply-accumulate operations (MACs), per layer and in total.

What counts as MACs:

- convolution, linear layer: output values x weights that make one of them;
- transposed convolution: input values x weights that each of them meets;
- correlation: output values x channels;
- warp: four, the taps of bilinear interpolation, per output value.

Biases, activations, additions, concatenations and scalings are no MACs. Batch normalisation is
none either: it is folded into the convolution before it, and its parameters are listed there.
A layer that runs twice counts twice; parameters that several layers share count once, with the
first of these.

The number that publications give is that of the convolutions, transposed ones included, and of
linear layers; correlation and warp are totalled apart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from hat.errors import InputError
from hat.models.tasks import NetworkTask
from horizon.hbir.products import phases
from horizon.nn import Correlation, GridSample

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
COUNTED = (*CONVOLUTIONS, nn.Linear)


@dataclass
class LayerCount:
    """One layer: its place in the model, what it does, and what it costs for the whole batch."""

    name: str
    operation: str
    parameters: int
    macs: int = 0
    output: tuple[int, ...] = ()
    in_total: bool = False


@dataclass(frozen=True)
class OpCount:
    """The layers in order of execution; layers that did not run come last, with an empty output."""

    inputs: dict[str, tuple[int, ...]]
    layers: list[LayerCount] = field(default_factory=list)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the first input."""
        return next(iter(self.inputs.values()))

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """MACs of the convolutions and linear layers."""
        return sum(layer.macs for layer in self.layers if layer.in_total)

    @property
    def other_macs(self) -> int:
        """MACs of correlation and warp."""
        return sum(layer.macs for layer in self.layers if not layer.in_total)


def count_ops(model: nn.Module, inputs: Sequence[int] | Mapping[str, Sequence[int]]) -> OpCount:
    """Count a task's layers in one evaluation.

    Args:
        model: on the CPU; it is put into evaluation mode and otherwise left alone.
        inputs: shapes of a batch's entries by name; a shape alone, (N, 6, H, W), is that of "img".

    Raises:
        InputError: the model cannot evaluate an input of this shape.
    """
    given = inputs if isinstance(inputs, Mapping) else {"img": inputs}
    shapes = {name: tuple(shape) for name, shape in given.items()}
    network = model.network if isinstance(model, NetworkTask) else model
    counts: dict[nn.Module, LayerCount] = {}
    order: list[nn.Module] = []
    handles = []
    counted: set[int] = set()
    for name, module in network.named_modules():
        own = list(module.parameters(recurse=False))
        # Tied parameters are those of the layer that has them first.
        new = {
            id(parameter): parameter.numel() for parameter in own if id(parameter) not in counted
        }
        counted |= new.keys()
        parameters = sum(new.values())
        if own or isinstance(module, Correlation | GridSample):
            counts[module] = LayerCount(
                name, describe(module), parameters, in_total=isinstance(module, COUNTED)
            )
            handles.append(module.register_forward_hook(recorder(counts[module], order)))
    model.eval()
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    said, logger.disabled = logger.disabled, True  # what fails is told once, below
    try:
        # Fake tensors know shapes but hold and compute no values: any size is quick.
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            model({name: torch.empty(shape) for name, shape in shapes.items()})
    except (RuntimeError, ValueError) as error:
        shape = ", ".join("x".join(map(str, shape)) for shape in shapes.values())
        reason = str(error).splitlines()[0]
        expected = (
            "what its network takes (deploy_inputs)"
            if isinstance(model, NetworkTask)
            else "batch x 6 channels x height x width"
        )
        raise InputError(
            f"the model cannot evaluate an input of {shape}: {reason}; expected {expected}"
        ) from error
    finally:
        logger.disabled = said
        for handle in handles:
            handle.remove()
    order += [module for module in counts if module not in order]
    return OpCount(shapes, fold([(module, counts[module]) for module in order]))


def recorder(layer: LayerCount, order: list[nn.Module]) -> Callable[..., None]:
    """A forward hook that adds a call to ``layer``."""

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if module not in order:
            order.append(module)
        if isinstance(output, Tensor):
            layer.output = tuple(output.shape)
            layer.macs += macs_of(module, inputs, output)

    return hook


def macs_of(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> int:
    """MACs of one call."""
    if isinstance(module, nn.ConvTranspose2d):  # weight: (in, out / groups, kh, kw)
        layer: Any = module
        places = phases(output.shape[-2:], layer.kernel_size, layer.stride, layer.padding, True)
        channels = output.shape[0] * layer.weight.shape[0] * layer.weight.shape[1]
        return int(channels * sum(rows * columns * taps for rows, columns, taps in places))
    if isinstance(module, nn.Conv2d | nn.Linear):  # weight: (out, in / groups, kh, kw)
        return output.numel() * module.weight[0].numel()
    if isinstance(module, Correlation):
        return int(output.numel() * inputs[0].shape[1])
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
    if isinstance(module, nn.Linear):
        return "linear"
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
            and before.in_total
            and before.name.rpartition(".")[0] == parent
            and before.output == layer.output
        ):
            before.parameters += layer.parameters
            before.operation += " + BN"
        else:
            rows.append(layer)
    return rows
