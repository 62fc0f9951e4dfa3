"""What comes out of each file that a network is exported to, in each runtime that takes it.

``python -m benchmarks.ways_out [--pairs N] [--networks NAME ...] [--json FILE]``

Every file and runtime gets the same held-out generated pairs of 384x512, N of each distribution of
motions. Integers are compared with those of the integer model (int_infer), the float file with the
float network in PyTorch. Differences are in px of the full-resolution image. The end-point error is
to the true flow of the pairs. OpenVINO is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from benchmarks.flow_sets import Pair, generated_set
from benchmarks.runtimes import OpenVino, onnx_runtime, with_openvino
from benchmarks.training_step import machine
from hat.cli.common import print_table
from hat.cli.sections import trained_model
from hat.config import Config
from hat.data.datasets import TextureBank
from hat.data.files import write_json
from hat.data.synthesis.motions import MOTIONS
from hat.data.transforms import board_image
from hat.deploy.build import compile_model
from hat.engine.checkpoint import checkpoint_path
from hat.export.onnx_export import export_onnx
from hat.metrics.resize import full_resolution
from horizon import hbm
from horizon.hbir import Graph, resized, run
from horizon.hbir.onnx_integer import export_integer
from horizon.hbir.onnx_qdq import export_qdq
from horizon.kernel_set import kernels_name
from horizon.quantization import IntegerModel
from horizon.runtime import Model

CONFIGS = Path("configs/opticalflow_pred/pwcnet")
NETWORKS = ("pwcnet_lite_generated", "pwcnet_small_generated")
MACHINES = ("host", "nash-e")
SIZE = (384, 512)
THREADS = 2
COLUMNS = ("network", "file", "runtime", "values", "differing", "mean px", "largest px", "EPE")

Flows = list[np.ndarray]


@dataclass
class Side:
    """A file in a runtime: ``run`` takes the board's input, uint8 (1, 6, H, W), and gives the
    network's flow (1, 2, h, w), as integers or in px."""

    file: str
    runtime: str
    run: Callable[[np.ndarray], np.ndarray]
    integers: bool = True


class Network:
    """A shipped network: its integer model, its float one, and the files that they are written to.

    Attributes:
        steps: of the integers, px, (1, 2, 1, 1).
    """

    def __init__(self, name: str, folder: Path) -> None:
        config = Config.fromfile(CONFIGS / f"{name}.py")
        checkpoints = Path(config.section("shipped_ckpt_dir"))
        self.folder = folder
        self.floating = self._model(config, checkpoints, "float")
        model = self._model(config, checkpoints, "int_infer")
        self.graph: Graph = resized(model.graph, 1, *SIZE)
        self.model = IntegerModel(self.graph)
        self.steps = np.array(self.graph.tensors[self.graph.outputs[0]].scales).reshape(1, -1, 1, 1)

    @staticmethod
    def _model(config: Config, checkpoints: Path, stage: str) -> Any:
        file = str(checkpoint_path(checkpoints, stage))
        return trained_model(config, "onnx_cfg", stage, file)[0]

    def integers(self, image: np.ndarray) -> np.ndarray:
        """Of the integer model."""
        found: np.ndarray = self.model.integers(torch.from_numpy(real(image))).numpy()
        return found

    def float_flow(self, image: np.ndarray) -> np.ndarray:
        """Of the float network in PyTorch, px."""
        with torch.inference_mode():
            found: np.ndarray = self.floating({"img": torch.from_numpy(real(image))}).numpy()
        return found

    def sides(self) -> Iterator[Side]:
        """Every file in every runtime, written as it is asked for."""
        for march in MACHINES:
            program = compile_model(self.model, SIZE, march=march).program
            model = Model(hbm.to_bytes(program), THREADS)
            runtime = f"executor, {kernels_name()}"
            yield Side(
                f".hbm, {march}", runtime, lambda image, m=model: only(m.run({"img": image}))
            )
        yield Side("graph", "numpy reference", self._reference)
        integer = self.folder / "int_infer.onnx"
        export_integer(self.graph, integer)
        yield Side(
            "integer ONNX", f"ONNX Runtime {onnxruntime.__version__}", session_of(integer, signed)
        )
        yield from self._with_openvino("integer ONNX", integer, signed)
        qdq = self.folder / "qdq.onnx"
        export_qdq(self.graph, qdq)
        ort = f"ONNX Runtime {onnxruntime.__version__}"
        yield Side("QDQ ONNX", ort, session_of(qdq, real), integers=False)
        plain = session_of(qdq, real, optimised=False)
        yield Side("QDQ ONNX", f"{ort}, nothing fused", plain, integers=False)
        yield from self._with_openvino("QDQ ONNX", qdq, real)
        floating = self.folder / "float.onnx"
        export_onnx(self.floating, floating)
        yield Side("float ONNX", ort, session_of(floating, real), integers=False)
        yield from self._with_openvino("float ONNX", floating, real)

    def _reference(self, image: np.ndarray) -> np.ndarray:
        feed = {self.graph.inputs[0]: signed(image).transpose(0, 2, 3, 1).astype(np.int64)}
        return run(self.graph, feed)[self.graph.outputs[0]].transpose(0, 3, 1, 2)

    def _with_openvino(
        self, file: str, path: Path, prepared: Callable[[np.ndarray], np.ndarray]
    ) -> Iterator[Side]:
        if not with_openvino():
            return
        try:
            runtime = OpenVino(path, prepared(np.zeros((1, 6, *SIZE), np.uint8)), THREADS, "f32")
        except RuntimeError as error:
            print(f"{file}: OpenVINO refuses it: {str(error).splitlines()[-1]}", file=sys.stderr)
            return
        version = runtime.version.split("-")[0]

        def infer(image: np.ndarray) -> np.ndarray:
            runtime._image = prepared(image)
            return runtime()

        yield Side(file, f"OpenVINO {version}", infer, integers=file.startswith("integer"))


def only(outputs: dict[str, np.ndarray]) -> np.ndarray:
    (found,) = outputs.values()
    return found


def real(image: np.ndarray) -> np.ndarray:
    """The board's bytes as the float network's input."""
    return (image.astype(np.float32) - 128) / 128


def signed(image: np.ndarray) -> np.ndarray:
    """The board's bytes as the integer file's input."""
    return (image.astype(np.int16) - 128).astype(np.int8)


def session_of(
    path: Path, prepared: Callable[[np.ndarray], np.ndarray], optimised: bool = True
) -> Callable[[np.ndarray], np.ndarray]:
    """A file in ONNX Runtime; without optimisations it computes node by node, as the file says."""
    if optimised:
        return lambda image: onnx_runtime(path, prepared(image), THREADS)()
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, THREADS
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: prepared(image)})[0]


def measure(name: str, pairs: list[Pair], folder: Path) -> Iterator[dict[str, Any]]:
    """A row for each file and runtime."""
    network = Network(name, folder)
    stacked = [np.concatenate((pair.first, pair.second), axis=2) for pair in pairs]
    images = [board_image(stack)[None] for stack in stacked]
    wanted = [network.integers(image) for image in images]
    floats = [network.float_flow(image) for image in images]
    yield row(
        name, "int_infer", "PyTorch, x86 kernels", None, [w * network.steps for w in wanted], pairs
    )
    yield row(name, "float", "PyTorch", None, floats, pairs)
    for side in network.sides():
        found = [side.run(image) for image in images]
        if side.file == "float ONNX":
            yield row(name, side.file, side.runtime, None, found, pairs, floats)
            continue
        integers = [f if side.integers else np.rint(f / network.steps) for f in found]
        differing = sum(
            int(np.count_nonzero(f != w)) for f, w in zip(integers, wanted, strict=True)
        )
        flows = [f * network.steps if side.integers else f for f in found]
        reference = [w * network.steps for w in wanted]
        yield row(name, side.file, side.runtime, differing, flows, pairs, reference)


def row(
    network: str,
    file: str,
    runtime: str,
    differing: int | None,
    flows: Flows,
    pairs: list[Pair],
    reference: Flows | None = None,
) -> dict[str, Any]:
    """The figures of one file in one runtime; ``differing`` counts integers."""
    mean = largest = None
    if reference is not None:
        differences = [np.abs(f - r) for f, r in zip(flows, reference, strict=True)]
        mean = float(np.mean(differences))
        largest = float(max(d.max() for d in differences))
    errors = []
    for flow, pair in zip(flows, pairs, strict=True):
        whole = full_resolution(torch.from_numpy(flow.astype(np.float32)), pair.flow.shape[:2])
        truth = torch.from_numpy(pair.flow).permute(2, 0, 1)[None]
        errors.append((whole - truth).norm(dim=1).mean())
    values = sum(flow.size for flow in flows)
    cells = (network, file, runtime, values, differing, mean, largest, float(np.mean(errors)))
    return dict(zip(COLUMNS, cells, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=2, help="of each distribution of motions")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    if arguments.pairs < 1:
        parser.error(f"--pairs: expected 1 or more, found {arguments.pairs}")
    torch.set_num_threads(THREADS)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        textures = TextureBank(Path(folder) / "textures.npy", count=40, seed=7)
        pairs = [p for motion in MOTIONS for p in generated_set(textures, motion, arguments.pairs)]
        rows = []
        for name in arguments.networks:
            for found in measure(name, pairs, Path(folder)):
                rows.append(found)
                print(*found.values(), file=sys.stderr, flush=True)
    print_table([[row[column] for column in COLUMNS] for row in rows], COLUMNS)
    if arguments.json:
        write_json(
            arguments.json,
            {
                "machine": machine(torch.device("cpu")),
                "size": SIZE,
                "pairs": len(pairs),
                "seconds": time.perf_counter() - started,
                "rows": rows,
            },
        )


if __name__ == "__main__":
    main()
