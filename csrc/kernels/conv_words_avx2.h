// Convolution with AVX2 of int16, by products of int16: what conv_tiles.h needs. Also for bytes in
// rows of weights, and for what finishes the sums of bytes.
//
// vpmaddwd, on pairs of int16, is exact. Shifting a vector of weights by bytes yields pairs of
// int16 for inputs 0 and 2, or 1 and 3, of its 8 outputs. Inputs are therefore packed as int16 with
// each group of four in the order 0, 2, 1, 3.
//
// Up to 5 pixels by 16 outputs stay in registers.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include <type_traits>

#include "kernels/conv_tiles.h"
#include "kernels/requantize_avx2.h"

namespace horizon {
namespace {

constexpr std::int64_t kStepInputs = 4, kStepBytes = 64;  // of weights in blocks, of 16 outputs

inline __m256i load_vector(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

template <bool kSlopes>
struct Avx2 {
  using Vector = __m256i;
  using Scale = std::conditional_t<kSlopes, SlopedScale8, Scale8>;
  static constexpr int kLanes = 8, kInputBytes = 2, kPixels = 5;
  static constexpr int row_pixels(int outputs) { return outputs == 4 ? 3 : 4; }
  static constexpr Channel kUnused = {0, 0, 0, kSmallestShift};

  static Scale make_scale(const Channel (&eight)[8]) {
    if constexpr (kSlopes) {
      return make_sloped_scale8(eight);
    } else {
      return make_scale8(eight);
    }
  }
  static bool fits(const Scale& scale) { return scale.integer; }
  static Vector all(std::int32_t value) { return _mm256_set1_epi32(value); }
  template <class... Operands>
  static Vector requantize(const Operands&... operands) {
    return requantize8(operands...);
  }
  static Vector load(const std::byte* from, Type type, std::int64_t count) {
    return load8(from, type, count);
  }
  static void store(std::byte* to, Type type, Vector value, std::int64_t count) {
    store8(to, type, value, count);
  }

  static void pack_channels(const std::int16_t* from, std::int16_t* to) {
    const __m256i values = _mm256_permute4x64_epi64(load_vector(from), 0xd8);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), values);
  }
  static void pack_pair(const std::int16_t* first, const std::int16_t* second, std::int16_t* to) {
    const __m256i a = _mm256_permute4x64_epi64(load_vector(first), 0xd8);
    const __m256i b = _mm256_permute4x64_epi64(load_vector(second), 0xd8);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_unpacklo_epi16(a, b));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 16), _mm256_unpackhi_epi16(a, b));
  }
  // Unpacking works on halves of a vector. With the middle quarters of the inputs exchanged, it
  // yields channels 0 to 7 and 8 to 15.
  static void multiply_pair(Vector (&acc)[2], const std::int16_t* first, const std::int16_t* second,
                            const std::int16_t* w) {
    const __m256i a = load_vector(first), b = load_vector(second);
    acc[0] =
        _mm256_add_epi32(acc[0], _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), load_vector(w)));
    acc[1] = _mm256_add_epi32(acc[1],
                              _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), load_vector(w + 16)));
  }

  template <bool kBlocked>
  static void pack(const ConvArgs& a, std::int64_t channels, const std::byte* from,
                   std::int64_t pixels, std::byte* to);
  template <int P>
  static void multiply(Vector (&acc)[P][2], const std::int8_t* w, const std::byte* in,
                       std::int64_t step, std::int64_t length);
  template <int P, int O>
  static void multiply_rows(Vector (&acc)[P][O], const std::int8_t* w, std::int64_t output_bytes,
                            const std::byte* in, std::int64_t step, std::int64_t channels);
  template <int O>
  static void finish_rows(const Tiles<Avx2, false>& c, const Vector (&acc)[O], std::byte* out,
                          const std::byte* residual);
};

template <bool kSlopes>
template <bool kBlocked>
void Avx2<kSlopes>::pack(const ConvArgs& a, std::int64_t channels, const std::byte* from,
                         std::int64_t pixels, std::byte* to) {
  const std::int64_t inputs = a.in.shape[3], whole = inputs / 16 * 16;
  const bool bytes = a.in.type == Type::int8;
  for (std::int64_t x = 0; x < pixels; ++x, from += a.in.stride[2], to += 2 * channels) {
    for (std::int64_t c = 0; c < whole; c += 16) {
      __m256i values =
          bytes ? _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + c)))
                : load_vector(from + 2 * c);
      if (kBlocked) values = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(values, 0xd8), 0xd8);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 2 * c), values);
    }
    for (std::int64_t c = whole; c < channels; c += 4) {
      const std::int64_t left = inputs - c, count = left < 4 ? left : 4;
      std::uint64_t group = 0;
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int32_t value = read_element(from + (c + i) * (bytes ? 1 : 2), a.in.type);
        group |= std::uint64_t{static_cast<std::uint16_t>(value)} << 16 * i;
      }
      __m128i values = _mm_cvtsi64_si128(static_cast<std::int64_t>(group));
      if (kBlocked) values = _mm_shufflelo_epi16(values, 0xd8);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to + 2 * c), values);
    }
  }
}

template <bool kSlopes>
template <int P>
inline void Avx2<kSlopes>::multiply(Vector (&acc)[P][2], const std::int8_t* w, const std::byte* in,
                                    std::int64_t step, std::int64_t length) {
  for (std::int64_t k = 0; k < length; ++k, w += 64, in += 8) {
#pragma GCC unroll 2
    for (int pair = 0; pair < 2; ++pair) {
      __m256i weight[2];
#pragma GCC unroll 2
      for (int n = 0; n < 2; ++n) {
        weight[n] = load_vector(w + 32 * n);
        if (pair == 0) weight[n] = _mm256_slli_epi16(weight[n], 8);
        weight[n] = _mm256_srai_epi16(weight[n], 8);
      }
      // The compiler would add the products of both pairs first and run out of registers.
#pragma GCC unroll 5
      for (int p = 0; p < P; ++p) asm("" : "+x"(acc[p][0]), "+x"(acc[p][1]));
#pragma GCC unroll 5
      for (int p = 0; p < P; ++p) {
        std::int32_t two;
        __builtin_memcpy(&two, in + p * step + 4 * pair, 4);
        const __m256i x = _mm256_set1_epi32(two);
#pragma GCC unroll 2
        for (int n = 0; n < 2; ++n) {
          acc[p][n] = _mm256_add_epi32(acc[p][n], _mm256_madd_epi16(x, weight[n]));
        }
      }
    }
  }
}

template <bool kSlopes>
template <int P, int O>
inline void Avx2<kSlopes>::multiply_rows(Vector (&acc)[P][O], const std::int8_t* w,
                                         std::int64_t output_bytes, const std::byte* in,
                                         std::int64_t step, std::int64_t channels) {
  for (std::int64_t k = 0; k < channels; k += 16) {
    __m256i weight[O];
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o) {
      const auto* at = reinterpret_cast<const __m128i*>(w + o * output_bytes + k);
      weight[o] = _mm256_cvtepi8_epi16(_mm_loadu_si128(at));
    }
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      const __m256i x = load_vector(in + p * step + 2 * k);
#pragma GCC unroll 4
      for (int o = 0; o < O; ++o) {
        acc[p][o] = _mm256_add_epi32(acc[p][o], _mm256_madd_epi16(x, weight[o]));
      }
    }
  }
}

template <bool kSlopes>
template <int O>
inline void Avx2<kSlopes>::finish_rows(const Tiles<Avx2, false>& c, const Vector (&acc)[O],
                                       std::byte* out, const std::byte* residual) {
#pragma GCC unroll 4
  for (int o = 0; o < O; ++o) {
    __m128i sum =
        _mm_add_epi32(_mm256_castsi256_si128(acc[o]), _mm256_extracti128_si256(acc[o], 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
    c.finish_element(_mm_cvtsi128_si32(sum), o, out, residual);
  }
}

}  // namespace
}  // namespace horizon

#endif
