// Convolution with weights in rows and AVX-512 VNNI, for few outputs. The lanes are 64 input
// channels, which are summed across lanes at the end.
#pragma once

#include <immintrin.h>

#include "kernels/conv_epilogue_avx512.h"
#include "kernels/conv_work_avx512.h"

namespace horizon {
namespace {

// Adds groups of 4 lanes in 4 vectors: lane 4 g + i of the result is that of group g of v[i].
HORIZON_INLINE __m512i sums_of_four(const __m512i* v) {
  __m512i two[2];
  for (int i = 0; i < 2; ++i) {  // lanes: (2i, 2i+1) alternately, each of half a group
    two[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]),
                              _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
  }
  return _mm512_add_epi32(_mm512_unpacklo_epi64(two[0], two[1]),
                          _mm512_unpackhi_epi64(two[0], two[1]));
}

// Adds neighbouring groups of 4 lanes: those of a, then those of b.
HORIZON_INLINE __m512i sum_of_pairs(__m512i a, __m512i b) {
  return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
}

// Adds the lanes of each of 16 vectors: lane i of the result is the sum of v[i].
HORIZON_INLINE __m512i sums_of(const __m512i* v) {
  __m512i four[4];
  for (int i = 0; i < 4; ++i) four[i] = sums_of_four(v + 4 * i);
  return sum_of_pairs(sum_of_pairs(four[0], four[1]), sum_of_pairs(four[2], four[3]));
}

// The constants of O outputs, repeated to fill the lanes of rows_tile.
template <class R>
struct Repeated {
  __m512i start;
  R ratios;

  Repeated(const Work& work, int outputs) {
    alignas(64) std::int32_t lanes[kConstants][kLanes] = {};
    Work repeated = work;
    repeated.start = lanes[0];
    repeated.multiplier = lanes[1];
    repeated.residual_multiplier = lanes[2];
    repeated.negative_multiplier = lanes[3];
    repeated.negative_residual_multiplier = lanes[4];
    repeated.shift = lanes[5];
    for (int lane = 0; lane < kLanes; ++lane) {
      const int o = lane % outputs;
      repeated.start[lane] = work.start[o];
      repeated.multiplier[lane] = work.multiplier[o];
      repeated.residual_multiplier[lane] = work.residual_multiplier[o];
      repeated.negative_multiplier[lane] = work.negative_multiplier[o];
      repeated.negative_residual_multiplier[lane] = work.negative_residual_multiplier[o];
      repeated.shift[lane] = work.shift[o];
    }
    start = _mm512_load_si512(lanes[0]);
    ratios = R(repeated, 0);
  }
};

// P pixels x O outputs, P * O <= 16, for weights in rows.
template <class R, int P, int O>
void rows_tile(const ConvArgs& a, const Work& work, const Phase& phase, const Row& row,
               std::int64_t column, const Repeated<R>& constants, const Epilogue& epilogue) {
  const std::int64_t steps = work.pixel / 64;
  const std::int64_t output_bytes = std::int64_t{a.kernel[0]} * a.kernel[1] * work.pixel;
  const std::int64_t step_bytes = phase.x.in_step * work.pixel;
  const std::int64_t offset =
      (phase.x.in_first - phase.x.lowest()) * work.pixel + column * step_bytes;
  __m512i acc[16];
  for (int i = 0; i < 16; ++i) acc[i] = _mm512_setzero_si512();
  for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
    const std::int64_t kernel_row =
        std::int64_t{phase.y.kernel_first + ky * phase.y.kernel_step} * a.kernel[1];
    for (std::int32_t kx = 0; kx < phase.x.taps; ++kx) {
      const std::int64_t tap = kernel_row + phase.x.kernel_first + kx * phase.x.kernel_step;
      const std::int8_t* w = a.weight + tap * work.pixel;
      const std::uint8_t* in =
          row.packed[ky] + offset + std::int64_t{kx} * phase.x.tap_step * work.pixel;
      for (std::int64_t k = 0; k < steps; ++k) {
        __m512i weight[O];
        for (int o = 0; o < O; ++o) weight[o] = _mm512_loadu_si512(w + o * output_bytes + k * 64);
        for (int p = 0; p < P; ++p) {
          const __m512i x = _mm512_loadu_si512(in + p * step_bytes + k * 64);
          for (int o = 0; o < O; ++o) {
            acc[p * O + o] = _mm512_dpbusd_epi32(acc[p * O + o], x, weight[o]);
          }
        }
      }
    }
  }
  // Lane p O + o holds pixel p, output o.
  const __m512i sum = _mm512_add_epi32(sums_of(acc), constants.start);
  alignas(64) std::int32_t result[16];
  if (row.residual == nullptr) {
    _mm512_store_si512(result, epilogue.requantize(sum, constants.ratios));
  } else {
    alignas(64) std::int32_t residual[16] = {};
    const std::int64_t residual_pixel = a.residual.stride[2] * phase.x.out_step;
    for (int p = 0; p < P; ++p) {
      const std::byte* from = row.residual + (column + p) * residual_pixel;
      for (int o = 0; o < O; ++o) {
        residual[p * O + o] = a.residual.type == Type::int8
                                  ? reinterpret_cast<const std::int8_t*>(from)[o]
                                  : reinterpret_cast<const std::int16_t*>(from)[o];
      }
    }
    _mm512_store_si512(result,
                       epilogue.requantize(sum, _mm512_load_si512(residual), constants.ratios));
  }
  const std::int64_t out_pixel = a.out.stride[2] * phase.x.out_step;
  for (int p = 0; p < P; ++p) {
    std::byte* to = row.out + (column + p) * out_pixel;
    for (int o = 0; o < O; ++o) {
      const std::int32_t value = result[p * O + o];
      if (a.out.type == Type::int8) {
        reinterpret_cast<std::int8_t*>(to)[o] = static_cast<std::int8_t>(value);
      } else if (a.out.type == Type::int16) {
        reinterpret_cast<std::int16_t*>(to)[o] = static_cast<std::int16_t>(value);
      } else {
        reinterpret_cast<std::int32_t*>(to)[o] = value;
      }
    }
  }
}

template <class R, int O>
void rows_row(const ConvArgs& a, const Work& work, const Phase& phase, const Row& row,
              const Epilogue& epilogue) {
  constexpr int P = 16 / O < 8 ? 16 / O : 8;
  const Repeated<R> constants(work, O);
  std::int64_t column = 0;
  for (; column + P <= phase.x.count; column += P) {
    rows_tile<R, P, O>(a, work, phase, row, column, constants, epilogue);
  }
  for (; column < phase.x.count; ++column) {
    rows_tile<R, 1, O>(a, work, phase, row, column, constants, epilogue);
  }
}

}  // namespace
}  // namespace horizon
