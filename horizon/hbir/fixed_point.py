"""The arithmetic of a program: ratios as multiplier and shift, one rounding, overflow proofs.

A ratio r is ``M * 2**-s`` with M in [2^23, 2^24). For a sum ``|acc| < 2^28`` the product has at
most 52 bits, so that int64 hardware and float64 anywhere give the same integer
(``fixed_point.md``, "Requantise").
"""

from __future__ import annotations

import numpy as np

from horizon.errors import InputError

ACCUMULATOR_LIMIT = 2**28
MULTIPLIER_BITS = 24
MULTIPLIER_LIMIT = 2**MULTIPLIER_BITS
SHIFT_RANGE = (1, 47)
FRACTION_BITS = 8
LIMITS = {
    "int8": (-128, 127),
    "int16": (-32768, 32767),
    "int32": (-(2**31), 2**31 - 1),
}


def quantize_ratio(ratio: float, where: str) -> tuple[int, int]:
    """``(M, s)`` with ``M * 2**-s`` within 2^-24 (relative) of ``ratio``, M in [2^23, 2^24).

    Args:
        ratio: input scale over output scale.
        where: what the ratio belongs to, for the error.

    Raises:
        InputError: the ratio is not positive and finite, or s is not in 1..47.
    """
    multiplier, shift = quantize_ratios(np.array([ratio], np.float64), where)
    return int(multiplier[0]), int(shift[0])


def quantize_ratios(ratios: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """:func:`quantize_ratio` for each of (C,) ratios: M and s, int64 (C,)."""
    ratios = _checked_ratios(ratios, where)
    mantissa, exponent = np.frexp(ratios)
    multiplier = np.floor(np.ldexp(mantissa, MULTIPLIER_BITS) + 0.5).astype(np.int64)
    shift = MULTIPLIER_BITS - exponent.astype(np.int64)
    full = multiplier == MULTIPLIER_LIMIT
    multiplier[full] //= 2
    shift[full] -= 1
    _check_shifts(shift, ratios, where)
    return multiplier, shift


def align_ratios(
    a: np.ndarray, b: np.ndarray, where: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(Ma, Mb, s)`` for two summands that share one rounding, each int64 (C,).

    The shift is that of the larger ratio, whose multiplier is in [2^23, 2^24). The other
    multiplier is ``floor(ratio * 2**s + 0.5)``, which may be 0.

    Args:
        a, b: the summands' ratios, numbers or (C,).

    Raises:
        InputError: as for :func:`quantize_ratio`.
    """
    a, b = np.broadcast_arrays(_checked_ratios(a, where), _checked_ratios(b, where))
    _, shift = quantize_ratios(np.maximum(a, b), where)
    multipliers = [
        np.floor(np.ldexp(ratio, shift.astype(np.int32)) + 0.5).astype(np.int64) for ratio in (a, b)
    ]
    return multipliers[0], multipliers[1], shift


def align_slopes(
    ratios: np.ndarray, slope: np.ndarray, where: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Multipliers of summands that share one rounding, above and below zero, and their shift.

    The shift is that of the largest of all ratios, whose multiplier is in [2^23, 2^24). The others
    are ``floor(ratio * 2**s + 0.5)``; they may be 0, and below zero negative.

    Args:
        ratios: (K, C), those of K summands, positive.
        slope: (C,), what a negative sum is multiplied by; any finite number.

    Returns:
        Multipliers (K, C) where the sum is not negative, (K, C) where it is, and the shift (C,),
        int64.

    Raises:
        InputError: as for :func:`quantize_ratio`, or a slope that is not finite.
    """
    slope = np.atleast_1d(np.asarray(slope, np.float64))
    if not np.isfinite(slope).all():
        channel = int((~np.isfinite(slope)).argmax())
        raise InputError(
            f"{where}: the slope of channel {channel} is {slope[channel]}; expected a finite "
            "number; look at what training has made of it"
        )
    ratios = np.stack([_checked_ratios(row, where) for row in ratios])
    _, shift = quantize_ratios((ratios * np.maximum(np.abs(slope), 1.0)).max(0), where)
    above, below = (
        np.floor(np.ldexp(each, shift.astype(np.int32)) + 0.5).astype(np.int64)
        for each in (ratios, ratios * slope)
    )
    return above, below, shift


def requantize(
    acc: np.ndarray,
    multiplier: int | np.ndarray,
    shift: int | np.ndarray,
    lo: int,
    hi: int,
    negative: int | np.ndarray | None = None,
) -> np.ndarray:
    """``clamp((acc * M + 2^(s-1)) >> s, lo, hi)`` in int64: round half up, once.

    Args:
        acc: integers of any shape; channels last where M and s are (C,).
        negative: the multiplier of negative ones, if it is another (two slopes).
    """
    zero = np.zeros((), np.int64)
    below = None if negative is None else (negative, 0)
    return requantize_sum(acc, multiplier, zero, 0, shift, lo, hi, below)


def requantize_sum(
    a: np.ndarray,
    multiplier_a: int | np.ndarray,
    b: np.ndarray,
    multiplier_b: int | np.ndarray,
    shift: int | np.ndarray,
    lo: int,
    hi: int,
    negative: tuple[int | np.ndarray, int | np.ndarray] | None = None,
) -> np.ndarray:
    """``clamp((a * Ma + b * Mb + 2^(s-1)) >> s, lo, hi)`` in int64, one rounding for both.

    Args:
        negative: the two multipliers where ``a * Ma + b * Mb`` is negative, if they are others
            there (two slopes, such as LeakyReLU's).
    """
    s = np.asarray(shift, np.int64)
    a, b = np.asarray(a, np.int64), np.asarray(b, np.int64)

    def weighted(factor_a: int | np.ndarray, factor_b: int | np.ndarray) -> np.ndarray:
        return np.asarray(
            a * np.asarray(factor_a, np.int64) + b * np.asarray(factor_b, np.int64), np.int64
        )

    total = weighted(multiplier_a, multiplier_b)
    if negative is not None:
        total = np.where(total < 0, weighted(*negative), total)
    half = np.left_shift(np.int64(1), s - 1)
    return np.clip(np.right_shift(total + half, s), lo, hi)


def offset_fraction_bits(height: int, width: int) -> int:
    """Fraction bits of a warp's offsets: ``clamp(15 - ceil(log2(max(H, W) + 1)), 0, 8)``."""
    # ceil(log2(n + 1)) is the number of bits of n.
    return min(max(15 - max(height, width).bit_length(), 0), FRACTION_BITS)


def prove_no_overflow(
    weight: np.ndarray, bias: np.ndarray, largest_input: int, where: str
) -> np.ndarray:
    """Bounds ``sum|w| * max|x| + |bias|`` of every output channel's accumulator, int64 (O,).

    Args:
        weight: (O, ...) integers. bias: (O,) integers.
        largest_input: the largest magnitude of the input's type.

    Raises:
        InputError: a bound reaches 2^28; names ``where`` and the channel.
    """
    total = np.abs(np.asarray(weight).astype(np.int64)).reshape(len(weight), -1).sum(1)
    bounds = total * int(largest_input) + np.abs(np.asarray(bias).astype(np.int64))
    if bounds.size and bounds.max() >= ACCUMULATOR_LIMIT:
        channel = int(bounds.argmax())
        raise InputError(
            f"{where}: the accumulator of output channel {channel} can reach {bounds[channel]}; "
            f"expected less than 2^28 = {ACCUMULATOR_LIMIT}; use fewer input channels, 8-bit "
            "inputs or smaller weights and bias in this layer"
        )
    return np.asarray(bounds, np.int64)


def _checked_ratios(ratios: np.ndarray | float, where: str) -> np.ndarray:
    values = np.atleast_1d(np.asarray(ratios, np.float64))
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        channel = int(bad.argmax())
        raise InputError(
            f"{where}: the ratio of scales of channel {channel} is {values[channel]}; expected a "
            "positive finite number; look for a dead channel or a scale that was not calibrated"
        )
    return values


def _check_shifts(shift: np.ndarray, ratios: np.ndarray, where: str) -> None:
    low, high = SHIFT_RANGE
    bad = (shift < low) | (shift > high)
    if bad.any():
        channel = int(bad.argmax())
        raise InputError(
            f"{where}: the ratio of scales {ratios[channel]:.6g} (channel {channel}) needs shift "
            f"{shift[channel]}; expected {low}..{high}; the scales of this layer's input, weights "
            "and output are too far apart, calibrate it again"
        )
