// Convolution of int8 with AVX-VNNI, blocked weights: 6 pixels by 16 outputs at a time.
//
// vpdpbusd multiplies unsigned by signed bytes. As with AVX-512, 128 is therefore added to the
// inputs when a row is packed: acc = sum w (x + 128) - 128 sum w, modulo 2^32.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/conv_driver.h"
#include "kernels/conv_tiles.h"
#include "kernels/conv_words_avx2.h"
#include "kernels/pack_bytes_avx2.h"
#include "kernels/requantize_lean_avx2.h"

namespace horizon {
namespace {

inline bool fits_dots(const ConvArgs& a) {
  return fits_tiles(a) && a.weight_layout == WeightLayout::blocked && a.in.type == Type::int8;
}

// Set has what finishes the sums: that of conv_tiles.h with weights in blocks.
template <class Set>
struct DotTiles {
  using Finish = TileFinish<Set>;
  static constexpr std::int64_t kOutputs = 16;
  static constexpr int kPixels = 6;
  static constexpr int kOffset = 128, kOutside = kOffset;
  const ConvArgs& a;
  Finish finish;
  std::int64_t groups;  // steps of one tap
  std::int32_t* start;  // of every phase and output: -128 sum w

  static std::int64_t pixel_bytes(const ConvArgs& a) { return round_up(a.in.shape[3], 4); }
  static std::int64_t outputs_padded(const ConvArgs& a) {
    return round_up(a.out.shape[3], kOutputs);
  }
  static std::int64_t scratch_bytes(const ConvArgs& a) {
    return Finish::scratch_bytes(a) + phase_count(a) * outputs_padded(a) * 4;
  }

  DotTiles(const ConvArgs& args, std::byte* scratch)
      : a(args),
        finish(args, scratch),
        groups(pixel_bytes(args) / kStepInputs),
        start(reinterpret_cast<std::int32_t*>(scratch + Finish::scratch_bytes(args))) {
    for (std::int32_t i = 0; i < phase_count(a); ++i) prepare(make_phase(a, i));
  }

  std::int32_t* start_of(const Phase& phase, std::int64_t block) const {
    const std::int64_t index =
        a.transposed ? std::int64_t{phase.y.kernel_first} * a.stride[1] + phase.x.kernel_first : 0;
    return start + index * outputs_padded(a) + kOutputs * block;
  }

  void prepare(const Phase& phase) const;
  void pack(const std::byte* from, std::int64_t pixels, std::byte* to) const {
    pack_bytes<kOffset>(a, from, pixels, to, pixel_bytes(a));
  }
  void row(const Phase& phase, const ConvRow& row, std::int64_t first, std::int64_t last) const;
  template <int P>
  void tile(const Phase& phase, const ConvRow& row, std::int64_t column, std::int64_t block) const;
};

template <class Set>
void DotTiles<Set>::prepare(const Phase& phase) const {
  const __m256i shift = _mm256_set1_epi8(static_cast<char>(kOffset));
  const std::int64_t tap_count = std::int64_t{a.kernel[0]} * a.kernel[1];
  for (std::int64_t block = 0; block < outputs_padded(a) / kOutputs; ++block) {
    __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
      for (std::int32_t kx = 0; kx < phase.x.taps; ++kx) {
        const std::int64_t tap =
            std::int64_t{phase.y.kernel_first + ky * phase.y.kernel_step} * a.kernel[1] +
            phase.x.kernel_first + kx * phase.x.kernel_step;
        const std::int8_t* w = a.weight + (block * tap_count + tap) * groups * kStepBytes;
        for (std::int64_t k = 0; k < groups; ++k, w += kStepBytes) {
          sums[0] = _mm256_dpbusd_avx_epi32(sums[0], shift, load_vector(w));
          sums[1] = _mm256_dpbusd_avx_epi32(sums[1], shift, load_vector(w + kStepBytes / 2));
        }
      }
    }
    auto* to = reinterpret_cast<__m256i*>(start_of(phase, block));
    for (int n = 0; n < 2; ++n) {
      _mm256_storeu_si256(to + n, _mm256_sub_epi32(_mm256_setzero_si256(), sums[n]));
    }
  }
}

template <class Set>
template <int P>
__attribute__((noinline)) void DotTiles<Set>::tile(const Phase& phase, const ConvRow& row,
                                                   std::int64_t column, std::int64_t block) const {
  const std::int64_t pixel = kStepInputs * groups, step = phase.x.in_step * pixel;
  const std::int64_t first = block * a.kernel[0] * a.kernel[1] * groups;
  const std::int32_t* from = start_of(phase, block);
  __m256i acc[P][2];
#pragma GCC unroll 6
  for (int p = 0; p < P; ++p) {
    acc[p][0] = load_vector(from);
    acc[p][1] = load_vector(from + 8);
  }
  const Stretches stretches(a, phase, row, column, pixel, groups);
  for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
    for (std::int32_t kx = 0; kx < stretches.per_row; ++kx) {
      const std::int8_t* w = a.weight + (first + stretches.tap(ky, kx) * groups) * kStepBytes;
      const std::byte* in = stretches.input(ky, kx);
      for (std::int64_t k = 0; k < stretches.length; ++k, w += kStepBytes, in += kStepInputs) {
        const __m256i weights[2] = {load_vector(w), load_vector(w + kStepBytes / 2)};
#pragma GCC unroll 6
        for (int p = 0; p < P; ++p) {
          std::int32_t four;
          __builtin_memcpy(&four, in + p * step, kStepInputs);
          const __m256i x = _mm256_set1_epi32(four);
          acc[p][0] = _mm256_dpbusd_avx_epi32(acc[p][0], x, weights[0]);
          acc[p][1] = _mm256_dpbusd_avx_epi32(acc[p][1], x, weights[1]);
        }
      }
    }
  }
  finish(acc, phase, row, column, block);
}

template <class Set>
void DotTiles<Set>::row(const Phase& phase, const ConvRow& row, std::int64_t first,
                        std::int64_t last) const {
  each_tile<kPixels>(phase, first, last, [&]<int P>(std::int64_t column, std::int64_t block) {
    tile<P>(phase, row, column, block);
  });
}

}  // namespace
}  // namespace horizon

#endif
