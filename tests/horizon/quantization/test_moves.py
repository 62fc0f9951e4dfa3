"""Movement of elements: slices, paddings, shuffles, flips, reshapes that give a map again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import resized
from horizon.quantization import (
    IntegerModel,
    convert,
    finish_calibration,
    prepare_calibration,
    trace,
)
from horizon.quantization.qtensor import QTensor
from tests.horizon.quantization.everywhere import program_of, same, trained
from tests.horizon.quantization.executors import check_exports


class Moved(nn.Module):
    """A movement between two convolutions."""

    def __init__(self, move: Callable[[Tensor], Tensor], channels: int, after: int) -> None:
        super().__init__()
        self.before = nn.Conv2d(2, channels, 3, padding=1)
        self.move = move
        self.after = nn.Conv2d(after, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.move(functional.relu(self.before(x))))


def shuffled_by_hand(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, 4, c // 4, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


def depth_to_space(x: Tensor) -> Tensor:
    """With the channels in the order of TensorFlow."""
    n, c, h, w = x.shape
    x = x.reshape(n, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // 4, 2 * h, 2 * w)


def space_to_depth(x: Tensor) -> Tensor:
    """Every second row and column, joined as channels."""
    return torch.cat(
        [x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], dim=1
    )


# name: movement, operators of the program that it becomes, beside the two convolutions.
MOVES: dict[str, tuple[Callable[[Tensor], Tensor], list[str]]] = {
    "rows": (lambda x: x[:, :, 1:-1], ["slice"]),
    "rows and columns": (lambda x: x[..., 2:5, :-3], ["slice", "slice"]),
    "narrow": (lambda x: torch.narrow(x, 3, 1, 4), ["slice"]),
    "every third": (lambda x: x[:, ::3, 1::3, ::2], ["slice", "conv2d"]),
    "split of columns": (lambda x: x.split([2, 6], dim=3)[1], ["slice"]),
    "chunk of rows": (
        lambda x: torch.cat(x.chunk(2, dim=2)[::-1], dim=2),
        ["slice"] * 2 + ["concat"],
    ),
    "zeros": (lambda x: functional.pad(x, (1, 2, 0, 3)), ["conv2d"]),
    "zeros and fewer": (lambda x: functional.pad(x, (-1, 2, 2, -1)), ["slice", "slice", "conv2d"]),
    "channels of zeros": (lambda x: functional.pad(x, (0, 0, 0, 0, 1, 2)), ["conv2d"]),
    "replicate": (
        lambda x: functional.pad(x, (1, 2, 0, 1), mode="replicate"),
        ["slice"] * 2 + ["concat"] + ["slice"] * 4 + ["concat"],
    ),
    "reflect": (
        lambda x: functional.pad(x, (1, 0, 0, 1), mode="reflect"),
        ["slice"] * 2 + ["concat"] + ["slice"] * 2 + ["concat"],
    ),
    "circular": (
        lambda x: functional.pad(x, (2, 0, 0, 1), mode="circular"),
        ["slice"] * 2 + ["concat"] + ["slice"] * 2 + ["concat"],
    ),
    "roll": (lambda x: torch.roll(x, (1, -2), (2, 3)), (["slice"] * 2 + ["concat"]) * 2),
    "flip of rows": (lambda x: x.flip(2), ["slice"] * 6 + ["concat"]),
    "pixel shuffle": (lambda x: functional.pixel_shuffle(x, 2), ["conv_transpose2d"]),
    "depth to space": (depth_to_space, ["conv_transpose2d"]),
    "pixel unshuffle": (lambda x: functional.pixel_unshuffle(x, 2), ["conv2d"]),
    "repeated pixels": (
        lambda x: x.repeat_interleave(2, dim=3).repeat_interleave(3, dim=2),
        ["resize", "resize"],
    ),
    "channel shuffle": (lambda x: torch.channel_shuffle(x, 4), ["conv2d"]),
    "shuffled by hand": (shuffled_by_hand, ["conv2d"]),
    "other order": (lambda x: x[:, [2, 1, 0, 3]], ["slice"] * 4 + ["concat"]),
    "flip of channels": (lambda x: x.flip(1), ["conv2d"]),
    "repeat": (lambda x: x.repeat(1, 2, 1, 1), ["slice", "slice", "concat"]),
    "there and back": (lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2), []),
    "flat and back": (lambda x: x.flatten(2).unflatten(2, (6, 8)), []),
}
CHANNELS = {"every third": 7, "other order": 4}


def network(name: str, size: tuple[int, int] = (6, 8)) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(len(name))
    channels = CHANNELS.get(name, 12)
    move = MOVES[name][0]
    after = move(torch.zeros(1, channels, *size)).shape[1]
    return Moved(move, channels, after), torch.randn(2, 2, *size)


@pytest.mark.parametrize("name", MOVES)
def test_a_movement_moves_the_same_integers_everywhere(name: str, tmp_path: Path) -> None:
    module, example = network(name)
    graph = program_of(module, example)
    found = [node.op for node in graph.nodes]
    assert found == ["conv2d", *MOVES[name][1], "conv2d"]
    check_exports(graph, tmp_path)


@pytest.mark.parametrize("name", ["every third", "zeros", "replicate", "roll", "repeated pixels"])
def test_maps_of_one_row(name: str) -> None:
    module, example = network(name, (1, 8))
    if name == "every third":
        module.move = lambda x: x[..., ::2]
        module.after = nn.Conv2d(7, 3, 3, padding=1)
    program_of(module, example)


def test_layers_that_move_and_a_dense_layer_of_channels_last() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.ReflectionPad2d(1),
        nn.Conv2d(2, 8, 3),
        nn.PixelUnshuffle(2),
        nn.Conv2d(32, 16, 1),
        nn.ChannelShuffle(4),
        nn.ZeroPad2d((1, 0, 1, 0)),
        nn.PixelShuffle(2),
        nn.ReplicationPad2d((0, 1, 0, 1)),
        nn.Conv2d(4, 3, 3),
    )
    program_of(module, torch.randn(2, 2, 6, 8))


class Ends(nn.Module):
    """As heads of detectors end: channels last, flat."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.conv(x)
        boxes, scores = y.permute(0, 2, 3, 1).reshape(y.shape[0], -1, 3).split([2, 1], dim=2)
        return boxes, scores.squeeze(2)


def test_movement_at_the_end_is_done_in_real_numbers_behind_the_program() -> None:
    torch.manual_seed(0)
    example = torch.randn(2, 2, 6, 8)
    training = trained(Ends(), example)
    converted = convert(training)
    graph = trace(converted)
    assert graph.nodes[0].op == "conv2d"
    with torch.no_grad():
        same(training(example), converted(example))
        boxes, scores = converted(example)
        maps = next(iter(IntegerModel(graph)(example).values()))
    assert boxes.shape == (2, 48, 2)
    assert scores.shape == (2, 48)
    flat = maps.permute(0, 2, 3, 1).reshape(2, -1, 3)
    assert torch.equal(flat[..., :2], boxes)
    assert torch.equal(flat[..., 2], scores)


def test_long_lists_of_channels_are_told_apart() -> None:
    """Their text as torch shows it is the same: only the ends are in it."""
    order = torch.arange(1200)
    other = order.clone()
    other[500], other[600] = 600, 500
    x = QTensor(torch.arange(1200.0).view(1, 1200, 1, 1), torch.tensor(1.0), 8)
    assert repr(order) == repr(other)
    steps = torch.arange(1.0, 1201.0)
    mixed = QTensor(x.values, steps, 8)
    for channels in (order, other):
        assert torch.equal(mixed[:, channels].scale, steps[channels])


@pytest.mark.parametrize(
    ("move", "match"),
    [
        (lambda x: x.transpose(2, 3), r"transpose made \(1, 4, 8, 6\)"),
        (lambda x: x.permute(0, 2, 3, 1), r"permute made \(1, 6, 8, 4\)"),
        (lambda x: functional.pad(x, (1, 1), value=0.5), "value=0.5.*expected 0"),
        (lambda x: torch.cat([x, x[:, :, 3:3]], 2), "leaves nothing"),
        (lambda x: x.reshape(x.shape[0], 2, 4, 24), "reshape made"),
    ],
)
def test_what_no_copying_convolution_can_do_is_refused(
    move: Callable[[Tensor], Any], match: str
) -> None:
    module = Moved(move, 4, 4)
    module.after = nn.MaxPool2d(2)  # takes maps of any size
    with pytest.raises(InputError, match=match):
        prepare_calibration(module.eval(), torch.randn(1, 2, 6, 8), quiet=True)


def test_rows_are_cut_of_maps_of_the_known_size_only() -> None:
    module, example = network("rows")
    prepared = prepare_calibration(module.eval(), example, quiet=True)
    prepared(example)
    graph = trace(convert(finish_calibration(prepared)))
    with pytest.raises(InputError, match=r"cuts rows of a map that has 12; expected 6"):
        resized(graph, 1, 12, 16)
    with pytest.raises(InputError, match=r"cuts rows of a map that has 12; expected 6"):
        IntegerModel(graph)(torch.randn(1, 2, 12, 8))
