// Requantisation of 16 accumulators in double precision (fixed_point.md, "Requantise").
//
// Scaled by 2^-s, every term of acc M + bias M + residual Mr + 2^(s-1) is a multiple of 2^-s with
// less than 53 bits, because |acc| < 2^28 and M <= 2^24. So nothing is rounded before the floor.
#pragma once

#if defined(__x86_64__)

// GCC 12 takes the undefined values in its own header for mistakes (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#include "kernels/kernels.h"

namespace horizon {

// ratio = M 2^-s, offset = 0.5 + bias M 2^-s, for 16 channels; lo halves are channels 0..7.
struct Scale16 {
  __m512d ratio_lo, ratio_hi, offset_lo, offset_hi;
};

// 2^-shift for each lane, 1 <= shift <= 47.
static inline __m512d power_of_two(__m256i shift) {
  const __m512i exponent = _mm512_sub_epi64(_mm512_set1_epi64(1023), _mm512_cvtepu32_epi64(shift));
  return _mm512_castsi512_pd(_mm512_slli_epi64(exponent, 52));
}

// The same channel in all lanes.
static inline Scale16 scale_of_channel(const Channel& channel) {
  const __m512d ratio = _mm512_mul_pd(_mm512_set1_pd(channel.multiplier),
                                      power_of_two(_mm256_set1_epi32(channel.shift)));
  const __m512d offset = _mm512_fmadd_pd(_mm512_set1_pd(channel.bias), ratio, _mm512_set1_pd(0.5));
  return {ratio, ratio, offset, offset};
}

// floor(clamp(y, lo, hi)) as int32.
static inline __m256i floor_clamped(__m512d y, __m512d lo, __m512d hi) {
  const __m512d clamped = _mm512_min_pd(_mm512_max_pd(y, lo), hi);
  return _mm512_cvt_roundpd_epi32(clamped, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}

// floor(clamp(acc * ratio + offset, lo, hi)) as int32.
static inline __m256i requantize8(__m256i acc, __m512d ratio, __m512d offset, __m512d lo,
                                  __m512d hi) {
  return floor_clamped(_mm512_fmadd_pd(_mm512_cvtepi32_pd(acc), ratio, offset), lo, hi);
}

// The same for 16 accumulators, acc * ratio + offset in two halves.
static inline __m512i requantize16(__m512i acc, __m512d ratio_lo, __m512d ratio_hi,
                                   __m512d offset_lo, __m512d offset_hi, __m512d lo, __m512d hi) {
  const __m256i low = requantize8(_mm512_castsi512_si256(acc), ratio_lo, offset_lo, lo, hi);
  const __m256i high = requantize8(_mm512_extracti64x4_epi64(acc, 1), ratio_hi, offset_hi, lo, hi);
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

// The same in integers, in about half the time, for ratios below 1 (shift >= 25). The multiplier is
// scaled by 2^7 and the shift raised by 7. The shift is then at least 32, and the result depends on
// the upper 32 bits of the product only: floor(p 2^-s) = floor(floor(p 2^-32) 2^(32-s)).
inline constexpr std::int32_t kSmallestIntegerShift = 25;

// Whether integers can requantise a channel. The multiplier 2^24 is legal but a bit too long; -2^24
// fits.
static inline bool fits_integers(const Channel& channel, bool two_slopes) {
  constexpr std::int32_t kLimit = 1 << 24;
  return channel.shift >= kSmallestIntegerShift && channel.multiplier < kLimit &&
         channel.residual_multiplier < kLimit &&
         (!two_slopes ||
          (channel.negative_multiplier < kLimit && channel.negative_residual_multiplier < kLimit));
}

struct IntegerScale16 {
  __m512i multiplier_even, multiplier_odd;  // M 2^7 of channels 0, 2, ... and 1, 3, ...
  __m512i offset_even, offset_odd;          // (bias M + 2^(shift-1)) 2^7
  __m512i shift;                            // shift + 7 - 32
};

// Of a channel that fits_integers.
static inline IntegerScale16 integer_scale_of_channel(const Channel& channel) {
  const __m512i multiplier = _mm512_set1_epi32(channel.multiplier << 7);
  const __m512i offset =
      _mm512_set1_epi64(((std::int64_t{channel.bias} * channel.multiplier) << 7) +
                        (std::int64_t{1} << (channel.shift + 6)));
  return {multiplier, multiplier, offset, offset, _mm512_set1_epi32(channel.shift - 25)};
}

// The 16 integers from the products of the even and odd lanes, which include 2^(shift-1).
static inline __m512i finish16(__m512i even, __m512i odd, __m512i shift, __m512i lo, __m512i hi) {
  const __m512i upper = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
  return _mm512_min_epi32(_mm512_max_epi32(_mm512_srav_epi32(upper, shift), lo), hi);
}

static inline __m512i requantize16(__m512i acc, const IntegerScale16& scale, __m512i lo,
                                   __m512i hi) {
  const __m512i even =
      _mm512_add_epi64(_mm512_mul_epi32(acc, scale.multiplier_even), scale.offset_even);
  const __m512i odd = _mm512_add_epi64(
      _mm512_mul_epi32(_mm512_srli_epi64(acc, 32), scale.multiplier_odd), scale.offset_odd);
  return finish16(even, odd, scale.shift, lo, hi);
}

// The same for two slopes, of channels by_sign; the bias is in the sum.
struct SlopedScale16 {
  __m512i multiplier, negative_multiplier;  // M 2^7
  __m512i half_even, half_odd;              // 2^(shift-1) 2^7
  __m512i shift;                            // shift + 7 - 32
};

static inline __m512i requantize16(__m512i sum, const SlopedScale16& scale, __m512i lo,
                                   __m512i hi) {
  const __m512i multiplier = _mm512_mask_blend_epi32(_mm512_movepi32_mask(sum), scale.multiplier,
                                                     scale.negative_multiplier);
  const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(sum, multiplier), scale.half_even);
  const __m512i odd = _mm512_add_epi64(
      _mm512_mul_epi32(_mm512_srli_epi64(sum, 32), _mm512_srli_epi64(multiplier, 32)),
      scale.half_odd);
  return finish16(even, odd, scale.shift, lo, hi);
}

}  // namespace horizon

#endif
