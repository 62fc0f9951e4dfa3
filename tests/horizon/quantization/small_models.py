"""Models, inputs and comparisons that the quantisation tests share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from horizon.hbir import Graph, reference
from horizon.nn import Correlation, DeQuantStub, FloatFunctional, GridSample, QuantStub
from horizon.quantization import (
    FakeQuantState,
    IntegerModel,
    QConfig,
    QTensor,
    convert,
    finish_calibration,
    fuse_modules,
    get_default_qat_out_qconfig,
    get_default_qat_qconfig,
    output_integers,
    prepare_calibration,
    set_fake_quantize,
    trace,
)
from horizon.quantization.layers.prepared import QATLayer
from horizon.quantization.qtensor import DTYPES, LIMITS

MINMAX = get_default_qat_qconfig(observer="minmax", qat_scale="fixed")
WIDE = get_default_qat_qconfig("int16", observer="minmax", qat_scale="fixed")


class Single(nn.Module):
    """One layer between stubs, of as many inputs as there are ``scales``.

    The layer is called as ``call(layer, *inputs)``; ``bits`` are those of the inputs.
    """

    def __init__(
        self,
        layer: nn.Module,
        scales: Sequence[float | None] = (1 / 128,),
        bits: Sequence[int] | None = None,
        call: Callable[..., Any] | None = None,
        qconfig: QConfig = MINMAX,
    ) -> None:
        super().__init__()
        self.stubs = nn.ModuleList(QuantStub(scale) for scale in scales)
        self.layer = layer
        self.dequant = DeQuantStub()
        self.call = call or (lambda module, *inputs: module(*inputs))
        self.qconfig = qconfig
        for stub, width in zip(self.stubs, bits or [8] * len(scales), strict=True):
            stub.qconfig = MINMAX if width == 8 else WIDE  # type: ignore[assignment]

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        quantised = [stub(x) for stub, x in zip(self.stubs, inputs, strict=True)]
        return self.dequant(self.call(self.layer, *quantised))


class OddNet(nn.Module):
    """Every operator, 1, 3 and 33 channels; two images (N, 2, H, W) to (N, 2, H, W)."""

    def __init__(self, size_multiple: int = 1) -> None:
        super().__init__()
        self.size_multiple = size_multiple
        self.quant = QuantStub(1 / 128)
        self.stem = nn.Conv2d(1, 33, 3, padding=1)
        self.stem_bn = nn.BatchNorm2d(33)
        self.stem_relu = nn.ReLU()
        self.grouped = nn.Conv2d(33, 33, 3, padding=1, groups=3, bias=False)
        self.grouped_bn = nn.BatchNorm2d(33)
        self.grouped_add = FloatFunctional()
        self.grouped_relu = nn.ReLU()
        self.narrow = nn.Conv2d(33, 3, 1)
        self.correlation = Correlation(1)
        self.correlation_relu = nn.ReLU()
        self.offset = nn.Conv2d(9, 2, 3, padding=1)
        self.to_pixels = FloatFunctional()
        self.warp = GridSample()
        self.concat = FloatFunctional()
        self.wide = nn.Conv2d(14, 3, 3, padding=16, dilation=16)
        self.wide_relu = nn.ReLU()
        self.up = nn.ConvTranspose2d(2, 3, 4, 2, 1)
        self.down = nn.Conv2d(3, 3, 3, stride=2, padding=1)
        self.sum = FloatFunctional()
        self.last = nn.Conv2d(3, 2, 1)
        self.dequant = DeQuantStub()

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        bottom, right = -height % self.size_multiple, -width % self.size_multiple
        if bottom or right:
            images = functional.pad(images, (0, right, 0, bottom), mode="replicate")
        images = self.quant(images)
        pair = torch.cat([images[:, :1], images[:, 1:]])
        x = self.stem_relu(self.stem_bn(self.stem(pair)))
        x = self.grouped_relu(self.grouped_add.add(x, self.grouped_bn(self.grouped(x))))
        first, second = self.narrow(x).chunk(2)
        cost = self.correlation_relu(self.correlation(first, second))
        offset = self.offset(cost)
        warped = self.warp(second, self.to_pixels.mul_scalar(offset, 2.5))
        wide = self.wide_relu(self.wide(self.concat.cat([cost, warped, offset])))
        total = self.sum.add(self.down(self.up(offset)), wide)
        return self.dequant(self.last(total))[..., :height, :width]

    def fuse_model(self, fold_bn: bool = True) -> None:
        fuse_modules(self, ["stem", "stem_bn", "stem_relu"], fold_bn)
        fuse_modules(self, ["grouped", "grouped_bn", "grouped_add", "grouped_relu"], fold_bn)
        fuse_modules(self, ["correlation", "correlation_relu"])

    def set_qconfig(self, **options: Any) -> None:
        options = {"observer": "minmax", "qat_scale": "fixed", **options}
        self.qconfig = get_default_qat_qconfig(**options)
        wide = {k: v for k, v in options.items() if k in ("qat_scale", "averaging_constant")}
        self.offset.qconfig = get_default_qat_qconfig("int16", "minmax", **wide)  # type: ignore
        self.last.qconfig = get_default_qat_out_qconfig()  # type: ignore[assignment]

    def example_input(self) -> Tensor:
        return torch.zeros(1, 2, self.size_multiple, self.size_multiple)


def odd_net(fold_bn: bool = True, size_multiple: int = 1, **options: Any) -> OddNet:
    """An :class:`OddNet` in evaluation mode with running statistics that matter; fused."""
    torch.manual_seed(0)
    model = OddNet(size_multiple)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    model.eval()
    model.fuse_model(fold_bn)
    model.set_qconfig(**options)
    return model


def images(n: int, height: int, width: int, channels: int = 2, seed: int = 0) -> Tensor:
    """Images of 8 bits, (uint8 - 128) / 128."""
    generator = torch.Generator().manual_seed(seed)
    size = (n, channels, height, width)
    return torch.randint(-128, 128, size, generator=generator) / 128


def calibrated(model: nn.Module, *batches: Any) -> nn.Module:
    """``model`` prepared and calibrated with ``batches``; in evaluation mode."""
    prepared = prepare_calibration(model).eval()
    for batch in batches:
        prepared(batch)
    return finish_calibration(prepared)


def set_state(layer: QATLayer, state: FakeQuantState, training: bool) -> None:
    layer.fake_quant_state = state
    layer.train(training)


def in_training(layer: Any, *inputs: Any, call: Callable[..., Any] | None = None) -> QTensor:
    """The layer's training form on the integers of ``inputs``; other inputs as they are."""
    set_state(layer, FakeQuantState.QAT, True)
    floats = [
        QTensor(x.values.float(), x.scale, x.bits) if isinstance(x, QTensor) else x for x in inputs
    ]
    result: QTensor = (call or (lambda m, *x: m(*x)))(layer, *floats)
    return result


def in_evaluation(layer: Any, *inputs: Any, call: Callable[..., Any] | None = None) -> QTensor:
    """The layer's evaluation form, which is the converted layer."""
    set_state(layer, FakeQuantState.QAT, False)
    with torch.no_grad():
        result: QTensor = (call or (lambda m, *x: m(*x)))(layer, *inputs)
    return result


def integers(
    shape: Sequence[int], scale: float | Sequence[float], bits: int = 8, seed: int = 0
) -> QTensor:
    """Random integers of the whole range, the limits among them."""
    low, high = LIMITS[bits]
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(low, high + 1, tuple(shape), generator=generator)
    flat = values.view(-1)
    flat[0] = low
    flat[-1] = high
    return QTensor(values.to(DTYPES[bits]), torch.tensor(scale), bits)


def set_scale(layer: Any, scale: float) -> None:
    layer.act_quant.scale.fill_(scale)
    layer.act_quant.ready.fill_(1)


def to_nhwc(values: Tensor) -> np.ndarray:
    return values.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def to_nchw(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).permute(0, 3, 1, 2)


def stub_integers(x: Tensor, scale: float, bits: int = 8) -> np.ndarray:
    low, high = LIMITS[bits]
    steps = np.floor(to_nhwc(x).astype(np.float64) / scale + 0.5)
    return np.clip(steps, low, high).astype(np.int64)


def assert_is_reference(model: Single, inputs: Sequence[Tensor]) -> Graph:
    """A calibrated :class:`Single`: evaluation, conversion and the reference give the same."""
    converted = convert(model, inputs)
    names = [f"in{i}" for i in range(len(inputs))]
    graph = trace(converted, inputs, input_names=names, output_names=["out"])
    given = {}
    for name, x in zip(names, inputs, strict=True):
        info = graph.tensors[name]
        given[name] = stub_integers(x, info.scales[0], int(info.dtype.removeprefix("int")))
    expected = to_nchw(reference.run(graph, given)["out"])
    for stage in (model, converted):
        (found,) = output_integers(stage, inputs)
        assert not found.is_floating_point()
        assert torch.equal(found.long(), expected)
    assert expected.abs().max() > 0
    return graph


def assert_all_stages(model: nn.Module, data: Any, trains: bool = True) -> Graph:
    """Every stage of a network with ``qconfig`` and stubs, in float fused already.

    Preparing keeps what it computes; training has gradients; evaluation, the converted network,
    the program in torch and the reference give the same integers.
    """
    model = model.eval()
    with torch.no_grad():
        expected = tree_leaves(model(data))
    prepared = prepare_calibration(model, data).eval()
    with torch.no_grad():
        found = tree_leaves(prepared(data))
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b)
    finish_calibration(prepared)
    if trains:
        set_fake_quantize(prepared, FakeQuantState.QAT).train()
        sum(out.square().sum() for out in tree_leaves(prepared(data))).backward()
        gradients = [p.grad for p in prepared.parameters() if p.grad is not None]
        assert gradients
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        prepared.zero_grad()
        set_fake_quantize(prepared.eval(), FakeQuantState.VALIDATION)
    integers_ = output_integers(prepared, data)
    converted = convert(prepared, data)
    graph = trace(converted, data)
    program = IntegerModel(graph)
    given = tree_leaves(data)
    outputs = program.integers(given)
    outputs = list(outputs.values()) if isinstance(outputs, dict) else [outputs]
    stubbed = {
        name: stub_integers(x, graph.tensors[name].scales[0], _bits(graph, name))
        for name, x in zip(graph.inputs, given, strict=True)
    }
    wanted = reference.run(graph, stubbed)
    for index, (name, own) in enumerate(zip(graph.outputs, integers_, strict=True)):
        assert torch.equal(output_integers(converted, data)[index], own)
        assert torch.equal(outputs[index], own)
        assert torch.equal(own.long(), to_nchw(wanted[name]))
        assert own.abs().max() > 0
    return graph


def _bits(graph: Graph, name: str) -> int:
    return int(graph.tensors[name].dtype.removeprefix("int"))
