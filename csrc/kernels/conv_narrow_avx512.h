// Convolution with weights in rows and AVX-512 VNNI, for few outputs and at most 32 input channels.
// A vector holds 4 neighbouring pixels of 16 channels, or 2 of 32; they share their weights.
#pragma once

#include <immintrin.h>

#include "kernels/conv_rows_avx512.h"

namespace horizon {
namespace {

// The weights of one tap and output for each of V pixels.
template <int V>
HORIZON_INLINE __m512i repeated_weights(const std::int8_t* w) {
  if constexpr (V == 4) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w)));
  } else {
    return _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
  }
}

// Sums the 16 / V lanes of each pixel in 16 vectors. Lane i of the results, in their order, is
// pixel i / 4 % V of vector i / (4 V) * 4 + i % 4.
template <int V>
HORIZON_INLINE void sums_of_pixels(const __m512i* v, __m512i* sums) {
  __m512i four[4];
  for (int i = 0; i < 4; ++i) four[i] = sums_of_four(v + 4 * i);
  if constexpr (V == 4) {
    for (int i = 0; i < 4; ++i) sums[i] = four[i];
  } else {
    for (int i = 0; i < 2; ++i) sums[i] = sum_of_pairs(four[2 * i], four[2 * i + 1]);
  }
}

// P vectors of V pixels x O outputs. Only `count` of the pixels are stored.
template <class R, int V, int P, int O>
void narrow_tile(const ConvArgs& a, const Work& work, const Phase& phase, const Row& row,
                 std::int64_t column, std::int64_t count, const Repeated<R>& constants,
                 const Epilogue& epilogue) {
  constexpr int S = O == 3 ? 4 : O;  // a fourth output, which is not used, keeps lanes in step
  constexpr int kSums = V == 4 ? 4 : 2;
  static_assert(P * S <= 16);
  const std::int64_t tap_bytes = weight_pixel(a);
  const std::int64_t output_bytes = std::int64_t{a.kernel[0]} * a.kernel[1] * tap_bytes;
  const std::int64_t offset = (phase.x.in_first - phase.x.lowest() + column) * work.pixel;
  __m512i acc[16];
  for (int i = 0; i < 16; ++i) acc[i] = _mm512_setzero_si512();
  for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
    const std::int64_t kernel_row =
        std::int64_t{phase.y.kernel_first + ky * phase.y.kernel_step} * a.kernel[1];
    for (std::int32_t kx = 0; kx < phase.x.taps; ++kx) {
      const std::int64_t tap = kernel_row + phase.x.kernel_first + kx * phase.x.kernel_step;
      const std::uint8_t* in =
          row.packed[ky] + offset + std::int64_t{kx} * phase.x.tap_step * work.pixel;
      __m512i weight[O];
      for (int o = 0; o < O; ++o) {
        weight[o] = repeated_weights<V>(a.weight + tap * tap_bytes + o * output_bytes);
      }
      for (int p = 0; p < P; ++p) {
        const __m512i x = _mm512_loadu_si512(in + 64 * p);
        for (int o = 0; o < O; ++o) {
          acc[p * S + o] = _mm512_dpbusd_epi32(acc[p * S + o], x, weight[o]);
        }
      }
    }
  }
  __m512i sums[kSums];
  sums_of_pixels<V>(acc, sums);
  alignas(64) std::int32_t result[16 * kSums];
  for (int i = 0; i < kSums; ++i) {
    const __m512i sum = _mm512_add_epi32(sums[i], constants.start);
    _mm512_store_si512(result + 16 * i, epilogue.requantize(sum, constants.ratios));
  }
  const std::int64_t out_pixel = a.out.stride[2] * phase.x.out_step;
  const std::int64_t element = element_bytes(a.out.type);
  for (int i = 0; i < P * V && i < count; ++i) {
    std::byte* to = row.out + (column + i) * out_pixel;
    for (int o = 0; o < O; ++o) {
      const int vector = i / V * S + o;
      const int lane = vector / 4 * 4 * V + i % V * 4 + vector % 4;
      write_element(to + o * element, a.out.type, result[lane]);
    }
  }
}

template <class R, int V, int O>
void narrow_pixels(const ConvArgs& a, const Work& work, const Phase& phase, const Row& row,
                   const Epilogue& epilogue) {
  constexpr int P = 16 / (O == 3 ? 4 : O);
  const Repeated<R> constants(work, O == 3 ? 4 : O);
  const std::int64_t columns = phase.x.count;
  std::int64_t column = 0;
  for (; column + (P - 1) * V < columns; column += P * V) {
    narrow_tile<R, V, P, O>(a, work, phase, row, column, columns - column, constants, epilogue);
  }
  for (; column < columns; column += V) {
    narrow_tile<R, V, 1, O>(a, work, phase, row, column, columns - column, constants, epilogue);
  }
}

template <class R, int O>
void narrow_row(const ConvArgs& a, const Work& work, const Phase& phase, const Row& row,
                const Epilogue& epilogue) {
  if (work.pixel == 16) {
    narrow_pixels<R, 4, O>(a, work, phase, row, epilogue);
  } else {
    narrow_pixels<R, 2, O>(a, work, phase, row, epilogue);
  }
}

}  // namespace
}  // namespace horizon
