"""The sides of ``runtime_speed``: one network in each runtime.

Each side is a function without arguments that runs one image pair and returns the flow in px,
(1, 2, H / 4, W / 4).
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.integer_forward import make_sides
from benchmarks.training_step import smooth_pair
from hat.cli.sections import trained_model
from hat.config import Config
from hat.deploy.build import compile_model
from hat.export.onnx_export import export_onnx
from horizon import hbm
from horizon.hbir import resized
from horizon.hbir.onnx_common import session
from horizon.hbir.onnx_qdq import export_qdq
from horizon.quantization import IntegerModel
from horizon.runtime import Model

Run = Callable[[], np.ndarray]


CONFIGS = Path("configs/opticalflow_pred/pwcnet")
NETWORKS = {"full": None, "lite": CONFIGS / "pwcnet_lite_generated.py"}
"""Names and configs; without one the tutorial's network with random weights."""


class Network:
    """A network, calibrated on one smooth pair.

    Attributes:
        image: that pair, quantised like the board's input, float32 (1, 6, H, W).
        floating: the float network with its batch normalisation folded.
        integer: the integer model.
    """

    def __init__(self, name: str, height: int, width: int) -> None:
        image, _ = smooth_pair(1, height, width)
        self.image = ((image * 128).round() / 128).clamp(-1, 127 / 128)
        config = NETWORKS[name]
        trained = None
        if config is not None:
            trained, _ = trained_model(Config.fromfile(config), "infer_cfg", "float")
        sides = make_sides(self.image, trained)
        self.floating: Any = sides["float, BN folded"]
        integer = sides["integer"]
        assert isinstance(integer, IntegerModel)
        self.integer = integer
        self.size = (height, width)

    def compiled(self, size: tuple[int, int] | None = None) -> hbm.Program:
        """The program for this machine, for images of another size if given."""
        program: hbm.Program = compile_model(self.integer, size or self.size, march="host").program
        return program

    def board_image(self) -> np.ndarray:
        """The image pair as the board's input, uint8 (1, 6, H, W)."""
        return (self.image.numpy() * 128 + 128).astype(np.uint8)

    def write_qdq(self, path: Path) -> None:
        export_qdq(resized(self.integer.graph, 1, *self.size), path)

    def write_float(self, path: Path) -> None:
        export_onnx(self.floating, path)


def host_program(model: Model, image: np.ndarray) -> Run:
    scales = np.array(model.outputs[0].scales).reshape(1, -1, 1, 1)
    name, output = model.inputs[0].name, model.outputs[0].name
    return lambda: model.run({name: image})[output] * scales


def onnx_runtime(path: Path, image: np.ndarray, threads: int) -> Run:
    """ONNX Runtime with all of its graph optimisations, its default."""
    runtime = session(path, threads)
    name = runtime.get_inputs()[0].name

    def run() -> np.ndarray:
        result: np.ndarray = runtime.run(None, {name: image})[0]
        return result

    return run


def pytorch(network: Any, image: torch.Tensor, channels_last: bool) -> Run:
    if channels_last:
        network = copy.deepcopy(network).to(memory_format=torch.channels_last)
        image = image.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run() -> np.ndarray:
        result: np.ndarray = network({"img": image}).numpy()
        return result

    return run


def dense_inverse_search(image: np.ndarray, threads: int) -> Run:
    """OpenCV's DIS, preset medium, on the pair's grey images (1, 6, H, W)."""
    grey = np.rint(image[0, [0, 3]] * 127.5 + 127.5).clip(0, 255).astype(np.uint8)
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def run() -> np.ndarray:
        cv2.setNumThreads(threads)
        flow: np.ndarray = method.calc(grey[0], grey[1], None)
        return flow[2::4, 2::4].transpose(2, 0, 1)[None]

    return run


class OpenVino:
    """OpenVINO on an ONNX file, tuned for latency: one stream, its threads bound to cores.

    Args:
        precision: for operators that the file does not quantise, "bf16" or "f32".
    """

    def __init__(self, path: Path, image: np.ndarray, threads: int, precision: str) -> None:
        import openvino

        self.version = openvino.get_version()
        core = openvino.Core()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": True,
            "INFERENCE_PRECISION_HINT": precision,
        }
        model = core.read_model(path)
        model.reshape(list(image.shape))
        self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        self._image = image
        counted = core.compile_model(model, "CPU", {**settings, "PERF_COUNT": True})
        self._counted = counted.create_infer_request()

    def __call__(self) -> np.ndarray:
        self._request.infer([self._image], share_inputs=True)
        result: np.ndarray = self._request.get_output_tensor().data.copy()
        return result

    def kinds(self) -> dict[str, dict[str, float]]:
        """Number of executed nodes and their ms by "kind implementation_precision"."""
        self._counted.infer([self._image])
        kinds: dict[str, dict[str, float]] = {}
        for node in self._counted.profiling_info:
            if not str(node.status).endswith("EXECUTED"):
                continue
            entry = kinds.setdefault(f"{node.node_type} {node.exec_type}", {"nodes": 0, "ms": 0.0})
            entry["nodes"] += 1
            entry["ms"] += node.real_time.total_seconds() * 1e3
        return dict(sorted(kinds.items(), key=lambda item: -item[1]["ms"]))


def float_convolutions(kinds: dict[str, dict[str, float]]) -> list[str]:
    """The kinds of convolution that do not compute in int8."""
    return [
        name for name in kinds if "onvolution" in name and not name.lower().endswith(("_i8", "_u8"))
    ]


def with_openvino() -> bool:
    found = find_spec("openvino") is not None
    if not found:
        print("openvino: not installed, this side is left out", file=sys.stderr)
    return found
