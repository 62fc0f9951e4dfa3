"""A program graph in torch: the integer model as it is saved, loaded and evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import Graph, Node, TensorInfo, verify
from horizon.quantization import native
from horizon.quantization.kernels import Geometry
from horizon.quantization.qtensor import DTYPES, LIMITS, QTensor
from horizon.quantization.quantized import (
    QuantizedConv,
    QuantizedCorrelation,
    QuantizedGridSample,
    QuantizedRescale,
    QuantizedStub,
)
from horizon.quantization.quantized_functional import QuantizedFunctional

FORMAT_VERSION = 1


class IntegerModel(nn.Module):
    """Runs a program of one input and one output on CPU or GPU, for any batch and image size.

    Between input and output there are int8, int16 and int32 tensors and nothing else.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        verify(graph)
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise InputError(
                f"program {graph.name}: expected one input and one output, found "
                f"{len(graph.inputs)} and {len(graph.outputs)}"
            )
        self.graph = graph
        self.input_name, self.output_name = graph.inputs[0], graph.outputs[0]
        image, result = graph.tensors[self.input_name], graph.tensors[self.output_name]
        self.multiple = int(graph.attributes.get("size_multiple", 1))
        self.reduction = image.shape[1] // result.shape[1]
        self.stub = QuantizedStub(self.input_name, _scale(image), _bits(image))
        layers = (_layer(node, graph) for node in graph.nodes)
        self.layers = nn.ModuleList(nn.Identity() if x is None else x for x in layers)
        self._last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
        self.eval()

    def forward(self, data: Mapping[str, Any] | Tensor) -> Tensor:
        """Real outputs (N, C, ceil(H / r), ceil(W / r)) for images (N, C, H, W) of any size.

        Args:
            data: the images, normalised as in training, or as the integers that the program takes
                (int8); or a mapping that has them under the program's input name.
        """
        image = self._image(data)
        height, width = image.shape[-2:]
        result = self._run(image).dequantize()
        rows, columns = (-(-side // self.reduction) for side in (height, width))
        return result[..., :rows, :columns]

    def integers(self, data: Mapping[str, Any] | Tensor) -> Tensor:
        """The output's integers, for the padded image: (N, C, H / r, W / r) int32."""
        return self._run(self._image(data)).values

    def all_integers(self, data: Mapping[str, Any] | Tensor) -> dict[str, Tensor]:
        """Every tensor of the program by name, integers (N, C, H, W)."""
        kept: dict[str, QTensor] = {}
        self._run(self._image(data), kept)
        return {name: tensor.values for name, tensor in kept.items()}

    def summary(self) -> str:
        """What is in it, in a few lines."""
        counts: dict[str, int] = {}
        for node in self.graph.nodes:
            counts[node.op] = counts.get(node.op, 0) + 1
        weights = sum(n.attributes["weight"].size for n in self.graph.nodes if "conv" in n.op)
        lines = [f"program {self.graph.name}: {weights:,} int8 weights"]
        lines.append("  " + ", ".join(f"{n} {op}" for op, n in sorted(counts.items())))
        for what, name in (("input", self.input_name), ("output", self.output_name)):
            info = self.graph.tensors[name]
            steps = ", ".join(f"{s:.6g}" for s in info.scales)
            lines.append(f"  {what} {name}: {info.dtype}, step {steps}, {info.shape[3]} channels")
        return "\n".join(lines)

    def _image(self, data: Mapping[str, Any] | Tensor) -> Tensor:
        image = data if isinstance(data, Tensor) else data[self.input_name]
        expected = self.graph.tensors[self.input_name].shape[3]
        if image.dim() != 4 or image.shape[1] != expected:
            raise InputError(
                f"{self.input_name}: expected (N, {expected}, H, W), found {tuple(image.shape)}"
            )
        return image

    def _input(self, image: Tensor) -> QTensor:
        """The program's input: padded, and quantised unless it holds integers already."""
        height, width = image.shape[-2:]
        bottom, right = (-side % self.multiple for side in (height, width))
        if image.is_floating_point():
            if bottom or right:
                image = functional.pad(image, (0, right, 0, bottom), mode="replicate")
            return self.stub(image)
        if image.dtype != DTYPES[self.stub.bits]:
            raise InputError(
                f"{self.input_name}: {image.dtype} integers; expected {DTYPES[self.stub.bits]}, as "
                "the program takes them, or floating point"
            )
        if bottom or right:  # torch repeats the border of floating-point images only
            image = image[..., torch.arange(height + bottom).clamp(max=height - 1), :]
            image = image[..., torch.arange(width + right).clamp(max=width - 1)]
        return QTensor(image, self.stub.scale, self.stub.bits)

    @torch.no_grad()
    def _run(self, image: Tensor, kept: dict[str, QTensor] | None = None) -> QTensor:
        tensors = {self.input_name: self._input(image)}
        copies = image.shape[0] // self.graph.tensors[self.input_name].shape[0]
        for index, (node, layer) in enumerate(zip(self.graph.nodes, self.layers, strict=True)):
            inputs = [tensors[name] for name in node.inputs]
            tensors[node.output] = _call(node, layer, inputs, copies)
            if kept is None:
                for name in set(node.inputs) - {self.output_name}:
                    if self._last_use[name] == index:
                        del tensors[name]
        if kept is not None:
            kept.update(tensors)
        return tensors[self.output_name]


def _call(node: Node, layer: Any, inputs: list[QTensor], copies: int) -> QTensor:
    if node.op == "slice":
        start, stop = node.attributes["start"], node.attributes["stop"]
        if node.attributes["axis"] == 0:
            return inputs[0]._slice(0, start * copies, stop * copies)
        return inputs[0]._slice(1, start, stop)
    if node.op == "concat" and node.attributes["axis"] == 0:
        parts = [x.values for x in inputs]
        on_cpu = parts[0].device.type == "cpu"
        values = native.concatenate(parts, 0) if on_cpu else torch.cat(parts)
        return QTensor(values, inputs[0].scale, inputs[0].bits)
    if node.op == "concat":
        return layer.cat(inputs)
    if node.op == "add":
        return layer.add(*inputs)
    return layer(*inputs)


def _layer(node: Node, graph: Graph) -> nn.Module | None:
    """The layer that carries out ``node``; None for what only moves integers."""
    a = node.attributes
    output = graph.tensors[node.output]
    scale, bits = _scale(output), _bits(output)
    if node.op in ("conv2d", "conv_transpose2d"):
        return _convolution(node, graph)
    if node.op == "correlation":
        ratio = (int(a["multiplier"]), int(a["shift"]))
        return QuantizedCorrelation(
            node.name, int(a["max_displacement"]), ratio, scale, bits, int(a["lo"]), int(a["hi"])
        )
    if node.op == "warp":
        return QuantizedGridSample(node.name, (int(a["offset_multiplier"]), int(a["offset_shift"])))
    if node.op == "rescale":
        ratio = (a["multiplier"], a["shift"])
        return QuantizedRescale(node.name, ratio, scale, bits, int(a["lo"]), int(a["hi"]))
    if node.op == "add":
        ratios = (int(a["multiplier_a"]), int(a["multiplier_b"]), int(a["shift"]))
        limits = (int(a["lo"]), int(a["hi"]))
        return QuantizedFunctional(node.name, "add", scale, bits, ratios, limits=limits)
    if node.op == "concat" and a["axis"] == 3:
        return QuantizedFunctional(node.name, "cat", rescales=[None] * len(node.inputs))
    return None


def _convolution(node: Node, graph: Graph) -> QuantizedConv:
    a = node.attributes
    transposed = node.op == "conv_transpose2d"
    weight = torch.from_numpy(np.ascontiguousarray(a["weight"]))
    weight = weight.permute((3, 0, 1, 2) if transposed else (0, 3, 1, 2)).contiguous()
    geometry = Geometry(
        transposed,
        tuple(a["stride"]),
        tuple(a["padding"]),
        (1, 1) if transposed else tuple(a["dilation"]),
        1 if transposed else int(a["groups"]),
    )
    output = graph.tensors[node.output]
    residual = a.get("residual_multiplier")
    return QuantizedConv(
        node.name,
        weight,
        torch.from_numpy(np.array(a["bias"], dtype=np.int32)),
        geometry,
        torch.from_numpy(np.array(a["multiplier"], dtype=np.int64)),
        torch.from_numpy(np.array(a["shift"], dtype=np.int64)),
        None if residual is None else torch.from_numpy(np.array(residual, dtype=np.int64)),
        _scale(output),
        _bits(output),
        int(a["lo"]),
        int(a["hi"]),
        _bits(graph.tensors[node.inputs[0]]),
    )


def _bits(info: TensorInfo) -> int:
    return next(bits for bits in LIMITS if info.dtype == f"int{bits}")


def _scale(info: TensorInfo) -> Tensor:
    values = torch.tensor(info.scales, dtype=torch.float32)
    return values[0] if len(info.scales) == 1 else values


def program_state(graph: Graph) -> dict[str, Any]:
    """``graph`` as plain values and tensors, for ``torch.save``."""
    return {
        "version": FORMAT_VERSION,
        "name": graph.name,
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "attributes": dict(graph.attributes),
        "tensors": [
            [t.name, list(t.shape), t.dtype, list(t.scales)] for t in graph.tensors.values()
        ],
        "nodes": [
            [
                n.op,
                n.name,
                list(n.inputs),
                n.output,
                {k: _plain(v) for k, v in n.attributes.items()},
            ]
            for n in graph.nodes
        ],
    }


def program_graph(state: Mapping[str, Any]) -> Graph:
    """The graph of :func:`program_state`, checked.

    Raises:
        InputError: another version, something missing, or a program that ``verify`` refuses.
    """
    if state.get("version") != FORMAT_VERSION:
        raise InputError(
            f"program version {state.get('version')!r}, this program reads {FORMAT_VERSION}"
        )
    try:
        tensors = {
            name: TensorInfo(name, tuple(shape), dtype, tuple(scales))
            for name, shape, dtype, scales in state["tensors"]
        }
        nodes = tuple(
            Node(op, name, tuple(inputs), output, {k: _array(v) for k, v in attributes.items()})
            for op, name, inputs, output, attributes in state["nodes"]
        )
        graph = Graph(
            state["name"],
            tensors,
            nodes,
            tuple(state["inputs"]),
            tuple(state["outputs"]),
            dict(state["attributes"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"not a program: {error!r}") from error
    verify(graph)
    return graph


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value))
    return list(value) if isinstance(value, tuple) else value


def _array(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.numpy()
    return tuple(value) if isinstance(value, list) else value
