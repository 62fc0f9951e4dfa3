"""The integer kernels against the definitions of ``horizon.hbir``."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from horizon.hbir import fixed_point
from horizon.hbir.operators.warp import warp as reference_warp
from horizon.quantization.arithmetic import kernels
from horizon.quantization.arithmetic.kernels import EXACT_IN_FLOAT32, Geometry
from horizon.quantization.qtensor import DTYPES
from tests.horizon.quantization.small_models import integers, to_nchw, to_nhwc

GEOMETRIES = [
    ((1, 1, 1, 7), 3, 1, Geometry()),
    ((2, 3, 5, 4), 33, 3, Geometry(padding=(1, 1))),
    ((1, 33, 1, 6), 1, 3, Geometry(padding=(1, 1), stride=(2, 2))),
    ((1, 33, 5, 7), 33, 3, Geometry(padding=(1, 1), groups=3)),
    ((1, 33, 5, 7), 33, 3, Geometry(padding=(1, 1), groups=33)),
    ((1, 3, 33, 34), 4, 3, Geometry(padding=(16, 16), dilation=(16, 16))),
    ((1, 3, 9, 8), 4, 3, Geometry(padding=(2, 1), dilation=(2, 1), stride=(1, 2))),
    ((1, 65, 4, 5), 2, 3, Geometry(padding=(1, 1))),
    ((1, 3, 1, 5), 4, 4, Geometry(True, (2, 2), (1, 1))),
    ((1, 65, 3, 5), 2, 4, Geometry(True, (2, 2), (1, 1))),
    ((2, 33, 4, 3), 3, 3, Geometry(True, (2, 1), (1, 0))),
    ((1, 65, 3, 5), 2, 4, Geometry(True, (2, 2), (1, 1), output_padding=(1, 0))),
    ((2, 6, 3, 4), 9, 3, Geometry(True, (2, 3), (1, 1), groups=3, output_padding=(1, 2))),
    ((1, 33, 3, 1), 33, 3, Geometry(True, (2, 2), (1, 1), (2, 1), 33)),
]


def random_weight(channels: int, outputs: int, kernel: int, g: Geometry) -> torch.Tensor:
    rows, columns = (channels, outputs) if g.transposed else (outputs, channels)
    shape = rows, columns // g.groups
    return torch.randint(-127, 128, (*shape, kernel, kernel)).to(torch.int8)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("shape", "outputs", "kernel", "geometry"), GEOMETRIES)
def test_accumulators_are_exact(shape, outputs, kernel, geometry, bits):
    torch.manual_seed(0)
    x = integers(shape, 1.0, bits).values
    weight = random_weight(shape[1], outputs, kernel, geometry)
    ranges = kernels.channel_groups(weight, geometry, 2 ** (bits - 1))
    wide = weight.float() if ranges else weight.double()
    parts = kernels.accumulate(x, wide, geometry, ranges)
    g = geometry
    if g.transposed:
        expected = torch.nn.functional.conv_transpose2d(
            *(x.double(), weight.double(), None, g.stride, g.padding),
            *(g.output_padding, g.groups, g.dilation),
        )
    else:
        expected = torch.nn.functional.conv2d(
            x.double(), weight.double(), None, g.stride, g.padding, g.dilation, g.groups
        )
    assert torch.equal(sum(part.double() for part in parts), expected.double())


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_extreme_sums_are_exact(transposed, bits):
    """All products of one sign: the largest sum there is, in more than one part."""
    kernel, padding = (3, 1) if bits == 8 else (1, 0)
    shape = (200, 3) if transposed else (3, 200)
    weight = torch.full((*shape, kernel, kernel), -127, dtype=torch.int8)
    x = torch.full((1, 200, 4, 4), -(2 ** (bits - 1)), dtype=DTYPES[bits])
    geometry = Geometry(transposed, padding=(padding, padding))
    ranges = kernels.channel_groups(weight, geometry, 2 ** (bits - 1))
    assert len(ranges) > 1
    assert [a for a, _ in ranges[1:]] == [b for _, b in ranges[:-1]]
    assert (ranges[0][0], ranges[-1][1]) == (0, 200)
    for start, stop in ranges:
        part = weight.long().abs().narrow(0 if transposed else 1, start, stop - start)
        per_output = part.sum((0, 2, 3) if transposed else (1, 2, 3)) * 2 ** (bits - 1)
        assert int(per_output.max()) < EXACT_IN_FLOAT32
    parts = kernels.accumulate(x, weight.float(), geometry, ranges)
    inner = sum(part.double() for part in parts)[0, 0, 1, 1]
    assert int(inner) == 200 * kernel**2 * 127 * 2 ** (bits - 1)


def test_what_float32_cannot_hold_runs_in_float64():
    one_channel = torch.full((1, 1, 9, 9), 127, dtype=torch.int8)
    assert kernels.channel_groups(one_channel, Geometry(), 32768) == []
    grouped = torch.full((2, 20, 3, 3), 127, dtype=torch.int8)
    assert kernels.channel_groups(grouped, Geometry(groups=2), 32768) == []
    assert kernels.channel_groups(grouped, Geometry(groups=2), 128) == [(0, 40)]
    transposed = torch.full((40, 1, 3, 3), 127, dtype=torch.int8)  # 20 inputs of each output
    assert kernels.channel_groups(transposed, Geometry(True, groups=2), 32768) == []
    assert kernels.channel_groups(transposed, Geometry(True, groups=2), 700) == [(0, 40)]


def ties_and_extremes(low: int, high: int, ratio: float) -> np.ndarray:
    """Accumulators that fall on and beside the ties of a power-of-two ratio, and the largest."""
    ties = (np.arange(low - 2, high + 3) + 0.5) / ratio
    near = np.concatenate([ties - 1, ties, ties + 1])
    limit = fixed_point.ACCUMULATOR_LIMIT - 1
    return np.clip(np.concatenate([near, [-limit, limit, 0]]), -limit, limit).astype(np.int64)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("ratio", [2.0**-5, 2.0**-3 / 3, 2.0**-13 * 1.1, 1.7])
@pytest.mark.parametrize("relu", [False, True])
def test_requantize(bits, ratio, relu):
    low, high = (0 if relu else -(2 ** (bits - 1))), 2 ** (bits - 1) - 1
    acc = ties_and_extremes(-130, 130, ratio)
    multiplier, shift = fixed_point.quantize_ratio(ratio, "here")
    expected = fixed_point.requantize(acc, multiplier, shift, low, high)
    parts = [torch.from_numpy(acc).double().view(1, 1, 1, -1)]
    exact = torch.tensor(multiplier * 2.0**-shift, dtype=torch.float64)
    found = kernels.requantize(parts, None, exact, low, high, DTYPES[bits])
    assert found.dtype == DTYPES[bits]
    assert torch.equal(found.long().flatten(), torch.from_numpy(expected))
    assert {low, high} <= set(expected.tolist()) or bits == 16


def test_requantize_with_bias_parts_and_a_second_summand():
    """More values than one block, a channel at a time."""
    torch.manual_seed(0)
    shape = (2, 3, 300, 301)
    parts = [torch.randint(-(2**23), 2**23, shape).float() for _ in range(3)]
    bias = torch.randint(-(2**25), 2**25, (3,)).to(torch.int32)
    other = integers(shape, 1.0, 16).values
    first, second, shift = fixed_point.align_ratios(
        np.array([1e-5, 3e-6, 2e-9]), np.array([1e-3, 7e-8, 4e-3]), "here"
    )
    acc = sum(part.long() for part in parts) + bias.long().view(-1, 1, 1)
    expected = fixed_point.requantize_sum(
        to_nhwc(acc), first, to_nhwc(other), second, shift, -128, 127
    )
    steps = 2.0 ** -torch.from_numpy(shift).double()
    ratios = [torch.from_numpy(m).double() * steps for m in (first, second)]
    found = kernels.requantize(parts, bias, ratios[0], -128, 127, torch.int8, other, ratios[1])
    assert torch.equal(found.long(), to_nchw(expected))


@pytest.mark.parametrize("channels", [1, 3, 33])
@pytest.mark.parametrize("bits", [(8, 8), (16, 8), (16, 16)])
def test_correlation(channels, bits):
    first = integers((2, channels, 1, 5), 1.0, bits[0], seed=1).values
    second = integers((2, channels, 1, 5), 1.0, bits[1], seed=2).values
    found = kernels.correlate(first, second, 2)
    padded = torch.nn.functional.pad(second.long(), (2, 2, 2, 2))
    for dy in range(5):
        for dx in range(5):
            products = first.long() * padded[..., dy : dy + 1, dx : dx + 5]
            assert torch.equal(found[:, dy * 5 + dx].long(), products.sum(1))


def test_the_largest_correlation():
    x = torch.full((1, 1030, 2, 2), -128, dtype=torch.int8)
    assert int(kernels.correlate(x, x, 0).max()) == 1030 * 2**14  # beyond 2**24


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3), (3, 130), (130, 2), (2, 260)])
@pytest.mark.parametrize("bits", [8, 16])
def test_warp(size, bits):
    height, width = size
    feature = integers((2, 3, height, width), 1.0, bits).values
    generator = torch.Generator().manual_seed(1)
    fraction = fixed_point.offset_fraction_bits(height, width)
    offset = torch.randint(
        -3 << fraction, 3 << fraction, (2, 2, height, width), generator=generator
    )
    offset.view(-1)[:4] = torch.tensor([-32768, 32767, 0, -1])
    offset.view(-1)[-1] = -32768
    found = kernels.warp(feature, offset.to(torch.int16))
    expected = reference_warp(
        to_nhwc(feature).astype(np.int64), to_nhwc(offset).astype(np.int64), fraction
    )
    assert found.dtype == feature.dtype
    assert torch.equal(found.long(), to_nchw(expected))


@pytest.mark.parametrize("bits", [8, 16])
def test_warp_of_extremes(bits):
    """The limits come back as they are from any place within the map."""
    for value in (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1):
        feature = torch.full((1, 1, 4, 4), value, dtype=DTYPES[bits])
        offset = torch.randint(0, 256, (1, 2, 4, 4))
        inside = kernels.warp(feature, offset)[..., :3, :3]
        assert (inside == value).all()


@pytest.mark.parametrize("size", [(1, 1), (6, 200), (6, 1100)])
@pytest.mark.parametrize("scale", [2.0**-8, 0.0123, 2.0**-15, 4.0])
def test_requantize_offset(size, scale):
    offset = torch.arange(-32768, 32768, 7, dtype=torch.int16).view(1, 1, 1, -1)
    multiplier, shift = fixed_point.quantize_ratio(scale, "here")
    bits = fixed_point.offset_fraction_bits(*size)
    expected = fixed_point.requantize(to_nhwc(offset), multiplier, shift - bits, -32768, 32767)
    found = kernels.requantize_offset(offset, multiplier * 2.0**-shift, size)
    assert found.dtype == torch.int16
    assert torch.equal(found.long(), to_nchw(expected))
