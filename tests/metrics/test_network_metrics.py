from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy

from hat.errors import InputError
from hat.metrics import NetworkMetrics


def right(scores: Tensor, label: Tensor) -> Tensor:
    return (scores.argmax(1) == label).float()


def test_functions_and_objects_give_the_mean_over_all_samples() -> None:
    metric = NetworkMetrics(
        {
            "each": right,
            "mean": lambda scores, label: right(scores, label).mean(),
            "two": lambda scores, label: {"a": torch.tensor(1.0), "b": right(scores, label)},
            "object": MulticlassAccuracy(3, average="micro"),
            "classes": MulticlassAccuracy(3, average="none"),
        },
        ["label"],
    )
    for _ in range(2):  # the second time after a reset
        metric.reset()
        for labels in ([0, 1, 2], [0]):  # batches of two sizes
            batch = {"label": torch.tensor(labels)}
            metric.update(batch, torch.eye(3)[[0, 1, 1][: len(labels)]])
        found = metric.results()
    assert found["each"] == 0.75
    assert found["mean"] == pytest.approx(0.75)  # float32 within a batch
    assert found["object"] == pytest.approx(0.75)
    assert found["two"] == 1.75
    assert [found[f"classes/{i}"] for i in range(3)] == [1.0, 1.0, 0.0]


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="set loss"):
        NetworkMetrics({})
    with pytest.raises(ValueError, match="metric a: found 3"):
        NetworkMetrics({"a": 3})
    metric = NetworkMetrics({"a": right}, ["label"])
    with pytest.raises(InputError, match="the batch has no label"):
        metric.update({"lable": torch.zeros(2)}, torch.zeros(2, 3))
    with pytest.raises(InputError, match=r"metric a refuses .* \(2, 3\).* \(5,\)"):
        metric.update({"label": torch.zeros(5)}, torch.zeros(2, 3))
