"""A program graph in torch: the integer model as it is saved, loaded and evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from horizon.errors import InputError
from horizon.hbir import Graph, Node, TensorInfo, verify
from horizon.hbir.graph import check_size
from horizon.quantization.layers import layer_of
from horizon.quantization.layers.concat import QuantizedSlice
from horizon.quantization.layers.converted import QuantizedLayer, bits_of, scale_of
from horizon.quantization.layers.stubs import QuantizedStub
from horizon.quantization.qtensor import DTYPES, QTensor

FORMAT_VERSION = 1


Inputs = Mapping[str, Any] | Sequence[Tensor] | Tensor
"""What a program takes: its inputs by name, in their order, or, where it has one, that alone."""


class IntegerModel(nn.Module):
    """Runs a program on CPU or GPU, for any batch and image size.

    Between inputs and outputs there are int8, int16 and int32 tensors and nothing else. The size
    and the batch of the first input count; further inputs keep the proportion to it that they
    have in the program.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        verify(graph)
        if not graph.inputs:
            raise InputError(f"program {graph.name}: no inputs; expected at least one")
        self.graph = graph
        self.multiple = int(graph.attributes.get("size_multiple", 1))
        infos = [graph.tensors[name] for name in graph.inputs]
        self.stubs = nn.ModuleList(QuantizedStub(i.name, scale_of(i), bits_of(i)) for i in infos)
        self.layers = nn.ModuleList(layer_of(node, graph) for node in graph.nodes)
        self._last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
        self.eval()

    @property
    def input_name(self) -> str:
        """The first input."""
        return self.graph.inputs[0]

    @property
    def output_name(self) -> str:
        """The first output."""
        return self.graph.outputs[0]

    @property
    def stub(self) -> QuantizedStub:
        """The stub that quantises the first input."""
        return cast(QuantizedStub, self.stubs[0])

    @property
    def reduction(self) -> int:
        """Rows of the first input for one of the first output; at least 1."""
        names = self.input_name, self.output_name
        rows = [self.graph.tensors[name].shape[1] for name in names]
        return max(1, rows[0] // rows[1])

    def forward(self, data: Inputs) -> Any:
        """Real outputs for images of any size.

        An output that has another size than the first input keeps the proportion: (N, C,
        ceil(H * rows / input rows), ...) where the input was padded to a multiple.

        Args:
            data: the inputs (N, C, H, W), normalised as in training, or as the integers that the
                program takes; a tensor if there is one, otherwise a sequence in the order of the
                program's inputs, or a mapping by their names.

        Returns:
            A tensor if there is one output, otherwise all by name, in order.
        """
        given = self._given(data)
        inputs = self._inputs(given)
        outputs = self._run(inputs)
        real = {
            name: _cropped(x.dequantize(), given[0], inputs[self.input_name])
            for name, x in outputs.items()
        }
        return real if len(real) > 1 else real[self.output_name]

    def integers(self, data: Inputs) -> Any:
        """The outputs' integers, for the padded inputs; as :meth:`forward` gives real numbers."""
        outputs = self._run(self._inputs(self._given(data)))
        integers = {name: x.values for name, x in outputs.items()}
        return integers if len(integers) > 1 else integers[self.output_name]

    def all_integers(self, data: Inputs) -> dict[str, Tensor]:
        """Every tensor of the program by name, integers (N, C, H, W)."""
        kept: dict[str, QTensor] = {}
        self._run(self._inputs(self._given(data)), kept)
        return {name: tensor.values for name, tensor in kept.items()}

    def summary(self) -> str:
        """The contents of the program in a few lines."""
        counts: dict[str, int] = {}
        for node in self.graph.nodes:
            counts[node.op] = counts.get(node.op, 0) + 1
        constants = (node.attributes.get("weight") for node in self.graph.nodes)
        weights = sum(weight.size for weight in constants if weight is not None)
        lines = [f"program {self.graph.name}: {weights:,} int8 weights"]
        lines.append("  " + ", ".join(f"{n} {op}" for op, n in sorted(counts.items())))
        for what, names in (("input", self.graph.inputs), ("output", self.graph.outputs)):
            for name in names:
                info = self.graph.tensors[name]
                steps = ", ".join(f"{s:.6g}" for s in info.scales)
                size = f"{info.shape[3]} channels"
                lines.append(f"  {what} {name}: {info.dtype}, step {steps}, {size}")
        return "\n".join(lines)

    def _given(self, data: Inputs) -> list[Tensor]:
        """The inputs in their order, their shapes checked."""
        names = self.graph.inputs
        if isinstance(data, Mapping):
            missing = [name for name in names if name not in data]
            if missing:
                raise InputError(
                    f"program {self.graph.name}: no {', '.join(missing)} among the inputs "
                    f"{', '.join(map(str, data))}; hand all of {', '.join(names)}"
                )
            given = [data[name] for name in names]
        else:
            given = [data] if isinstance(data, Tensor) else list(data)
            if len(given) != len(names):
                raise InputError(
                    f"program {self.graph.name}: {len(given)} inputs; expected {len(names)}: "
                    f"{', '.join(names)}"
                )
        for name, image in zip(names, given, strict=True):
            expected = self.graph.tensors[name].shape[3]
            if not isinstance(image, Tensor) or image.dim() != 4 or image.shape[1] != expected:
                found = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
                raise InputError(f"{name}: expected (N, {expected}, H, W), found {found}")
        return given

    def _inputs(self, given: list[Tensor]) -> dict[str, QTensor]:
        """The program's inputs: padded, and quantised unless they hold integers already."""
        first = self.graph.tensors[self.input_name].shape
        batch, height, width = (given[0].shape[axis] for axis in (0, 2, 3))
        sizes = (batch, *(side + -side % self.multiple for side in (height, width)))
        check_size(self.graph, sizes[1], sizes[2])
        inputs = {}
        for name, stub, image in zip(self.graph.inputs, self.stubs, given, strict=True):
            shape = self.graph.tensors[name].shape
            wanted = [size * shape[axis] / first[axis] for axis, size in enumerate(sizes)]
            found = [image.shape[axis] for axis in (0, 2, 3)]
            pads = [want - side for want, side in zip(wanted, found, strict=True)]
            if (
                pads[0]
                or min(pads) < 0
                or any(pad % 1 for pad in pads)
                or (image is not given[0] and max(pads[1:]) >= self.multiple)
            ):
                raise InputError(
                    f"{name}: {found} (batch, height, width) beside {batch}, {height}, {width} of "
                    f"{self.input_name}; expected {wanted}, or what padding at the right and at "
                    f"the bottom by less than {self.multiple} makes that"
                )
            inputs[name] = _quantised(image, cast(QuantizedStub, stub), int(pads[1]), int(pads[2]))
        return inputs

    @torch.no_grad()
    def _run(
        self, inputs: dict[str, QTensor], kept: dict[str, QTensor] | None = None
    ) -> dict[str, QTensor]:
        tensors = dict(inputs)
        copies = self._copies(len(inputs[self.input_name]))
        outputs = set(self.graph.outputs)
        for index, (node, layer) in enumerate(zip(self.graph.nodes, self.layers, strict=True)):
            taken = [tensors[name] for name in node.inputs]
            tensors[node.output] = cast(QuantizedLayer, layer).run(taken, copies)
            if kept is None:
                for name in set(node.inputs) - outputs:
                    if self._last_use[name] == index:
                        del tensors[name]
        if kept is not None:
            kept.update(tensors)
        # A factor on the way to an output has changed its scale, and left no node.
        return {
            name: replace(tensors[name], scale=scale_of(self.graph.tensors[name]))
            for name in self.graph.outputs
        }

    def _copies(self, images: int) -> int:
        """How often the program's batch is in so many images; InputError where it matters."""
        batch = self.graph.tensors[self.input_name].shape[0]
        cuts = any(isinstance(layer, QuantizedSlice) and layer.axis == 0 for layer in self.layers)
        if cuts and images % batch:
            raise InputError(
                f"program {self.graph.name}: {images} images in {self.input_name}; expected a "
                f"multiple of {batch}, the batch of the example that the network was traced with: "
                "it cuts the batch"
            )
        return images // batch


def _cropped(result: Tensor, image: Tensor, padded: QTensor) -> Tensor:
    """``result`` without the share of the padding that ``image`` got."""
    sides = [
        -(-result.shape[axis] * image.shape[axis] // padded.shape[axis])
        if padded.shape[axis] != image.shape[axis]
        else result.shape[axis]
        for axis in (2, 3)
    ]
    return result[..., : sides[0], : sides[1]]


def _quantised(image: Tensor, stub: QuantizedStub, bottom: int, right: int) -> QTensor:
    height, width = image.shape[-2:]
    if image.is_floating_point():
        if bottom or right:
            image = functional.pad(image, (0, right, 0, bottom), mode="replicate")
        result: QTensor = stub(image)
        return result
    if image.dtype != DTYPES[stub.bits]:
        raise InputError(
            f"{stub.layer}: {image.dtype} integers; expected {DTYPES[stub.bits]}, as "
            "the program takes them, or floating point"
        )
    if bottom or right:  # torch repeats the border of floating-point images only
        image = image[..., torch.arange(height + bottom).clamp(max=height - 1), :]
        image = image[..., torch.arange(width + right).clamp(max=width - 1)]
    return QTensor(image, stub.scale, stub.bits)


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
            f"program version {state.get('version')!r}, this program reads {FORMAT_VERSION}; "
            "install the version of horizon-flow that wrote it, or make it again with "
            "'hat train --stage int_infer'"
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
