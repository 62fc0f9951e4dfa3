from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hat.engine.convert import Float2Calibration, QAT2Quantize
from hat.errors import InputError
from hat.models.tasks import NetworkTask
from horizon.nn import QuantStub
from horizon.quantization import finish_calibration

SHAPE = {"image": (1, 3, 8, 8)}


class Heads(nn.Module):
    """A map, and probabilities in real numbers, which come first in the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.map = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 1)
        self.scores = nn.Linear(4 * 64, 5)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = self.stem(image).relu()
        likely = self.scores(x.flatten(1)).softmax(1)
        return self.map(x), [likely]


def integer_model(task: NetworkTask) -> Any:
    prepared = Float2Calibration()(task.eval())
    prepared({name: torch.randn(2, *shape[1:]) for name, shape in SHAPE.items()})
    return QAT2Quantize()(finish_calibration(prepared, 1.0))


def test_a_program_gives_the_outputs_as_its_network_does() -> None:
    torch.manual_seed(0)
    model = integer_model(NetworkTask(Heads(), SHAPE))
    # the scores are computed first, and are the second output of the network
    assert model.graph.outputs == ("output1", "output0")
    plane, (likely,) = model({"image": torch.randn(3, 3, 8, 8)})
    assert plane.shape == (3, 2, 8, 8)
    assert likely.shape == (3, 5)
    assert torch.allclose(likely.sum(1), torch.ones(3))


class Detector(nn.Module):
    """What detectors give: lists of levels in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, 2, 1) for _ in range(3)])

    def forward(self, image: Tensor) -> dict[str, Any]:
        first, second, third = (conv(image) for conv in self.convs)
        return {"boxes": [first, second], "scores": [third]}


def test_outputs_in_lists_of_a_dict_have_its_keys_and_numbers() -> None:
    model = integer_model(NetworkTask(Detector(), SHAPE))
    assert model.graph.outputs == ("boxes_0", "boxes_1", "scores_0")


def test_a_program_of_another_network_is_refused() -> None:
    graph = integer_model(NetworkTask(nn.Sequential(nn.Conv2d(3, 2, 1)), SHAPE)).graph
    with pytest.raises(InputError, match=r"outputs output; expected .* output1, output0"):
        NetworkTask(Heads(), SHAPE).with_program(graph)


def test_losses_come_in_training_only() -> None:
    def loss(outputs: Tensor, wanted: Tensor) -> list[Tensor]:
        return [(outputs - wanted).square().mean(), outputs.abs().mean()]

    task = NetworkTask(nn.Conv2d(3, 2, 1), SHAPE, ["wanted"], loss)
    batch = {"image": torch.randn(2, 3, 8, 8), "wanted": torch.zeros(2, 2, 8, 8)}
    found = task.train()(batch)
    assert len(found["losses"]) == 2
    assert torch.equal(found["outputs"], task.eval()(batch))
    with pytest.raises(InputError, match="the batch has no 'wanted'; it has: image"):
        task.train()({"image": batch["image"]})
    with pytest.raises(InputError, match="training needs a loss"):
        NetworkTask(nn.Conv2d(3, 2, 1), SHAPE).train()(batch)


def one_argument(outputs: Tensor) -> Tensor:
    return outputs.mean()


def another_key(outputs: Tensor, _: Tensor) -> Tensor:
    return {"scores": outputs}["mask"]


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (one_argument, r"TypeError: one_argument\(\) takes 1 .* called with \(outputs, wanted\)"),
        (another_key, r"KeyError: .* \(test_network_task.py:\d+\)"),
        (nn.NLLLoss(), r"loss refuses the network's outputs \(torch.float32 \(2, 2, 8, 8\)\)"),
        (nn.MSELoss(reduction="none"), r"\(2, 2, 8, 8\); expected one number, .* mean\(\)"),
        (lambda *_: None, "loss gives None; expected one number"),
        (lambda *_: [], r"loss gives \[\]; expected one number"),
        (lambda outputs, _: outputs.mean().item(), "a number without a gradient"),
    ],
)
def test_a_loss_that_does_not_fit(loss: Any, message: str) -> None:
    task = NetworkTask(nn.Conv2d(3, 2, 1), SHAPE, ["wanted"], loss).train()
    with pytest.raises(InputError, match=message):
        task({"image": torch.randn(2, 3, 8, 8), "wanted": torch.zeros(2, 2, 8, 8)})


def test_images_of_another_size_than_their_targets() -> None:
    task = NetworkTask(nn.Conv2d(3, 2, 1), SHAPE, ["wanted"], nn.MSELoss()).train()
    batch = {"image": torch.randn(2, 3, 12, 12), "wanted": torch.zeros(2, 2, 8, 8)}
    with pytest.raises(InputError, match=r"found image \(2, 3, 12, 12\); expected the sizes of"):
        task(batch)


class OneImage(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        assert len(image) == 1, "one image only"
        return image.reshape(3, 8, 8)


def test_a_network_of_one_image() -> None:
    message = r"OneImage refuses image \(2, .*\): AssertionError: one image only \(test_network_"
    with pytest.raises(InputError, match=message):
        NetworkTask(OneImage(), SHAPE).eval()({"image": torch.randn(2, 3, 8, 8)})


def test_memory_that_runs_out_is_no_mistake_of_a_loss() -> None:
    def loss(*_: Any) -> Tensor:
        raise torch.OutOfMemoryError("out of memory")

    task = NetworkTask(nn.Conv2d(3, 2, 1), SHAPE, [], loss).train()
    with pytest.raises(torch.OutOfMemoryError):
        task({"image": torch.randn(2, 3, 8, 8)})


@pytest.mark.parametrize(
    "image", [torch.zeros(1, 4, 8, 8), torch.zeros(3, 8, 8), torch.zeros(1, 3, 8, 8).double(), None]
)
def test_a_batch_that_does_not_fit(image: Any) -> None:
    task = NetworkTask(nn.Conv2d(3, 2, 1), SHAPE).eval()
    with pytest.raises(InputError, match=r"batch\['image'\]: found .*; expected torch.float32"):
        task({"image": image})


def test_a_network_with_stubs_is_no_plain_one() -> None:
    with pytest.raises(ValueError, match="has stubs or a qconfig of its own"):
        NetworkTask(nn.Sequential(QuantStub(), nn.Conv2d(3, 2, 1)), SHAPE)


def test_batch_normalisation_is_folded() -> None:
    task = NetworkTask(nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)), SHAPE)
    with pytest.raises(InputError, match="with_bn"):
        Float2Calibration("with_bn")(task)
