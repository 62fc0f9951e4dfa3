"""What export_onnx does with the network of a NetworkTask."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hat.cli.common import print_table
from hat.cli.sections import build_model, validation_loader
from hat.config import Config
from hat.deploy.program_size import check_size
from hat.engine.data_loading import batches
from hat.export.network_onnx import (
    Difference,
    check_network,
    check_network_program,
    export_network,
    noise,
)
from hat.export.program_export import export_program, program_of
from hat.models.tasks import NetworkTask
from hat.registry import build_from_registry

TOLERANCE = 0.001
MEAN_TOLERANCE = 0.05


def export_float(
    task: NetworkTask,
    path: Path,
    opset: int,
    metadata: dict[str, str],
    tolerance: float | None,
) -> int:
    """Write and check the float network; 0 if ONNX Runtime computes what it computes."""
    tolerance = TOLERANCE if tolerance is None else tolerance
    exported = export_network(task, path, opset, _described(metadata, task))
    print(f"Wrote {path}: {len(exported.graph.node)} nodes, weights: {metadata['weights']}")
    found = check_network(path, task, np.random.default_rng(0))
    print("\nONNX Runtime against torch, on noise; differences are shares of the largest value:\n")
    rows = [(one.case, one.output, one.values, f"{one.largest:.1e}") for one in found]
    print_table(rows, ("input", "output", "values", "difference"))
    worst = max(one.largest for one in found)
    verdict = "within" if worst <= tolerance else "above"
    print(f"\nLargest difference {worst:.1e}, {verdict} the tolerance of {tolerance}")
    return 0 if worst <= tolerance else 1


def export_quantised(
    config: Config, args: argparse.Namespace, model: nn.Module, path: Path, metadata: dict[str, str]
) -> int:
    """Write and check a quantised stage; 0 if the file does what the model does."""
    integer = args.stage == "int_infer"
    tolerance = MEAN_TOLERANCE if args.mean_tolerance is None else args.mean_tolerance
    name = str(config.get("task_name", "model"))
    task: Any = build_model(config, "onnx_cfg")
    program = program_of(model, name)
    _, height, width, _ = program.tensors[program.inputs[0]].shape
    size = tuple(args.size) if args.size else (height, width)
    check_size(program, size)
    given, origin = _samples(config, task, args.num_pairs)
    graph, nodes = export_program(
        model, path, size, name=name, integer=integer, metadata=_described(metadata, task)
    )
    print(f"Wrote {path}: {nodes} nodes, weights: {metadata['weights']}")
    print(
        f"\nONNX Runtime against the {args.stage} model, on {origin}; differences are shares of "
        "the largest value:\n"
    )
    found = check_network_program(path, graph, model, given, integer=integer)
    rows = [
        (o.case, o.output, o.values, o.differing, o.reference_differing, o.largest, o.mean)
        for o in found
    ]
    header = ("sample", "output", "values", "differ", "reference differs", "largest", "mean")
    print_table(rows, header)
    return verdict(found, integer, tolerance)


def verdict(found: Sequence[Difference], integer: bool, tolerance: float) -> int:
    """Say how the comparison came out; 0 if it is good."""
    differing, reference = (
        sum(getattr(one, key) for one in found) for key in ("differing", "reference_differing")
    )
    if integer:
        print(f"\nDiffering integers: ONNX Runtime {differing}, reference executor {reference}")
        return 0 if differing == reference == 0 else 1
    mean = max(one.mean for one in found)
    good = mean <= tolerance and reference == 0
    print(
        f"\nLargest mean difference {mean:.5f}, {'within' if mean <= tolerance else 'above'} the "
        f"tolerance of {tolerance}; QuantizeLinear rounds halves to even, the network upwards. "
        f"Differing integers of the reference executor: {reference}"
    )
    return 0 if good else 1


def _described(metadata: Mapping[str, str], task: NetworkTask) -> dict[str, str]:
    """The metadata without what is said of image pairs and flow."""
    kept = {key: metadata[key] for key in ("task", "stage", "weights")}
    return {**kept, "inputs": ", ".join(task.names)}


def _samples(
    config: Config, task: NetworkTask, count: int
) -> tuple[list[tuple[str, dict[str, Tensor]]], str]:
    """Batches of one as the network takes them, and where they come from."""
    if (config.get("val_data_loader") or {}).get("dataset") is None:
        rng = np.random.default_rng(0)
        return [(f"noise {i}", noise(task.example, 1, rng)) for i in range(count)], "noise"
    processor = build_from_registry(config.section("val_batch_processor"), "val_batch_processor")
    found = [
        (str(number), processor.prepare(batch, torch.device("cpu")))
        for number, batch in enumerate(
            islice(batches(validation_loader(config, batch_size=1)), count)
        )
    ]
    return found, "the validation set"
