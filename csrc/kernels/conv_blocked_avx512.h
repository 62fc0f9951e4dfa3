// Convolution with blocked weights and AVX-512 VNNI. The lanes are 16 output channels; a step takes
// 4 input channels. The sums of 8 pixels by 2 vectors of outputs stay in registers: each vector of
// weights serves 8 pixels, each input 2 vectors.
#pragma once

#include <immintrin.h>

#include "kernels/conv_epilogue_avx512.h"
#include "kernels/conv_work_avx512.h"

namespace horizon {
namespace {

// R: the ratios of one slope or of two. Columns begin, begin + P, ... before `end`, P pixels at a
// time, and N vectors of outputs from vector `vector` on.
template <class R, int P, int N>
void blocked_tiles(const ConvArgs& a, const Work& work, const Phase& phase, const Row& row,
                   std::int64_t begin, std::int64_t end, std::int64_t vector,
                   const Epilogue& epilogue) {
  const std::int64_t steps = work.pixel / 4;  // of one tap
  const std::int64_t vector_bytes = std::int64_t{a.kernel[0]} * a.kernel[1] * steps * 64;
  const std::int8_t* weights = a.weight + vector * vector_bytes;
  const std::int64_t step_bytes = phase.x.in_step * work.pixel;
  // Neighbouring taps read neighbouring bytes unless the convolution is dilated or transposed.
  const bool joined = phase.x.tap_step == 1 && phase.x.kernel_step == 1;
  const std::int64_t length = joined ? steps * phase.x.taps : steps;
  const std::int32_t segments = joined ? 1 : phase.x.taps;
  const std::int64_t segment_bytes = phase.x.tap_step * work.pixel;
  const std::int64_t kernel_row_bytes = a.kernel[1] * steps * 64;

  __m512i start[N];
  __mmask16 mask[N];
  R ratios[N];
  for (int n = 0; n < N; ++n) {
    start[n] = _mm512_loadu_si512(work.start + (vector + n) * kLanes);
    ratios[n] = R(work, (vector + n) * kLanes);
    const std::int64_t left = a.out.shape[3] - (vector + n) * kLanes;
    mask[n] = left >= kLanes ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
  }
  const std::int64_t out_pixel = a.out.stride[2] * phase.x.out_step;
  const std::int64_t residual_pixel = a.residual.stride[2] * phase.x.out_step;
  const std::int64_t out_vector = kLanes * size_of(a.out.type);
  const std::int64_t residual_vector = kLanes * size_of(a.residual.type);

  for (std::int64_t column = begin; column < end; column += P) {
    const std::int64_t offset =
        (phase.x.in_first - phase.x.lowest()) * work.pixel + column * step_bytes;
    __m512i acc[P][N];
    for (int p = 0; p < P; ++p) {
      for (int n = 0; n < N; ++n) acc[p][n] = start[n];
    }
    for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
      const std::int8_t* kernel_row =
          weights + (phase.y.kernel_first + ky * phase.y.kernel_step) * kernel_row_bytes;
      for (std::int32_t kx = 0; kx < segments; ++kx) {
        const std::int8_t* w =
            kernel_row + (phase.x.kernel_first + kx * phase.x.kernel_step) * steps * 64;
        const std::uint8_t* in = row.packed[ky] + offset + kx * segment_bytes;
        for (std::int64_t k = 0; k < length; ++k) {
          __m512i weight[N];
          for (int n = 0; n < N; ++n) {
            weight[n] = _mm512_loadu_si512(w + k * 64 + n * vector_bytes);
          }
          for (int p = 0; p < P; ++p) {
            std::int32_t four;
            __builtin_memcpy(&four, in + p * step_bytes + k * 4, 4);
            const __m512i x = _mm512_set1_epi32(four);
            for (int n = 0; n < N; ++n) acc[p][n] = _mm512_dpbusd_epi32(acc[p][n], x, weight[n]);
          }
        }
      }
    }
    for (int n = 0; n < N; ++n) {
      std::byte* out = row.out + column * out_pixel + (vector + n) * out_vector;
      const std::byte* residual = row.residual == nullptr ? nullptr
                                                          : row.residual + column * residual_pixel +
                                                                (vector + n) * residual_vector;
      for (int p = 0; p < P; ++p) {
        const __m512i y =
            residual == nullptr
                ? epilogue.requantize(acc[p][n], ratios[n])
                : epilogue.requantize(
                      acc[p][n], epilogue.load_residual(residual + p * residual_pixel, mask[n]),
                      ratios[n]);
        epilogue.store(out + p * out_pixel, mask[n], y);
      }
    }
  }
}

using BlockedTiles = void (*)(const ConvArgs&, const Work&, const Phase&, const Row&, std::int64_t,
                              std::int64_t, std::int64_t, const Epilogue&);
constexpr int kPixels = 8;
constexpr int kVectors = 2;
template <class R>
constexpr BlockedTiles kBlockedTiles[kVectors][kPixels] = {
    {blocked_tiles<R, 1, 1>, blocked_tiles<R, 2, 1>, blocked_tiles<R, 3, 1>, blocked_tiles<R, 4, 1>,
     blocked_tiles<R, 5, 1>, blocked_tiles<R, 6, 1>, blocked_tiles<R, 7, 1>,
     blocked_tiles<R, 8, 1>},
    {blocked_tiles<R, 1, 2>, blocked_tiles<R, 2, 2>, blocked_tiles<R, 3, 2>, blocked_tiles<R, 4, 2>,
     blocked_tiles<R, 5, 2>, blocked_tiles<R, 6, 2>, blocked_tiles<R, 7, 2>,
     blocked_tiles<R, 8, 2>}};

template <class R>
void blocked_row(const ConvArgs& a, const Work& work, const Phase& phase, const Row& row,
                 std::int64_t first_vector, std::int64_t last_vector, const Epilogue& epilogue) {
  const std::int64_t whole = phase.x.count / kPixels * kPixels;
  const std::int64_t rest = phase.x.count - whole;
  for (std::int64_t v = first_vector; v < last_vector;) {
    const int n = last_vector - v >= kVectors ? kVectors : 1;
    const BlockedTiles* tiles = kBlockedTiles<R>[n - 1];
    if (whole > 0) tiles[kPixels - 1](a, work, phase, row, 0, whole, v, epilogue);
    if (rest > 0) tiles[rest - 1](a, work, phase, row, whole, phase.x.count, v, epilogue);
    v += n;
  }
}

}  // namespace
}  // namespace horizon
