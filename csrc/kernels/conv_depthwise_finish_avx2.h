// The sums of a depthwise convolution of int8 with vectors of 256 bits, and their rounding.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/conv_depthwise_work_avx2.h"
#include "kernels/requantize_lean_avx2.h"

namespace horizon {
namespace {

// The sums of quarter g of P pixels, kTaps columns of the kernel; 0: as many as there are.
template <int P, bool kSigned, int kTaps, class Dot>
__attribute__((always_inline)) inline void accumulate(const DepthwiseBytes<Dot>& d,
                                                      const std::uint8_t* in, const std::int8_t* w,
                                                      int g, __m256i (&acc)[P]) {
  const std::int64_t tap = d.a.dilation[1] * kColumn, step = d.a.stride[1] * kColumn;
  const std::int64_t columns = kTaps == 0 ? d.a.kernel[1] : kTaps;
  w += g * kVector;
  in += g * kVector;
  for (int quad = 0; quad < d.plan.quads; ++quad, in += kMostSlots * kColumn) {
    const std::uint8_t* at = in;
#pragma GCC unroll 3
    for (std::int64_t kx = 0; kx < columns; ++kx, at += tap, w += kColumn) {
      const __m256i weight = load_vector(w);
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) {
        acc[p] = Dot::template add<kSigned>(acc[p], load_vector(at + p * step), weight);
      }
    }
  }
}

// int8 outputs of one slope without a residual.
struct LeanFinish {
  const __m256i lo, hi;

  static bool fits(const ConvArgs& a) {
    return a.residual.data == nullptr && !a.two_slopes && fits_lean(a);
  }
  explicit LeanFinish(const ConvArgs& a)
      : lo(_mm256_set1_epi8(static_cast<char>(a.lo))),
        hi(_mm256_set1_epi8(static_cast<char>(a.hi))) {}

  template <int P, bool kSigned, class Dot>
  void pixels(const DepthwiseBytes<Dot>& d, const std::uint8_t* in, const std::int8_t* w,
              std::byte* out, const std::byte*) const {
    const bool three = d.a.kernel[1] == 3;
    __m256i words[2][P], last[P];
#pragma GCC unroll 4
    for (int g = 0; g < kQuarters; ++g) {
      const LeanScale8 scale(d.constants.lean, 8 * g);
      const __m256i start = _mm256_add_epi32(load_vector(d.constants.start + 8 * g), scale.bias);
      __m256i acc[P];
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) acc[p] = start;
      three ? accumulate<P, kSigned, 3>(d, in, w, g, acc)
            : accumulate<P, kSigned, 0>(d, in, w, g, acc);
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) {
        const __m256i y = scale(acc[p]);
        if (g % 2 == 1) words[g / 2][p] = _mm256_packs_epi32(last[p], y);
        last[p] = y;
      }
    }
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) {
      __m256i y = _mm256_packs_epi16(words[0][p], words[1][p]);
      y = _mm256_min_epi8(_mm256_max_epi8(y, lo), hi);
      store_bytes(out + p * d.a.out.stride[2], y, d.channels);
    }
  }
};

// All other outputs, in the natural order of channels, as conv_tiles.h finishes them.
template <class Set>
struct FullFinish {
  const Tiles<Set, true> tiles;

  FullFinish(const ConvArgs& a, std::byte* scratch) : tiles(a, scratch) {}

  template <int P, bool kSigned, class Dot>
  void pixels(const DepthwiseBytes<Dot>& d, const std::uint8_t* in, const std::int8_t* w,
              std::byte* out, const std::byte* residual) const {
    for (int p = 0; p < P; ++p) {
      __m256i sums[kQuarters];
      for (int g = 0; g < kQuarters; ++g) {
        __m256i acc[1] = {load_vector(d.constants.start + 8 * g)};
        accumulate<1, kSigned, 0>(d, in + p * d.a.stride[1] * kColumn, w, g, acc);
        sums[g] = acc[0];
      }
      // Tiles::finish adds the place of a channel in the tensor to both places.
      std::byte* to = out + p * d.a.out.stride[2] - d.first * d.a.out.stride[3];
      const std::byte* second =
          residual == nullptr ? nullptr : residual + p * d.a.residual.stride[2];
      tiles.finish(_mm256_permute2x128_si256(sums[0], sums[1], 0x20), d.first, to, second);
      tiles.finish(_mm256_permute2x128_si256(sums[2], sums[3], 0x20), d.first + 8, to, second);
      tiles.finish(_mm256_permute2x128_si256(sums[0], sums[1], 0x31), d.first + 16, to, second);
      tiles.finish(_mm256_permute2x128_si256(sums[2], sums[3], 0x31), d.first + 24, to, second);
    }
  }
};

}  // namespace
}  // namespace horizon

#endif
