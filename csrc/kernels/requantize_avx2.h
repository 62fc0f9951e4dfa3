// Requantisation of 8 accumulators with AVX2, in integers (fixed_point.md, "Requantise").
//
// For ratios below 1 (shift >= 24), the sum is doubled, the multiplier scaled by 2^7 and the shift
// raised by 8. The shift is then at least 32, and the result depends on the upper 32 bits of the
// product only: floor(p 2^-s) = floor(floor(p 2^-32) 2^(32-s)). |acc| < 2^28 and M < 2^24 keep p
// below 2^60. Larger ratios, which only a fine output scale needs, are computed by scalar code. So
// is M = 2^24: it is legal, but M 2^7 does not fit int32.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/elements.h"

namespace horizon {
namespace {

// 8 channels, or 8 times the same one. Vectors of int64 hold channels 0, 2, 4, 6 or 1, 3, 5, 7.
struct Scale8 {
  __m256i multiplier[2], residual_multiplier[2], offset[2];
  __m256i shift;
  bool integer;  // every ratio is below 1 and every multiplier below 2^24
};

constexpr std::int32_t kSmallestShift = 24;

// Whether integer vectors can requantise a channel.
inline bool fits_integers8(const Channel& c) {
  return c.shift >= kSmallestShift && c.multiplier < 1 << 24 && c.residual_multiplier < 1 << 24;
}

inline Scale8 make_scale8(const Channel (&channels)[8]) {
  Scale8 scale;
  alignas(32) std::int64_t values[3][2][4];
  alignas(32) std::int32_t shift[8];
  scale.integer = true;
  for (int i = 0; i < 8; ++i) {
    const Channel& c = channels[i];
    scale.integer = scale.integer && fits_integers8(c);
    values[0][i % 2][i / 2] = std::int64_t{c.multiplier} << 7;
    values[1][i % 2][i / 2] = std::int64_t{c.residual_multiplier} << 7;
    values[2][i % 2][i / 2] =
        ((std::int64_t{c.bias} * c.multiplier) << 8) + (std::int64_t{1} << (c.shift + 7));
    shift[i] = c.shift >= kSmallestShift ? c.shift - kSmallestShift : 0;
  }
  for (int half = 0; half < 2; ++half) {
    const auto load = [half](const std::int64_t(&v)[2][4]) {
      return _mm256_load_si256(reinterpret_cast<const __m256i*>(v[half]));
    };
    scale.multiplier[half] = load(values[0]);
    scale.residual_multiplier[half] = load(values[1]);
    scale.offset[half] = load(values[2]);
  }
  scale.shift = _mm256_load_si256(reinterpret_cast<const __m256i*>(shift));
  return scale;
}

// The same for two slopes; vectors of int32 hold the channels in their order.
struct SlopedScale8 {
  __m256i bias, multiplier, negative_multiplier, residual_multiplier, negative_residual_multiplier;
  __m256i half[2];
  __m256i shift;
  bool integer;  // and every negative multiplier is below 2^24 as well
};

inline SlopedScale8 make_sloped_scale8(const Channel (&channels)[8]) {
  SlopedScale8 scale;
  alignas(32) std::int32_t values[6][8];
  alignas(32) std::int64_t half[2][4];
  constexpr std::int32_t kLimit = 1 << 24;
  scale.integer = true;
  for (int i = 0; i < 8; ++i) {
    const Channel& c = channels[i];
    scale.integer = scale.integer && c.shift >= kSmallestShift && c.multiplier < kLimit &&
                    c.residual_multiplier < kLimit && c.negative_multiplier < kLimit &&
                    c.negative_residual_multiplier < kLimit;
    const std::int32_t multipliers[4] = {c.multiplier, c.negative_multiplier, c.residual_multiplier,
                                         c.negative_residual_multiplier};
    for (int k = 0; k < 4; ++k) {
      values[k][i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(multipliers[k]) << 7);
    }
    values[4][i] = c.bias;
    values[5][i] = c.shift >= kSmallestShift ? c.shift - kSmallestShift : 0;
    half[i % 2][i / 2] = std::int64_t{1} << (c.shift + 7);
  }
  const auto load = [](const void* from) {
    return _mm256_load_si256(static_cast<const __m256i*>(from));
  };
  scale.multiplier = load(values[0]);
  scale.negative_multiplier = load(values[1]);
  scale.residual_multiplier = load(values[2]);
  scale.negative_residual_multiplier = load(values[3]);
  scale.bias = load(values[4]);
  scale.shift = load(values[5]);
  for (int i = 0; i < 2; ++i) scale.half[i] = load(half[i]);
  return scale;
}

template <class Scale>
inline __m256i finish8(__m256i even, __m256i odd, const Scale& scale, __m256i lo, __m256i hi) {
  const __m256i upper = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
  return _mm256_min_epi32(_mm256_max_epi32(_mm256_srav_epi32(upper, scale.shift), lo), hi);
}

inline __m256i doubled8(__m256i values) { return _mm256_slli_epi32(values, 1); }

inline __m256i requantize8(__m256i acc, const Scale8& scale, __m256i lo, __m256i hi) {
  acc = doubled8(acc);
  const __m256i even =
      _mm256_add_epi64(_mm256_mul_epi32(acc, scale.multiplier[0]), scale.offset[0]);
  const __m256i odd = _mm256_add_epi64(
      _mm256_mul_epi32(_mm256_srli_epi64(acc, 32), scale.multiplier[1]), scale.offset[1]);
  return finish8(even, odd, scale, lo, hi);
}

inline __m256i requantize8(__m256i acc, __m256i residual, const Scale8& scale, __m256i lo,
                           __m256i hi) {
  acc = doubled8(acc);
  residual = doubled8(residual);
  __m256i sum[2];
  for (int half = 0; half < 2; ++half) {
    const __m256i a = half == 0 ? acc : _mm256_srli_epi64(acc, 32);
    const __m256i r = half == 0 ? residual : _mm256_srli_epi64(residual, 32);
    sum[half] = _mm256_add_epi64(_mm256_mul_epi32(a, scale.multiplier[half]), scale.offset[half]);
    sum[half] = _mm256_add_epi64(sum[half], _mm256_mul_epi32(r, scale.residual_multiplier[half]));
  }
  return finish8(sum[0], sum[1], scale, lo, hi);
}

// a where it is not negative, otherwise b, in int64.
inline __m256i select8(__m256i a, __m256i b) {
  const __m256d x = _mm256_castsi256_pd(a), y = _mm256_castsi256_pd(b);
  return _mm256_castpd_si256(_mm256_blendv_pd(x, y, x));
}

// Of channels by_sign.
inline __m256i requantize8(__m256i acc, const SlopedScale8& scale, __m256i lo, __m256i hi) {
  const __m256i sum = doubled8(_mm256_add_epi32(acc, scale.bias));
  const __m256i multiplier = _mm256_castps_si256(
      _mm256_blendv_ps(_mm256_castsi256_ps(scale.multiplier),
                       _mm256_castsi256_ps(scale.negative_multiplier), _mm256_castsi256_ps(sum)));
  const __m256i even = _mm256_mul_epi32(sum, multiplier);
  const __m256i odd =
      _mm256_mul_epi32(_mm256_srli_epi64(sum, 32), _mm256_srli_epi64(multiplier, 32));
  return finish8(_mm256_add_epi64(even, scale.half[0]), _mm256_add_epi64(odd, scale.half[1]), scale,
                 lo, hi);
}

inline __m256i requantize8(__m256i acc, __m256i residual, const SlopedScale8& scale, __m256i lo,
                           __m256i hi) {
  const __m256i biased = doubled8(_mm256_add_epi32(acc, scale.bias));
  residual = doubled8(residual);
  __m256i sum[2];
  for (int half = 0; half < 2; ++half) {
    const auto lanes = [half](__m256i v) { return half == 0 ? v : _mm256_srli_epi64(v, 32); };
    const auto weighted = [&](__m256i multiplier, __m256i residual_multiplier) {
      return _mm256_add_epi64(_mm256_mul_epi32(lanes(biased), lanes(multiplier)),
                              _mm256_mul_epi32(lanes(residual), lanes(residual_multiplier)));
    };
    sum[half] = _mm256_add_epi64(
        select8(weighted(scale.multiplier, scale.residual_multiplier),
                weighted(scale.negative_multiplier, scale.negative_residual_multiplier)),
        scale.half[half]);
  }
  return finish8(sum[0], sum[1], scale, lo, hi);
}

// The first `count` lanes to memory as the elements that their type says.
inline void store8(std::byte* to, Type type, __m256i value, std::int64_t count) {
  alignas(32) std::byte bytes[32];
  std::byte* target = count == 8 ? to : bytes;
  const __m128i words =
      _mm_packs_epi32(_mm256_castsi256_si128(value), _mm256_extracti128_si256(value, 1));
  std::int64_t size = 4;
  if (type == Type::int8) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(target), _mm_packs_epi16(words, words));
    size = 1;
  } else if (type == Type::int16) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(target), words);
    size = 2;
  } else {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), value);
  }
  if (count != 8) __builtin_memcpy(to, bytes, static_cast<std::size_t>(count * size));
}

// 8 elements from memory, or the first `count` and zeros.
inline __m256i load8(const std::byte* from, Type type, std::int64_t count) {
  if (count != 8) {
    alignas(32) std::int32_t values[8] = {};
    const std::int64_t size = type == Type::int32 ? 4 : type == Type::int16 ? 2 : 1;
    for (std::int64_t i = 0; i < count; ++i) values[i] = read_element(from + i * size, type);
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(values));
  }
  if (type == Type::int8) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
  }
  if (type == Type::int16) {
    return _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

}  // namespace
}  // namespace horizon

#endif
