"""The native operators on tensors against the same operators in torch."""

from __future__ import annotations

import pytest
import torch

from horizon.errors import InputError
from horizon.hbir.fixed_point import LIMITS
from horizon.quantization.arithmetic import kernels, native
from horizon.quantization.arithmetic.kernels import Geometry
from horizon.quantization.layers.conv_integers import QuantizedConv
from horizon.quantization.layers.converted import ratio_tensor
from horizon.quantization.qtensor import DTYPES, QTensor

GEOMETRIES = {
    "plain": Geometry(padding=(1, 1)),
    "strided": Geometry(stride=(2, 1), padding=(1, 0)),
    "dilated": Geometry(padding=(2, 4), dilation=(2, 4)),
    "more at the end": Geometry(padding=(0, 1), end_padding=(2, 0), stride=(2, 1)),
    "grouped": Geometry(padding=(1, 1), groups=2),
    "transposed": Geometry(transposed=True, stride=(2, 2), padding=(1, 1)),
    "more of it": Geometry(True, (2, 3), (1, 1), output_padding=(1, 2)),
    "transposed, grouped": Geometry(True, (2, 2), (1, 0), groups=2),
}


def integers(bits: int, *shape: int, generator: torch.Generator) -> torch.Tensor:
    low, high = LIMITS[f"int{bits}"]
    return torch.randint(low, high + 1, shape, generator=generator).to(DTYPES[bits])


def layer(
    geometry: Geometry, inputs: int, outputs: int, bits: int, residual: bool, g: torch.Generator
) -> QuantizedConv:
    rows, columns = (inputs, outputs) if geometry.transposed else (outputs, inputs)
    shape = rows, columns // geometry.groups
    weight = torch.randint(-127, 128, (*shape, 3, 3), generator=g).to(torch.int8)
    bias = torch.randint(-(10**5), 10**5, (outputs,), generator=g).to(torch.int32)
    multiplier = torch.randint(2**23, 2**24, (outputs,), generator=g)
    second = torch.randint(0, 2**24, (outputs,), generator=g) if residual else None
    shift = torch.randint(30, 40, (outputs,), generator=g)
    scale = torch.tensor(1.0)
    return QuantizedConv(
        "conv", weight, bias, geometry, multiplier, shift, second, scale, 16, -1000, 32767, bits
    )


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize(
    ("inputs", "outputs", "bits", "residual"),
    [(6, 2, 8, False), (34, 20, 8, True), (4, 6, 16, True)],
)
def test_convolutions(name: str, inputs: int, outputs: int, bits: int, residual: bool) -> None:
    g = torch.Generator().manual_seed(inputs)
    conv = layer(GEOMETRIES[name], inputs, outputs, bits, residual, g)
    x = integers(bits, 2, inputs, 11, 9, generator=g)
    if residual:
        conv.residual_multiplier, second = None, conv.residual_multiplier
        shape = conv._on_gpu(x, None).shape
        conv.residual_multiplier = second
        other = integers(16, *shape, generator=g)
    else:
        other = None
    expected = conv._on_gpu(x, other)
    for layout in (torch.contiguous_format, torch.channels_last):
        found = conv._on_cpu(x.contiguous(memory_format=layout), other)
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    assert expected.unique().numel() > 50


def test_changed_constants_are_packed_again() -> None:
    g = torch.Generator().manual_seed(0)
    conv = layer(GEOMETRIES["plain"], 5, 3, 8, False, g)
    x = integers(8, 1, 5, 4, 4, generator=g)
    before = conv._on_cpu(x, None)
    conv.weight.neg_()
    assert torch.equal(conv._on_cpu(x, None), conv._on_gpu(x, None))
    assert not torch.equal(conv._on_cpu(x, None), before)


def test_slices_of_channels_are_not_copied_wrongly() -> None:
    g = torch.Generator().manual_seed(1)
    conv = layer(GEOMETRIES["plain"], 5, 3, 8, False, g)
    whole = integers(8, 2, 9, 6, 7, generator=g).contiguous(memory_format=torch.channels_last)
    part = whole[:, 2:7]
    assert torch.equal(conv._on_cpu(part, None), conv._on_gpu(part, None))


def test_floats_that_hold_integers_are_taken() -> None:
    g = torch.Generator().manual_seed(2)
    conv = layer(GEOMETRIES["plain"], 5, 3, 8, False, g)
    x = integers(8, 1, 5, 4, 4, generator=g)
    scale = torch.tensor(1.0)
    found = [conv(QTensor(values, scale, 8)).values for values in (x, x.float())]
    assert torch.equal(*found)


@pytest.mark.parametrize("channels", [1, 3, 33])
def test_correlation(channels: int) -> None:
    g = torch.Generator().manual_seed(channels)
    first, second = (integers(8, 2, channels, 5, 6, generator=g) for _ in range(2))
    ratio = (12345678, 35)
    expected = kernels.requantize(
        [kernels.correlate(first, second, 2)],
        None,
        ratio_tensor(ratio, first.device),
        0,
        127,
        torch.int8,
    )
    assert torch.equal(native.correlate(first, second, 2, ratio, (0, 127), torch.int8), expected)


@pytest.mark.parametrize("bits", [8, 16])
def test_warp(bits: int) -> None:
    g = torch.Generator().manual_seed(bits)
    feature = integers(bits, 2, 7, 12, 10, generator=g)
    offset = integers(16, 2, 2, 12, 10, generator=g)
    ratio = (9000000, 36)
    places = kernels.requantize_offset(offset, ratio[0] * 2.0 ** -ratio[1], (12, 10))
    assert torch.equal(native.warp(feature, offset, ratio), kernels.warp(feature, places))


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_rescale_and_add(bits: int) -> None:
    g = torch.Generator().manual_seed(bits)
    first, second = (integers(bits, 2, 5, 3, 4, generator=g) for _ in range(2))
    if bits == 32:  # torch's doubles hold sums of 53 bits
        first, second = first >> 5, second >> 5
    shift = 24 + max(bits - 14, 0)
    multiplier = torch.randint(2**23, 2**24, (5,), generator=g)
    shifts = torch.randint(shift, shift + 3, (5,), generator=g)
    step = torch.ldexp(torch.ones(5, dtype=torch.float64), -shifts)
    limits = (-30000, 30000)
    expected = kernels.requantize([first], None, multiplier * step, *limits, torch.int16)
    ratio = (multiplier.numpy(), shifts.numpy())
    assert torch.equal(native.rescale(first, ratio, limits, torch.int16), expected)
    ratios = (2**23 + 5, 2**22 + 7, shift)
    sums = kernels.requantize(
        [first],
        None,
        ratio_tensor((ratios[0], shift), first.device),
        *limits,
        torch.int16,
        second,
        ratio_tensor((ratios[1], shift), first.device),
    )
    assert torch.equal(native.add(first, second, ratios, limits, torch.int16), sums)


@pytest.mark.parametrize("axis", [0, 1])
def test_concatenation(axis: int) -> None:
    g = torch.Generator().manual_seed(axis)
    first = integers(8, 2, 4, 3, 5, generator=g)
    second = integers(8, 2, 9, 3, 5, generator=g).to(memory_format=torch.channels_last)[:, 2:6]
    parts = [first, second, first]
    assert torch.equal(native.concatenate(parts, axis), torch.cat(parts, axis))


def test_a_layer_that_two_threads_use_for_the_first_time() -> None:
    """A thread may find any state of the layer that another one is just changing."""
    g = torch.Generator().manual_seed(0)
    conv = layer(GEOMETRIES["plain"], 5, 3, 8, False, g)
    x = integers(8, 1, 5, 4, 4, generator=g)
    found = []

    class Interrupted(QuantizedConv):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            found.append(QuantizedConv._on_cpu(self, x, None))

    conv.__class__ = Interrupted
    conv._on_cpu(x, None)
    assert found
    assert all(torch.equal(values, conv._on_gpu(x, None)) for values in found)


def test_kernels_that_there_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HORIZON_KERNELS", "mmx")
    with pytest.raises(InputError, match=r"HORIZON_KERNELS is unknown.*'mmx'"):
        native.rescale(torch.ones(1, 1, 1, 1, dtype=torch.int8), (2, 1), (0, 1), torch.int8)
