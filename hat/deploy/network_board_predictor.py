"""Evaluation of the compiled program of a NetworkTask, beside the integer model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hat.engine.convert import ModelConvertPipeline
from hat.engine.data_loading import batches, build_eval_loader
from hat.engine.evaluate import metric_update
from hat.engine.processors import BatchProcessor
from hat.errors import InputError
from hat.models.tasks import ProgramTask
from hat.registry import OBJECT_REGISTRY, Component
from horizon import runtime

BOARD, INTEGER_MODEL = "board program", "int_infer"


@dataclass
class NetworkAlignment:
    """The result for one data set.

    Attributes:
        metrics: metrics of the program and of the integer model, by name.
        values, differing: number of output integers of the program, and how many of them differ
            from the integer model's for the same input.
    """

    samples: int = 0
    values: int = 0
    differing: int = 0
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)


@OBJECT_REGISTRY.register
class NetworkBoardPredictor:
    """Runs the compiled program of a network over data sets and compares all of its integers.

    Args:
        data_loader: config of a data loader, or a list of them.
        batch_processor: of ``predict.py``, with need_grad_update=False.
        metrics: what to compute.
        model: the NetworkTask.
        model_convert_pipeline: makes its integer model (LoadIntegerModel).
    """

    deferred_args = ("data_loader",)

    def __init__(
        self,
        data_loader: Component | Sequence[Any],
        batch_processor: BatchProcessor,
        metrics: Sequence[Any],
        model: nn.Module,
        model_convert_pipeline: ModelConvertPipeline,
    ) -> None:
        integer = model_convert_pipeline(model)
        if not isinstance(integer, ProgramTask):
            raise ValueError(
                "model and model_convert_pipeline must give the integer model of a NetworkTask; "
                f"they give a {type(integer).__name__}"
            )
        self.model = integer.eval()
        loaders = [data_loader] if isinstance(data_loader, Component) else list(data_loader)
        self.loaders = [build_eval_loader(loader) for loader in loaders]
        self.batch_processor = batch_processor
        self.update = metric_update(())
        self.metrics = list(metrics)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the first input."""
        _, height, width, _ = self.model.graph.tensors[self.model.input_name].shape
        return height, width

    @torch.inference_mode()
    def fit(
        self,
        program: runtime.Model,
        index: int = 0,
        samples: int | None = None,
        progress: Callable[[int], Any] = lambda samples: None,
    ) -> NetworkAlignment:
        """Evaluate data set ``index``, or so many batches that they have ``samples``.

        Raises:
            InputError: a program of another network, or an empty data set.
        """
        self._check(program)
        result = NetworkAlignment()
        sides = {name: [m.clone() for m in self.metrics] for name in (BOARD, INTEGER_MODEL)}
        for metric in (m for metrics in sides.values() for m in metrics):
            metric.reset()
        for batch in batches(self.loaders[index]):
            prepared = self.batch_processor.prepare(batch, torch.device("cpu"))
            steps = self.model.input_integers(prepared)
            wanted = self.model.output_integers(steps)
            runs = [_run(program, steps, row) for row in range(len(wanted[0]))]
            found = [torch.cat(parts) for parts in zip(*runs, strict=True)]
            for name, integers in ((BOARD, found), (INTEGER_MODEL, wanted)):
                outputs = self.model.network_outputs(prepared, integers)
                self.update(sides[name], prepared, outputs)
            for mine, theirs in zip(found, wanted, strict=True):
                result.values += mine.numel()
                result.differing += int((mine != theirs).sum())
            result.samples += len(wanted[0])
            progress(len(wanted[0]))
            if samples is not None and result.samples >= samples:
                break
        if result.samples == 0:
            raise InputError("nothing to compare: the data set is empty")
        for name, metrics in sides.items():
            result.metrics[name] = {k: v for m in metrics for k, v in m.results().items()}
        return result

    def _check(self, program: runtime.Model) -> None:
        graph = self.model.graph
        names = [t.name for t in (*program.inputs, *program.outputs)]
        if names != [*graph.inputs, *graph.outputs]:
            raise InputError(
                f"program {program.name}: the program of another network than the checkpoint: "
                f"inputs and outputs {', '.join(names)}; expected "
                f"{', '.join((*graph.inputs, *graph.outputs))}"
            )


def _run(program: runtime.Model, steps: Mapping[str, Tensor], row: int) -> list[Tensor]:
    """The program's output integers (1, C, H, W) for one sample of a batch."""
    given = {}
    for tensor in program.inputs:
        integers = steps[tensor.name][row : row + 1].numpy()
        if tensor.dtype == np.uint8:  # the same plus 128
            integers = (integers.astype(np.int16) + 128).astype(np.uint8)
        given[tensor.name] = _in_layout(integers, tensor.layout)
    found = program.run(given)
    return [
        torch.from_numpy(
            found[t.name] if t.layout == "NCHW" else found[t.name].transpose(0, 3, 1, 2)
        )
        for t in program.outputs
    ]


def _in_layout(array: np.ndarray, layout: str) -> np.ndarray:
    return np.ascontiguousarray(array if layout == "NCHW" else array.transpose(0, 2, 3, 1))
