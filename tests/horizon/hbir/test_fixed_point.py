"""The arithmetic against exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.errors import InputError
from horizon.hbir.fixed_point import (
    ACCUMULATOR_LIMIT,
    align_ratios,
    offset_fraction_bits,
    prove_no_overflow,
    quantize_ratio,
    quantize_ratios,
    requantize,
    requantize_sum,
)
from tests.horizon.hbir.slow import rounded

# Shifts 1..47 are the ratios from 2^-24 to 2^23; at the upper end M rounds up to the next shift.
ratios = st.floats(2.0**-24, 2.0**23 * (1 - 2.0**-24), exclude_max=True)
accumulators = st.integers(1 - ACCUMULATOR_LIMIT, ACCUMULATOR_LIMIT - 1)
multipliers = st.integers(2**23, 2**24 - 1)
shifts = st.integers(1, 47)
clamps = st.sampled_from([(-128, 127), (0, 127), (-32768, 32767), (-(2**31), 2**31 - 1)])


@given(ratios)
def test_a_ratio_is_kept_to_24_bits(ratio):
    multiplier, shift = quantize_ratio(ratio, "layer")
    assert 2**23 <= multiplier < 2**24
    assert 1 <= shift <= 47
    error = abs(Fraction(multiplier, 2**shift) / Fraction(ratio) - 1)
    assert error <= Fraction(1, 2**24)
    assert type(multiplier) is type(shift) is int


@given(st.lists(ratios, min_size=1, max_size=5))
def test_a_vector_of_ratios_is_each_ratio(values):
    multiplier, shift = quantize_ratios(np.array(values), "layer")
    assert multiplier.dtype == shift.dtype == np.int64
    expected = [quantize_ratio(value, "layer") for value in values]
    assert list(zip(multiplier.tolist(), shift.tolist(), strict=True)) == expected


def test_a_multiplier_that_rounds_to_24_bits_moves_the_shift():
    assert quantize_ratio(1.0, "layer") == (2**23, 23)
    assert quantize_ratio(1 - 2.0**-24, "layer") == (2**24 - 1, 24)
    assert quantize_ratio(1 - 2.0**-26, "layer") == (2**23, 23)


@pytest.mark.parametrize("ratio", [2.0**-25, 2.0**23, 1e-30, 1e30, 5e-324])
def test_a_shift_out_of_range_names_the_layer(ratio):
    with pytest.raises(InputError, match=r"head.conv.*shift"):
        quantize_ratio(ratio, "head.conv")
    with pytest.raises(InputError, match=r"head.conv.*channel 1"):
        quantize_ratios(np.array([1.0, ratio]), "head.conv")


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("nan"), float("inf")])
def test_a_ratio_that_is_no_positive_number_names_the_layer(ratio):
    with pytest.raises(InputError, match=r"head.conv.*positive finite"):
        quantize_ratio(ratio, "head.conv")
    with pytest.raises(InputError, match=r"head.conv.*positive finite"):
        align_ratios(np.array([1.0]), np.array([ratio]), "head.conv")


def test_the_ends_of_the_shifts_are_legal():
    assert quantize_ratio(2.0**-24, "layer") == (2**23, 47)
    assert quantize_ratio(2.0**22, "layer") == (2**23, 1)


@given(ratios, ratios)
def test_aligned_ratios_share_the_shift_of_the_larger(a, b):
    ma, mb, shift = (int(v[0]) for v in align_ratios(np.array([a]), np.array([b]), "sum"))
    assert shift == quantize_ratio(max(a, b), "sum")[1]
    assert 2**23 <= max(ma, mb) < 2**24
    for multiplier, ratio in ((ma, a), (mb, b)):
        assert abs(multiplier - Fraction(ratio) * 2**shift) <= Fraction(1, 2)


def test_aligned_ratios_at_the_limits():
    almost_one = 1 - 2.0**-26
    found = align_ratios(np.array([almost_one, 1.0, 2.0**-24]), np.array([0.5, 2.0**-30, 4]), "sum")
    # 1 - 2^-26 rounds up to 1: both multipliers are halved with it.
    assert np.array(found).tolist() == [[2**23, 2**23, 0], [2**22, 0, 2**23], [23, 23, 21]]


@given(accumulators, multipliers, shifts, clamps)
def test_requantise_is_one_exact_rounding(acc, multiplier, shift, clamp):
    found = requantize(np.array([acc]), multiplier, shift, *clamp)
    assert found.dtype == np.int64
    assert int(found[0]) == rounded(Fraction(acc * multiplier, 2**shift), *clamp)


@given(accumulators, multipliers, shifts)
def test_requantise_in_float64_gives_the_same(acc, multiplier, shift):
    limits = (-(2**62), 2**62)
    expected = int(requantize(np.array([acc]), multiplier, shift, *limits)[0])
    assert np.floor(np.float64(acc) * (multiplier * 2.0**-shift) + 0.5) == expected


@given(accumulators, st.integers(0, 2**24), accumulators, multipliers, shifts, clamps)
def test_a_sum_is_rounded_once(a, ma, b, mb, shift, clamp):
    found = requantize_sum(np.array([a]), ma, np.array([b]), mb, shift, *clamp)
    assert int(found[0]) == rounded(Fraction(a * ma + b * mb, 2**shift), *clamp)


def test_ties_go_up():
    acc = np.array([-5, -3, -1, 1, 3, 5])
    found = requantize(acc, 2**23, 24, -128, 127)
    assert found.tolist() == [-2, -1, 0, 1, 2, 3]


def test_each_channel_has_its_own_ratio():
    acc = np.full((1, 2, 2, 3), 1000)
    found = requantize(acc, np.array([2**23, 2**23, 3 * 2**22]), np.array([23, 24, 25]), -128, 600)
    assert found.shape == acc.shape
    assert found[0, 0, 0].tolist() == [600, 500, 375]


@given(st.integers(1, 70000), st.integers(1, 70000))
def test_fraction_bits_are_the_formula_s(height, width):
    exact = min(max(15 - ceil(log2(max(height, width) + 1)), 0), 8)
    assert offset_fraction_bits(height, width) == exact


def test_fraction_bits_at_powers_of_two():
    sizes = (1, 127, 128, 255, 256, 1023, 1024, 16383, 16384, 40000)
    assert [offset_fraction_bits(1, size) for size in sizes] == [8, 8, 7, 7, 6, 5, 4, 1, 0, 0]


def test_overflow_bounds_are_the_sums_of_magnitudes():
    weight = np.array([[[[1, -2]]], [[[127, -127]]]], np.int8)
    bounds = prove_no_overflow(weight, np.array([-5, 7], np.int32), 128, "conv")
    assert bounds.dtype == np.int64
    assert bounds.tolist() == [3 * 128 + 5, 254 * 128 + 7]


def test_the_proof_fails_at_the_limit_and_names_layer_and_channel():
    weight = np.zeros((2, 1, 1, 1), np.int8)
    prove_no_overflow(weight, np.array([0, ACCUMULATOR_LIMIT - 1]), 128, "head.conv")
    with pytest.raises(InputError, match=r"head.conv.*channel 1 .*268435456"):
        prove_no_overflow(weight, np.array([0, -ACCUMULATOR_LIMIT]), 128, "head.conv")


def test_the_most_negative_weight_counts_as_128():
    weight = np.full((1, 1, 1, 1), -128, np.int8)
    assert prove_no_overflow(weight, np.zeros(1, np.int32), 1, "conv").tolist() == [128]
