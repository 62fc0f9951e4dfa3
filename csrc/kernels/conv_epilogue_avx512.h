// The end of an AVX-512 convolution: residual, requantisation, clamp, store.
#pragma once

#include <immintrin.h>

#include "kernels/conv_constants_avx512.h"

namespace horizon {
namespace {

// With so many tiles in a file, compilers would no longer inline by themselves.
#define HORIZON_INLINE __attribute__((always_inline)) inline

// The ratios of 16 outputs, in integers and in doubles (requantize_avx512.h); the bias is in the
// sum.
struct Ratios {
  __m512i multiplier_even, multiplier_odd, residual_even, residual_odd, half_even, half_odd, shift;
  __m512d ratio_lo, ratio_hi, residual_lo, residual_hi;

  Ratios() = default;
  HORIZON_INLINE Ratios(const Constants& constants, std::int64_t first_output) {
    const __m512i multiplier = _mm512_loadu_si512(constants.multiplier + first_output);
    const __m512i residual = _mm512_loadu_si512(constants.residual_multiplier + first_output);
    const __m512i shifts = _mm512_loadu_si512(constants.shift + first_output);
    if (constants.integer) {
      multiplier_even = _mm512_slli_epi32(multiplier, 7);
      multiplier_odd = _mm512_srli_epi64(multiplier_even, 32);
      residual_even = _mm512_slli_epi32(residual, 7);
      residual_odd = _mm512_srli_epi64(residual_even, 32);
      const __m512i half = _mm512_set1_epi64(1 << 6);
      half_even = _mm512_sllv_epi64(half, _mm512_and_si512(shifts, _mm512_set1_epi64(0xffffffff)));
      half_odd = _mm512_sllv_epi64(half, _mm512_srli_epi64(shifts, 32));
      shift = _mm512_sub_epi32(shifts, _mm512_set1_epi32(kSmallestIntegerShift));
    } else {
      const __m512d unit_lo = power_of_two(_mm512_castsi512_si256(shifts));
      const __m512d unit_hi = power_of_two(_mm512_extracti64x4_epi64(shifts, 1));
      ratio_lo = _mm512_mul_pd(low_half(multiplier), unit_lo);
      ratio_hi = _mm512_mul_pd(high_half(multiplier), unit_hi);
      residual_lo = _mm512_mul_pd(low_half(residual), unit_lo);
      residual_hi = _mm512_mul_pd(high_half(residual), unit_hi);
    }
  }

  HORIZON_INLINE static __m512d low_half(__m512i v) {
    return _mm512_cvtepi32_pd(_mm512_castsi512_si256(v));
  }
  HORIZON_INLINE static __m512d high_half(__m512i v) {
    return _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(v, 1));
  }
};

// The same for two slopes.
struct SlopedRatios {
  __m512i multiplier, negative, residual, negative_residual;  // times 2^7 where constants.integer
  __m512i half_even, half_odd, shift;
  __m512d unit_lo, unit_hi;  // 2^-shift

  SlopedRatios() = default;
  HORIZON_INLINE SlopedRatios(const Constants& constants, std::int64_t first_output)
      : multiplier(_mm512_loadu_si512(constants.multiplier + first_output)),
        negative(_mm512_loadu_si512(constants.negative_multiplier + first_output)),
        residual(_mm512_loadu_si512(constants.residual_multiplier + first_output)),
        negative_residual(
            _mm512_loadu_si512(constants.negative_residual_multiplier + first_output)) {
    const __m512i shifts = _mm512_loadu_si512(constants.shift + first_output);
    if (constants.integer) {
      for (__m512i* value : {&multiplier, &negative, &residual, &negative_residual}) {
        *value = _mm512_slli_epi32(*value, 7);
      }
      const __m512i one = _mm512_set1_epi64(1 << 6);
      half_even = _mm512_sllv_epi64(one, _mm512_and_si512(shifts, _mm512_set1_epi64(0xffffffff)));
      half_odd = _mm512_sllv_epi64(one, _mm512_srli_epi64(shifts, 32));
      shift = _mm512_sub_epi32(shifts, _mm512_set1_epi32(kSmallestIntegerShift));
    } else {
      unit_lo = power_of_two(_mm512_castsi512_si256(shifts));
      unit_hi = power_of_two(_mm512_extracti64x4_epi64(shifts, 1));
    }
  }
};

// Finished sums to integers in the output's type.
struct Epilogue {
  const bool integer;
  const Type out, residual_type;
  const __m512i lo, hi;

  Epilogue(const ConvArgs& a, const Constants& constants)
      : integer(constants.integer),
        out(a.out.type),
        residual_type(a.residual.type),
        lo(_mm512_set1_epi32(a.lo)),
        hi(_mm512_set1_epi32(a.hi)) {}

  HORIZON_INLINE __m512i load_residual(const std::byte* from, __mmask16 mask) const {
    if (residual_type == Type::int8) return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, from));
    return _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(mask, from));
  }

  HORIZON_INLINE void store(std::byte* to, __mmask16 mask, __m512i value) const {
    if (out == Type::int8) {
      _mm_mask_storeu_epi8(to, mask, _mm512_cvtepi32_epi8(value));
    } else if (out == Type::int16) {
      _mm256_mask_storeu_epi16(to, mask, _mm512_cvtepi32_epi16(value));
    } else {
      _mm512_mask_storeu_epi32(to, mask, value);
    }
  }

  // clamp((acc M + 2^(s-1)) >> s)
  HORIZON_INLINE __m512i requantize(__m512i acc, const Ratios& r) const {
    if (!integer) return in_doubles(acc, r, _mm512_set1_pd(0.5), _mm512_set1_pd(0.5));
    return in_integers(acc, r, r.half_even, r.half_odd);
  }

  // clamp((acc M + residual Mr + 2^(s-1)) >> s)
  HORIZON_INLINE __m512i requantize(__m512i acc, __m512i residual, const Ratios& r) const {
    if (!integer) {
      const __m512d half = _mm512_set1_pd(0.5);
      return in_doubles(acc, r, _mm512_fmadd_pd(Ratios::low_half(residual), r.residual_lo, half),
                        _mm512_fmadd_pd(Ratios::high_half(residual), r.residual_hi, half));
    }
    const __m512i even = _mm512_mul_epi32(residual, r.residual_even);
    const __m512i odd = _mm512_mul_epi32(_mm512_srli_epi64(residual, 32), r.residual_odd);
    return in_integers(acc, r, _mm512_add_epi64(even, r.half_even),
                       _mm512_add_epi64(odd, r.half_odd));
  }

  // Of channels by_sign.
  HORIZON_INLINE __m512i requantize(__m512i acc, const SlopedRatios& r) const {
    if (!integer) return in_doubles(acc, _mm512_setzero_si512(), r);
    return requantize16(
        acc, SlopedScale16{r.multiplier, r.negative, r.half_even, r.half_odd, r.shift}, lo, hi);
  }

  HORIZON_INLINE __m512i requantize(__m512i acc, __m512i residual, const SlopedRatios& r) const {
    if (!integer) return in_doubles(acc, residual, r);
    const auto select = [](__m512i sum, __m512i negative, __m512i half) {
      return _mm512_add_epi64(_mm512_mask_mov_epi64(sum, _mm512_movepi64_mask(sum), negative),
                              half);
    };
    const __m512i even = select(_mm512_add_epi64(_mm512_mul_epi32(acc, r.multiplier),
                                                 _mm512_mul_epi32(residual, r.residual)),
                                _mm512_add_epi64(_mm512_mul_epi32(acc, r.negative),
                                                 _mm512_mul_epi32(residual, r.negative_residual)),
                                r.half_even);
    const __m512i odd =
        select(_mm512_add_epi64(mul_odd(acc, r.multiplier), mul_odd(residual, r.residual)),
               _mm512_add_epi64(mul_odd(acc, r.negative), mul_odd(residual, r.negative_residual)),
               r.half_odd);
    return finish16(even, odd, r.shift, lo, hi);
  }

 private:
  HORIZON_INLINE static __m512i mul_odd(__m512i a, __m512i b) {
    return _mm512_mul_epi32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));
  }
  HORIZON_INLINE __m512i in_integers(__m512i acc, const Ratios& r, __m512i even,
                                     __m512i odd) const {
    return requantize16(
        acc, IntegerScale16{r.multiplier_even, r.multiplier_odd, even, odd, r.shift}, lo, hi);
  }
  HORIZON_INLINE __m512i in_doubles(__m512i acc, const Ratios& r, __m512d offset_lo,
                                    __m512d offset_hi) const {
    return requantize16(acc, r.ratio_lo, r.ratio_hi, offset_lo, offset_hi, Ratios::low_half(lo),
                        Ratios::low_half(hi));
  }

  HORIZON_INLINE __m512i in_doubles(__m512i acc, __m512i residual, const SlopedRatios& r) const {
    const auto half = [&](__m512d (*of)(__m512i), __m512d unit) {
      const auto weighted = [&](__m512i multiplier, __m512i residual_multiplier) {
        return _mm512_fmadd_pd(
            of(acc), _mm512_mul_pd(of(multiplier), unit),
            _mm512_mul_pd(of(residual), _mm512_mul_pd(of(residual_multiplier), unit)));
      };
      const __m512d sum = weighted(r.multiplier, r.residual);
      const __mmask8 below = _mm512_cmp_pd_mask(sum, _mm512_setzero_pd(), _CMP_LT_OQ);
      const __m512d chosen =
          _mm512_mask_mov_pd(sum, below, weighted(r.negative, r.negative_residual));
      return floor_clamped(_mm512_add_pd(chosen, _mm512_set1_pd(0.5)), Ratios::low_half(lo),
                           Ratios::low_half(hi));
    };
    return _mm512_inserti64x4(_mm512_castsi256_si512(half(Ratios::low_half, r.unit_lo)),
                              half(Ratios::high_half, r.unit_hi), 1);
  }
};

}  // namespace
}  // namespace horizon
