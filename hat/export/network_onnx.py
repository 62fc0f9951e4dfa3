"""The network of a NetworkTask as ONNX, checked in ONNX Runtime: any inputs and outputs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from hat.data.files import atomic_path
from hat.errors import InputError
from hat.export.onnx_export import OPSETS
from hat.models.tasks import NetworkTask
from hat.models.tasks.program_outputs import named_outputs
from horizon.hbir import Graph, run
from horizon.hbir.onnx_common import session
from horizon.quantization import IntegerModel, output_integers

BATCHES = (1, 3)


@dataclass(frozen=True)
class Difference:
    """One output for one batch.

    Attributes:
        case: what the network was run on.
        output: its name.
        values: how many there are.
        differing, reference_differing: integers of ONNX Runtime and of the reference executor that
            are others than the model's; 0 of a float network.
        largest, mean: differences as shares of the largest absolute value.
    """

    case: str
    output: str
    values: int
    differing: int
    reference_differing: int
    largest: float
    mean: float


class _Outputs(nn.Module):
    """A network whose outputs are a tuple of tensors."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(leaf for _, leaf in named_outputs(self.network(*inputs)))


def export_network(
    task: NetworkTask, path: Path, opset: int, metadata: Mapping[str, str]
) -> onnx.ModelProto:
    """Write the float network, for the sizes of its example and any batch.

    Raises:
        InputError: an opset or a network that the exporter does not know.
    """
    if opset not in OPSETS:
        raise InputError(f"opset {opset}: expected {OPSETS[0]} to {OPSETS[-1]}")
    task.eval()
    with torch.no_grad():
        names = [name for name, _ in named_outputs(task(task.example_input()))]
    with atomic_path(path) as temporary:
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                torch.onnx.export(
                    _Outputs(task.network),
                    tuple(task.example_input().values()),
                    str(temporary),
                    input_names=task.names,
                    output_names=names,
                    dynamic_axes={name: {0: "batch"} for name in (*task.names, *names)},
                    opset_version=opset,
                    dynamo=False,
                )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{type(task.network).__name__} cannot be exported with opset {opset}: {reason}"
            ) from error
        model = onnx.load(str(temporary))
        onnx.helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(temporary))
    return model


def check_network(path: Path, task: NetworkTask, rng: np.random.Generator) -> list[Difference]:
    """Run the float file in ONNX Runtime and the network in torch, on noise.

    A result that is not finite, or of another shape, counts as an infinite difference.
    """
    runtime = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    task.eval()
    found = []
    for batch in BATCHES:
        inputs = noise(task.example, batch, rng)
        with torch.inference_mode():
            outputs = named_outputs(task(inputs))
        names = [name for name, _ in outputs]
        given = runtime.run(names, {name: value.numpy() for name, value in inputs.items()})
        for (name, value), other in zip(outputs, given, strict=True):
            found.append(_difference(f"batch of {batch}", name, value.numpy(), other))
    return found


def check_network_program(
    path: Path,
    graph: Graph,
    model: nn.Module,
    batches: Sequence[tuple[str, Mapping[str, Tensor]]],
    *,
    integer: bool,
) -> list[Difference]:
    """Run the file in ONNX Runtime, ``model`` in torch and the program in the reference executor.

    Args:
        graph: what was written.
        model: prepared, or an integer model.
        batches: names and batches of one.
        integer: the file has integer operators.
    """
    runtime, program = session(path), IntegerModel(graph)
    found = []
    for case, batch in batches:
        real = {name: batch[name] for name in graph.inputs}
        stubs = zip(graph.inputs, program.stubs, strict=True)
        steps = {name: stub(real[name]).values for name, stub in stubs}
        if isinstance(model, IntegerModel):
            integers = IntegerModel.integers(model, real)
            wanted = list(integers.values()) if isinstance(integers, dict) else [integers]
        else:
            wanted = output_integers(model, batch)
        feed = steps if integer else real
        given = runtime.run(graph.outputs, {name: x.numpy() for name, x in feed.items()})
        reference = run(
            graph, {n: x.numpy().transpose(0, 2, 3, 1).astype(np.int64) for n, x in steps.items()}
        )
        for name, expected, other in zip(graph.outputs, wanted, given, strict=True):
            step = np.array(graph.tensors[name].scales).reshape(1, -1, 1, 1)
            whole = expected.numpy().astype(np.float64)
            theirs = other.astype(np.float64) if integer else np.rint(other / step)
            own = reference[name].transpose(0, 3, 1, 2)
            result = _difference(case, name, whole * step, other * step if integer else other)
            differing = int(np.count_nonzero(theirs != whole))
            found.append(
                Difference(
                    case,
                    name,
                    whole.size,
                    differing,
                    int(np.count_nonzero(own != whole)),
                    result.largest,
                    result.mean,
                )
            )
    return found


def noise(example: Mapping[str, Tensor], batch: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """Random inputs of the example's sizes; one that is no real numbers is the example's."""
    return {
        name: torch.from_numpy(rng.normal(0, 0.5, (batch, *value.shape[1:]))).to(value.dtype)
        if value.is_floating_point()
        else value.expand(batch, *value.shape[1:]).clone()
        for name, value in example.items()
    }


def _difference(case: str, name: str, wanted: np.ndarray, found: np.ndarray) -> Difference:
    largest = mean = np.inf
    if found.shape == wanted.shape and np.isfinite(found).all() and np.isfinite(wanted).all():
        difference = np.abs(found.astype(np.float64) - wanted)
        unit = max(float(np.abs(wanted).max()), float(np.finfo(np.float32).tiny))
        largest, mean = float(difference.max()) / unit, float(difference.mean()) / unit
    return Difference(case, name, wanted.size, 0, 0, largest, mean)
