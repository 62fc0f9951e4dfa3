from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from horizon.errors import InputError
from horizon.quantization.scales.histogram import BINS, Histogram, kl_threshold, squared_error
from horizon.quantization.scales.observers import (
    FLOOR,
    OBSERVERS,
    HistogramObserver,
    Observer,
    make_observer,
)

HISTOGRAMS = ("percentile", "mse", "kl")


def normal(count: int = 50_000, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


def heavy(count: int = 50_000, seed: int = 0) -> torch.Tensor:
    """Laplace-like values with a few large outliers."""
    values = normal(count, seed) * normal(count, seed + 1)
    values[:5] *= 40
    return values


def observed(name: str, *batches: torch.Tensor, qmax: int = 127, **arguments) -> Observer:
    observer = make_observer(name, qmax, **arguments)
    for batch in batches:
        observer.observe(batch)
    return observer


def error_of(values: torch.Tensor, scale: float, qmax: int) -> float:
    x = values.double().numpy()
    q = np.clip(np.floor(x / scale + 0.5), -qmax, qmax)
    return float(np.mean((x - q * scale) ** 2))


@pytest.mark.parametrize("qmax", [127, 32767])
def test_minmax_is_the_largest_magnitude(qmax: int) -> None:
    first, second = normal(100, 1), normal(100, 2) * 3
    expected = float(torch.cat([first, second]).abs().max())
    assert observed("minmax", first, second, qmax=qmax).scale() == expected / qmax
    assert observed("minmax", second, first, qmax=qmax).largest == expected
    wide = observed("minmax", first, second, qmax=qmax, margin=1.25)
    assert wide.scale() == pytest.approx(1.25 * expected / qmax)


def test_moving_average() -> None:
    batches = [torch.tensor([value, -1.0]) for value in (4.0, 8.0, 2.0)]
    observer = observed("moving_average", *batches)
    average = 4.0 + 0.01 * (8.0 - 4.0)
    average += 0.01 * (2.0 - average)
    assert observer.scale() * 127 == pytest.approx(average, rel=1e-12)
    assert observer.largest == 8.0
    assert observed("moving_average", *batches, averaging_constant=1.0).scale() == 2.0 / 127


@pytest.mark.parametrize("percentile", [50.0, 99.0, 99.9, 99.99, 100.0])
@pytest.mark.parametrize("count_zeros", [False, True])
def test_percentile(percentile: float, count_zeros: bool) -> None:
    values = torch.relu(heavy()) + 0.0
    counted = values if count_zeros else values[values > 0]
    expected = np.percentile(counted.double().numpy(), percentile, method="inverted_cdf")
    observer = observed("percentile", values, percentile=percentile, count_zeros=count_zeros)
    width = 2.0 ** math.ceil(math.log2(observer.largest)) / BINS
    # 1e-12: at 50 % with zeros the threshold is 0, and the scale the floor.
    assert observer.scale() * 127 == pytest.approx(max(expected, FLOOR), abs=width + 1e-12)
    if percentile == 100:
        assert observer.scale() == observed("minmax", values).scale()


def test_percentile_interpolates_within_a_bin() -> None:
    # 3000 even values in each bin: the percentile is far better known than to one bin.
    count = 2048 * 3000
    values = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    observer = observed("percentile", values, torch.tensor([1.0]), percentile=37.21)
    assert observer.scale() * 127 == pytest.approx(0.3721, abs=0.02 / 2048)


@pytest.mark.parametrize("qmax", [7, 127, 32767])
@pytest.mark.parametrize(
    "make", [normal, heavy, lambda: torch.special.ndtr(normal(20_000)), lambda: normal(500)]
)
def test_mse_is_as_good_as_brute_force(make, qmax: int) -> None:
    values = make()
    observer = observed("mse", values, qmax=qmax)
    largest = observer.largest
    candidates = np.concatenate(
        [largest * 2.0 ** -np.linspace(0, 7, 400), largest * np.linspace(0.99, 1, 50)]
    )
    best = min(error_of(values, t / qmax, qmax) for t in candidates)
    assert error_of(values, observer.scale(), qmax) <= 1.03 * best
    assert observer.scale() * qmax <= largest * (1 + 1e-12)


def test_mse_search_is_fine() -> None:
    observer = observed("mse", heavy())
    assert isinstance(observer, HistogramObserver)
    dense = np.linspace(0.05, 1, 5000) * observer.largest
    best = squared_error(observer.histogram, dense, 127).min()
    found = squared_error(observer.histogram, np.array([observer.scale() * 127]), 127)[0]
    assert found <= (1 + 1e-7) * best


def test_mse_clips_a_far_outlier() -> None:
    values = normal(1_000_000)
    values[0] = 500.0
    scale = observed("mse", values).scale()
    candidates = np.geomspace(1, 500, 60)
    best = min(error_of(values, t / 127, 127) for t in candidates)
    assert error_of(values, scale, 127) <= 1.05 * best
    assert best < 0.9 * error_of(values, 500 / 127, 127)


def slow_kl(counts: np.ndarray, levels: int, stop: int) -> float:
    """The divergence for the first ``stop`` bins, as the talk's pseudo-code has it."""
    reference = [float(c) for c in counts[:stop]]
    reference[-1] += float(counts[stop:].sum())
    candidate = [0.0] * stop
    for level in range(levels):
        members = [i for i in range(stop) if i * levels // stop == level]
        used = [i for i in members if reference[i] > 0]
        for i in used:
            candidate[i] = sum(float(counts[j]) for j in members) / len(used)
    total, share = sum(reference), sum(candidate)
    divergence = 0.0
    for p, q in zip(reference, candidate, strict=True):
        if p > 0:
            divergence += p / total * math.log((p / total) / (q / share)) if q > 0 else math.inf
    return divergence


def test_kl_is_the_smallest_divergence() -> None:
    values = heavy(20_000)
    histogram = Histogram()
    histogram.add(values, float(values.abs().max()))
    counts = histogram.counts.numpy()
    last = int(np.flatnonzero(counts)[-1]) + 1
    divergences = {stop: slow_kl(counts, 16, stop) for stop in range(last, 15, -8)}
    expected = min(divergences, key=lambda stop: divergences[stop])
    assert expected < last
    found = kl_threshold(histogram, float(values.abs().max()), 16)
    assert found == expected * histogram.bin_width


def test_kl_keeps_all_of_an_even_distribution_and_clips_outliers() -> None:
    even = torch.linspace(0, 1, 100_001)
    assert observed("kl", even).scale() * 127 == pytest.approx(1.0, rel=0.01)
    values = heavy()
    assert observed("kl", values).scale() < 0.5 * observed("minmax", values).scale()


def test_kl_with_16_bits_is_minmax() -> None:
    values = heavy()
    assert observed("kl", values, qmax=32767).scale() == float(values.abs().max()) / 32767


@pytest.mark.parametrize("name", ["minmax", *HISTOGRAMS])
def test_order_and_division_into_batches_do_not_matter(name: str) -> None:
    values = heavy() * torch.logspace(-6, 3, 50_000)[normal(50_000, 9).argsort()]
    pieces = list(values.sort().values.split(7001))
    scales = {
        observed(name, values.reshape(5, 100, 2, -1)).scale(),
        observed(name, *pieces).scale(),
        observed(name, *reversed(pieces)).scale(),
        observed(name, torch.zeros(3), *pieces[1:], pieces[0].double()).scale(),
    }
    assert len(scales) == 1


def test_range_growth_moves_no_count() -> None:
    values = torch.cat([normal(5000) * 10.0**exponent for exponent in range(-6, 5)]).abs()
    grown = Histogram()
    for piece in values.split(1000):
        grown.add(piece, float(piece.max()))
    at_once = Histogram()
    at_once.add(values, float(values.max()))
    assert grown.exponent == at_once.exponent == math.ceil(math.log2(float(values.max())))
    torch.testing.assert_close(grown.counts, at_once.counts, rtol=0, atol=0)
    expected, _ = np.histogram(values.numpy(), BINS, (0, 2.0**grown.exponent))
    np.testing.assert_array_equal(grown.counts.numpy(), expected)


def test_zeros_do_not_widen_the_range() -> None:
    histogram = Histogram()
    histogram.add(torch.zeros(3), 0.0)
    histogram.add(torch.tensor([2.0**-10, 0.0]), 2.0**-10)
    assert histogram.exponent == -9
    assert int(histogram.zeros) == 4
    assert int(histogram.counts.sum()) == 1


@pytest.mark.parametrize("largest", [3.4e38, 1.0, 2.0**-14, 2.0**-15, 1e-40])
@pytest.mark.parametrize("name", OBSERVERS)
def test_extreme_ranges(name: str, largest: float) -> None:
    observer = observed(name, torch.tensor([largest, -largest / 2, 0.0]))
    scale = observer.scale()
    assert math.isfinite(scale)
    assert scale * 127 >= FLOOR
    assert scale * 127 == pytest.approx(max(largest, FLOOR), rel=0.01)
    assert observer.is_zero == (largest < FLOOR)


@pytest.mark.parametrize("qmax", [127, 32767])
@pytest.mark.parametrize("name", OBSERVERS)
def test_all_zero(name: str, qmax: int) -> None:
    observer = observed(name, torch.zeros(2, 3), torch.full((4,), 1e-6), qmax=qmax)
    assert observer.is_zero
    assert observer.scale() == FLOOR / qmax
    observer.observe(torch.tensor([1.0]))
    assert not observer.is_zero


def test_a_margin_does_not_revive_a_zero_tensor() -> None:
    assert observed("minmax", torch.tensor([1e-6]), margin=1e4).scale() == FLOOR / 127


@pytest.mark.parametrize("value", [1.0, -3.3, 127.0])
@pytest.mark.parametrize("name", OBSERVERS)
def test_single_value(name: str, value: float) -> None:
    observer = observed(name, torch.tensor(value))
    assert observer.scale() * 127 == pytest.approx(abs(value), rel=1 / 1000)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", OBSERVERS)
def test_other_float_types_are_read_as_float32(name: str, kind: torch.dtype) -> None:
    values = heavy().to(kind)
    assert observed(name, values).scale() == observed(name, values.float()).scale()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize("name", OBSERVERS)
def test_not_finite(name: str, value: float) -> None:
    observer = observed(name, torch.tensor([1.0, 2.0]))
    before = observer.scale()
    with pytest.raises(ValueError, match="not finite"):
        observer.observe(torch.tensor([0.0, value, 5.0], dtype=torch.float64))
    assert observer.scale() == before  # nothing of the refused tensor stays


@pytest.mark.parametrize("name", OBSERVERS)
def test_life_of_an_observer(name: str) -> None:
    observer = make_observer(name, 127)
    assert (observer.observed, observer.is_zero, observer.largest) == (False, False, 0.0)
    with pytest.raises(RuntimeError, match="no values were observed"):
        observer.scale()
    with pytest.raises(ValueError, match="empty"):
        observer.observe(torch.zeros(0, 4))
    assert not observer.observed

    with torch.inference_mode():
        observer.observe(normal(100))
    values = normal(100, 1).requires_grad_()
    observer.observe(values / 8)  # within the range that was set in inference mode
    observer.observe(values * 2)
    observer.synchronize()  # without processes: nothing happens
    assert observer.observed
    assert not [*observer.state_dict(), *observer.buffers()]

    twin = copy.deepcopy(observer)
    assert twin.scale() == observer.scale()
    twin.observe(normal(100) * 50)
    assert twin.scale() != observer.scale()

    observer.reset()
    assert not observer.observed
    observer.observe(normal(100))
    assert observer.scale() == observed(name, normal(100)).scale()


def test_make_observer_errors() -> None:
    with pytest.raises(InputError, match=r"'percentil'.*did you mean 'percentile'"):
        make_observer("percentil", 127)
    with pytest.raises(InputError, match=r"'mse'.*unknown argument 'percentile'.*no arguments"):
        make_observer("mse", 127, percentile=99.0)
    with pytest.raises(InputError, match=r"'percentil'.*it takes percentile, count_zeros"):
        make_observer("percentile", 127, percentil=99.0)
    for name, arguments in (
        ("percentile", {"percentile": 0.0}),
        ("percentile", {"percentile": 100.1}),
        ("percentile", {"percentile": "99"}),
        ("minmax", {"margin": 0.9}),
        ("minmax", {"margin": math.nan}),
        ("moving_average", {"averaging_constant": 0.0}),
    ):
        with pytest.raises(InputError, match=f"'{name}'.*{next(iter(arguments))}"):
            make_observer(name, 127, **arguments)
    with pytest.raises(InputError, match="qmax"):
        make_observer("minmax", 0)
