"""Operations on two tensors: differences, extrema, sums and products of which one is repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.nn import DeQuantStub, FloatFunctional, QuantStub
from horizon.quantization import get_default_qat_qconfig, prepare_calibration
from tests.horizon.quantization.everywhere import program_of
from tests.horizon.quantization.executors import check_exports

Operation = Callable[[Tensor, Tensor], Tensor]
OPERATIONS: dict[str, Operation] = {
    "sub": lambda x, y: x - y,
    "torch.sub": torch.sub,
    "rsub": lambda x, y: torch.rsub(x, y),
    "in place": lambda x, y: x.sub_(y),
    "maximum": torch.maximum,
    "max": torch.max,
    "minimum": torch.minimum,
    "method": lambda x, y: x.min(y),
    "relu of a difference": lambda x, y: functional.relu(x - y),
    "distance": lambda x, y: torch.maximum(x, y) - torch.minimum(x, y),
}
REPEATED: dict[str, Callable[[Tensor], Tensor]] = {
    "one pixel": lambda y: functional.adaptive_avg_pool2d(y, 1),
    "one channel": lambda y: y[:, :1],
    "one row": lambda y: y.mean(2, keepdim=True),
    "one column of a channel": lambda y: y[:, 1:2, :, 2:3],
}


class Two(nn.Module):
    """An operation between two convolutions of different scales."""

    def __init__(self, operation: Operation, channels: int = 8) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(2, channels, 3, padding=1), nn.Conv2d(2, channels, 1)
        self.operation = operation
        self.after = nn.Conv2d(channels, 3, 1)
        nn.init.uniform_(self.right.weight, -3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.operation(self.left(x), self.right(x)))


@pytest.mark.parametrize("name", OPERATIONS)
def test_integers_are_the_same_everywhere_and_near_the_real_numbers(
    name: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module, example = Two(OPERATIONS[name]).eval(), torch.randn(2, 2, 5, 7)
    graph = program_of(module, example)
    check_exports(graph, tmp_path)


@pytest.mark.parametrize("channels", [1, 3, 31, 33])
@pytest.mark.parametrize("name", ["sub", "maximum", "minimum"])
def test_few_and_odd_channels_in_maps_of_one_row(name: str, channels: int) -> None:
    torch.manual_seed(1)
    program_of(Two(OPERATIONS[name], channels), torch.randn(1, 2, 1, 6))


@pytest.mark.parametrize("part", REPEATED)
@pytest.mark.parametrize("name", ["add", "sub", "rsub", "maximum", "mul"])
def test_one_of_them_is_repeated(name: str, part: str) -> None:
    torch.manual_seed(2)
    operations = OPERATIONS | {"add": lambda x, y: x + y, "mul": lambda x, y: x * y}
    operation = operations[name]
    program_of(Two(lambda x, y: operation(x, REPEATED[part](y))), torch.randn(2, 2, 4, 6))


def test_both_are_repeated() -> None:
    torch.manual_seed(3)
    module = Two(lambda x, y: x.mean(3, keepdim=True) - y.mean(2, keepdim=True))
    program_of(module, torch.randn(2, 2, 4, 6))


class Stubs(nn.Module):
    """With stubs and layers for the operations, as older networks are written."""

    def __init__(self, **qconfig: Any) -> None:
        super().__init__()
        self.quant, self.dequant = QuantStub(), DeQuantStub()
        self.a, self.b = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, 3, padding=1)
        self.sub, self.larger, self.smaller = (FloatFunctional() for _ in range(3))
        self.qconfig = get_default_qat_qconfig(**qconfig)

    def forward(self, x: Tensor) -> Tensor:
        x = self.quant(x)
        x, y = self.a(x), self.b(x)
        larger, smaller = self.larger.maximum(x, y), self.smaller.minimum(x, y)
        return self.dequant(self.sub.sub(larger, smaller) + functional.relu(x - y))


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_layers_for_these_operations_and_int16(dtype: str, tmp_path: Path) -> None:
    torch.manual_seed(4)
    graph = program_of(Stubs(dtype=dtype), torch.randn(2, 2, 5, 7))
    check_exports(graph, tmp_path)


def test_shapes_that_do_not_fit_are_refused() -> None:
    module = Two(lambda x, y: x - y)
    module.right = nn.Conv2d(2, 8, 1, stride=2)
    module.operation = lambda x, y: x[:, :, :2] - y
    example = torch.randn(1, 2, 4, 6)
    with pytest.raises(RuntimeError, match="size of tensor"):
        prepare_calibration(module.eval(), example, quiet=True)
    module.operation = lambda x, y: torch.sub(x, x, alpha=2)
    with pytest.raises(InputError, match="alpha=2"):
        prepare_calibration(module.eval(), example, quiet=True)
