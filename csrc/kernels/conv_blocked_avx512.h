// Convolution with blocked weights and AVX-512 VNNI. The lanes are 16 output channels; a step takes
// 4 input channels. The sums of 8 pixels by 2 vectors of outputs stay in registers: each vector of
// weights serves 8 pixels, each input 2 vectors.
#pragma once

#include <immintrin.h>

#include <type_traits>

#include "kernels/conv_epilogue_avx512.h"
#include "kernels/conv_work_avx512.h"
#include "kernels/requantize_lean_avx512.h"

namespace horizon {
namespace {

// Where the outputs of a tile lie.
template <int N>
struct TilePlace {
  std::byte* out;             // of the first pixel and vector
  const std::byte* residual;  // null where there is none
  std::int64_t out_pixel, residual_pixel;
  std::int64_t out_vector, residual_vector;
  __mmask16 mask[N];  // the outputs that there are
};

// Requantises and stores the sums of a tile, as Epilogue says.
template <class R, int P, int N>
HORIZON_INLINE void finish_tile(const Epilogue& epilogue, const R (&ratios)[N],
                                const __m512i (&acc)[P][N], const TilePlace<N>& at) {
  for (int n = 0; n < N; ++n) {
    std::byte* out = at.out + n * at.out_vector;
    for (int p = 0; p < P; ++p) {
      __m512i y;
      if (at.residual == nullptr) {
        y = epilogue.requantize(acc[p][n], ratios[n]);
      } else {
        const std::byte* residual = at.residual + n * at.residual_vector + p * at.residual_pixel;
        y = epilogue.requantize(acc[p][n], epilogue.load_residual(residual, at.mask[n]), ratios[n]);
      }
      epilogue.store(out + p * at.out_pixel, at.mask[n], y);
    }
  }
}

// The same for a lean layer: four vectors at a time.
template <bool kSlopes, int P, int N>
HORIZON_INLINE void finish_lean_tile(const Epilogue& epilogue, const LeanBytes& bytes,
                                     const Lean16<kSlopes> (&scale)[N], const __m512i (&acc)[P][N],
                                     const TilePlace<N>& at) {
#pragma GCC unroll 4
  for (int k = 0; k < P * N; k += 4) {
    __m512i four[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const int t = k + i < P * N ? k + i : P * N - 1, p = t / N, n = t % N;
      if (!kSlopes && at.residual != nullptr) {
        const std::byte* residual = at.residual + n * at.residual_vector + p * at.residual_pixel;
        four[i] = scale[n](acc[p][n], epilogue.load_residual(residual, at.mask[n]));
      } else {
        four[i] = scale[n](acc[p][n]);
      }
    }
    const __m512i y = bytes(four);
    const __m128i parts[4] = {_mm512_castsi512_si128(y), _mm512_extracti32x4_epi32(y, 1),
                              _mm512_extracti32x4_epi32(y, 2), _mm512_extracti32x4_epi32(y, 3)};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      if (k + i >= P * N) continue;
      const int p = (k + i) / N, n = (k + i) % N;
      std::byte* out = at.out + n * kLanes + p * at.out_pixel;
      if (at.mask[n] == 0xffff) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out), parts[i]);
      } else {
        _mm_mask_storeu_epi8(out, at.mask[n], parts[i]);
      }
    }
  }
}

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

  constexpr bool kSlopes = std::is_same_v<R, SlopedRatios>;
  __m512i start[N];
  R ratios[N];
  Lean16<kSlopes> scale[N];
  const LeanBytes bytes(a);
  TilePlace<N> at;
  for (int n = 0; n < N; ++n) {
    const std::int64_t o = (vector + n) * kLanes, left = a.out.shape[3] - o;
    start[n] = _mm512_loadu_si512(work.start + o);
    if (work.lean) {
      scale[n] = Lean16<kSlopes>(work, o);
    } else {
      ratios[n] = R(work, o);
    }
    at.mask[n] = left >= kLanes ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
  }
  at.out_pixel = a.out.stride[2] * phase.x.out_step;
  at.residual_pixel = a.residual.stride[2] * phase.x.out_step;
  at.out_vector = kLanes * size_of(a.out.type);
  at.residual_vector = kLanes * size_of(a.residual.type);

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
    at.out = row.out + column * at.out_pixel + vector * at.out_vector;
    at.residual = row.residual == nullptr
                      ? nullptr
                      : row.residual + column * at.residual_pixel + vector * at.residual_vector;
    if (work.lean) {
      finish_lean_tile(epilogue, bytes, scale, acc, at);
    } else {
      finish_tile(epilogue, ratios, acc, at);
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
