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


@pytest.mark.parametrize("image", [torch.zeros(1, 4, 8, 8), torch.zeros(3, 8, 8), None])
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
