// Requantisation to int8 of lean layers with AVX-512; kernels/lean.h says which and why.
#pragma once

#include <immintrin.h>

#include "kernels/conv_epilogue_avx512.h"
#include "kernels/lean.h"

namespace horizon {
namespace {

// Requantises 16 sums, which include the bias; nothing is limited. kSlopes: `second` multiplies
// negative sums, otherwise the residual.
template <bool kSlopes>
struct Lean16 {
  __m512i multiplier, second, half, shift;

  Lean16() = default;
  HORIZON_INLINE Lean16(const Constants& constants, std::int64_t first_output) {
    const auto load = [=](const std::int32_t* from) {
      return _mm512_loadu_si512(from + first_output);
    };
    multiplier = _mm512_slli_epi32(load(constants.multiplier), 7);
    second = _mm512_slli_epi32(
        load(kSlopes ? constants.negative_multiplier : constants.residual_multiplier), 7);
    const __m512i one = _mm512_set1_epi32(1);
    const __m512i above =
        _mm512_sub_epi32(load(constants.shift), _mm512_set1_epi32(kSmallestLeanShift));
    shift = _mm512_add_epi32(above, one);
    half = _mm512_sllv_epi32(one, above);
  }

  HORIZON_INLINE static __m512i odd(__m512i v) { return _mm512_srli_epi64(v, 32); }
  HORIZON_INLINE static __m512i eightfold(__m512i v) { return _mm512_slli_epi32(v, 3); }
  HORIZON_INLINE __m512i rounded(__m512i low, __m512i high) const {
    const __m512i upper = _mm512_mask_shuffle_epi32(high, 0x5555, low, _MM_PERM_DDBB);
    return _mm512_srav_epi32(_mm512_add_epi32(upper, half), shift);
  }

  HORIZON_INLINE __m512i operator()(__m512i sum) const {
    const __m512i m = kSlopes
                          ? _mm512_mask_blend_epi32(_mm512_movepi32_mask(sum), multiplier, second)
                          : multiplier;
    sum = eightfold(sum);
    return rounded(_mm512_mul_epi32(sum, m), _mm512_mul_epi32(odd(sum), odd(m)));
  }
  HORIZON_INLINE __m512i operator()(__m512i sum, __m512i residual) const {
    sum = eightfold(sum);
    residual = eightfold(residual);
    const auto both = [](__m512i x, __m512i m, __m512i y, __m512i n) {
      return _mm512_add_epi64(_mm512_mul_epi32(x, m), _mm512_mul_epi32(y, n));
    };
    return rounded(both(sum, multiplier, residual, second),
                   both(odd(sum), odd(multiplier), odd(residual), odd(second)));
  }
};

// Four vectors of 16 int32 to 64 bytes, one vector after the other, saturated and limited.
struct LeanBytes {
  const __m512i lo, hi, order;

  explicit LeanBytes(const ConvArgs& a)
      : lo(_mm512_set1_epi8(static_cast<char>(a.lo))),
        hi(_mm512_set1_epi8(static_cast<char>(a.hi))),
        order(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)) {}

  HORIZON_INLINE __m512i operator()(const __m512i (&four)[4]) const {
    const __m512i y = _mm512_packs_epi16(_mm512_packs_epi32(four[0], four[1]),
                                         _mm512_packs_epi32(four[2], four[3]));
    return _mm512_permutexvar_epi32(order, _mm512_min_epi8(_mm512_max_epi8(y, lo), hi));
  }
};

}  // namespace
}  // namespace horizon
