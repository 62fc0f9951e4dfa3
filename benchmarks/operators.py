"""Counts differing integers of every operator in every executor, on edge cases.

``python -m benchmarks.operators [--only NAME ...] [--json FILE]``

Each operator of torch (``benchmarks.operator_calls``) stands between convolutions in small
networks: with 1, 3, 31 and 33 channels (or the next number that the operator can take), and maps of
5x7, of one row and of 6x4. These networks are calibrated, trained for a step and converted. The
evaluation of QAT is compared with the converted network and the integer model. The reference
executor is compared, on random inputs and on extreme values, with

- the integer model;
- integer ONNX in ONNX Runtime;
- the programs for ``host`` at O0 and O3 and for ``nash-e`` in ``horizon.runtime``, with each
  instruction set of this CPU and with one and two threads;
- ``hrt_model_exec`` for AArch64 under qemu-aarch64-static, if it is installed.

Exits with 1 if any integer differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

import horizon.march
from benchmarks.executors import NATIVE, THREADS, Tool, emulated_tool, forced_kernels
from benchmarks.operator_calls import OPERATORS, Between, Operator
from benchmarks.training_step import machine
from hat.cli.common import print_table
from hat.data.files import json_text, write_json
from horizon import hbm
from horizon.compiler import compile_program
from horizon.hbir import Graph
from horizon.hbir import run as run_reference
from horizon.hbir.onnx_integer import check_integer, export_integer
from horizon.quantization import (
    IntegerModel,
    convert,
    finish_calibration,
    prepare_calibration,
    prepare_qat,
    trace,
)
from horizon.runtime import Model, available_kernels

SHAPES = ((1, 5, 7), (3, 1, 9), (31, 6, 4), (33, 1, 8))
PROGRAMS = (("host", "O0"), ("host", "O3"), ("nash-e", "O2"))


class Count:
    """The number of compared integers and of differing integers, by executor."""

    def __init__(self) -> None:
        self.compared: dict[str, int] = {}
        self.differing: dict[str, int] = {}

    def add(self, executor: str, found: np.ndarray, wanted: np.ndarray) -> None:
        assert found.size == wanted.size
        wrong = int(np.count_nonzero(found.reshape(wanted.shape) != wanted))
        self.compared[executor] = self.compared.get(executor, 0) + wanted.size
        self.differing[executor] = self.differing.get(executor, 0) + wrong


def sized(operator: Operator, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """The next larger channels, rows and columns that an operator can take."""
    channels, height, width = shape
    side = 2 if operator.even else 1
    return (
        channels + -channels % operator.multiple,
        height + -height % side,
        width + -width % side,
    )


def trained(operator: Operator, shape: tuple[int, int, int]) -> tuple[Any, torch.Tensor]:
    """The network after a step of QAT, and its input."""
    channels, height, width = shape
    torch.manual_seed(channels)
    network = Between(operator, channels)
    example = torch.rand(2, 2, height, width) * 2 - 1
    with torch.no_grad():
        network.train()(example)
    prepared = prepare_calibration(network.eval(), example, quiet=True)
    prepared(example)
    training = prepare_qat(finish_calibration(prepared)).train()
    training(example).square().mean().backward()
    return training.eval(), example


def check(operator: Operator, shape: tuple[int, int, int], folder: Path, tool: Tool) -> Count:
    """One network in all executors."""
    count = Count()
    training, example = trained(operator, shape)
    with torch.no_grad():
        real = training(example)
        converted = convert(training)
        count.add("converted network", converted(example).numpy(), real.numpy())
        graph = trace(converted)
        model = IntegerModel(graph)
        count.add("integer model", model(example).numpy(), real.numpy())
    info = graph.tensors[graph.inputs[0]]
    rng = np.random.default_rng(0)
    inputs = [
        rng.integers(-128, 128, info.shape),
        rng.choice([-128, 127], info.shape),
    ]
    wanted = [outputs(graph, x) for x in inputs]
    for x, right in zip(inputs, wanted, strict=True):
        planes = torch.from_numpy(x.transpose(0, 3, 1, 2).astype(np.int8))
        count.add("integer model", model.integers(planes).numpy(), right)
    export_integer(graph, folder / "integers.onnx")
    given = [{graph.inputs[0]: x} for x in inputs]
    for found in check_integer(folder / "integers.onnx", graph, given):
        name = "integer ONNX, ONNX Runtime"
        count.compared[name] = count.compared.get(name, 0) + found.values
        count.differing[name] = count.differing.get(name, 0) + found.differing
    for march, opt in PROGRAMS:
        program = compile_program(graph, horizon.march.load(march), opt).program
        path = folder / "program.hbm"
        hbm.write(program, path)
        pixels = [(x + 128).astype(np.uint8).transpose(0, 3, 1, 2).copy() for x in inputs]
        for kernels in NATIVE:
            for threads in THREADS if kernels in available_kernels() else ():
                with forced_kernels(kernels):
                    runtime = Model(path, threads)
                    for image, right in zip(pixels, wanted, strict=True):
                        result = runtime.run({graph.inputs[0]: image})[graph.outputs[0]]
                        count.add(f"runtime, {kernels}", result, right)
        if not tool.missing and (march, opt) == PROGRAMS[1]:
            for kernels in tool.kernels:
                result = tool.infer(path, pixels[1], kernels, 1)
                count.add(f"{tool.name}, {kernels}", result, wanted[1])
    return count


def outputs(graph: Graph, x: np.ndarray) -> np.ndarray:
    """The reference executor's integers, NCHW."""
    found = run_reference(graph, {graph.inputs[0]: x.astype(np.int64)})
    return np.asarray(found[graph.outputs[0]].transpose(0, 3, 1, 2))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="operators, by name")
    parser.add_argument("--json", type=Path, help="write the table to this file too")
    args = parser.parse_args()
    known = {operator.name for operator in OPERATORS}
    if unknown := set(args.only or ()) - known:
        parser.error(f"no such operator: {', '.join(sorted(unknown))}")
    warnings.simplefilter("ignore")
    tool, rows = emulated_tool(), []
    executors: dict[str, int] = {}
    for operator in OPERATORS:
        if args.only and operator.name not in args.only:
            continue
        compared = differing = networks = 0
        for shape in SHAPES:
            with tempfile.TemporaryDirectory() as folder:
                count = check(operator, sized(operator, shape), Path(folder), tool)
            networks += 1
            compared += sum(count.compared.values())
            differing += sum(count.differing.values())
            for name, number in count.compared.items():
                executors[name] = executors.get(name, 0) + number
        rows.append((operator.kind, operator.name, networks, compared, differing))
        print(*rows[-1], file=sys.stderr, flush=True)
    columns = ("kind", "operator", "networks", "integers", "differing")
    print_table(rows, columns)
    result = {
        "machine": machine(torch.device("cpu")),
        "integers by executor": executors,
        "skipped": tool.missing,
        "differing output integers": sum(row[-1] for row in rows),
    }
    print(json_text(result, indent=2))
    if args.json:
        table = [dict(zip(columns, row, strict=True)) for row in rows]
        write_json(args.json, {**result, "rows": table})
    return bool(result["differing output integers"])


if __name__ == "__main__":
    sys.exit(main())
