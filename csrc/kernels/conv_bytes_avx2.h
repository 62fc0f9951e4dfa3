// Convolution of int8 with AVX2, blocked weights, by the sums of byte_sums_avx2.h. Negative inputs
// are looked for in every packed row. Which steps fit 16 bits is found in the weights once per
// call.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/byte_sums_avx2.h"
#include "kernels/conv_driver.h"
#include "kernels/conv_tiles.h"
#include "kernels/pack_bytes_avx2.h"
#include "kernels/requantize_lean_avx2.h"

namespace horizon {
namespace {

inline bool fits_bytes(const ConvArgs& a) {
  return fits_tiles(a) && a.weight_layout == WeightLayout::blocked && a.in.type == Type::int8 &&
         !a.any_weight;
}

// Set has what finishes the sums: that of conv_tiles.h with weights in blocks.
template <class Set>
struct ByteTiles {
  using Finish = TileFinish<Set>;
  static constexpr std::int64_t kOutputs = 16;
  static constexpr int kPixels = 3;
  const ConvArgs& a;
  Finish finish;
  std::int64_t groups;     // steps of one tap
  std::uint8_t* apart;     // of every window of every 16 outputs
  std::uint8_t* negative;  // of the rows that an output row reads, for all taps of a row

  static std::int64_t group_count(const ConvArgs& a) {
    return Tiles<Set, true>::packed_channels(a) / kStepInputs;
  }
  // Steps that lie together (Stretches), all of which begin with a window.
  static bool joined(const ConvArgs& a) { return !a.transposed && a.dilation[1] == 1; }
  static std::int64_t stretch_windows(const ConvArgs& a) {
    return (group_count(a) * (joined(a) ? a.kernel[1] : 1) + kWindow - 1) / kWindow;
  }
  // Of 16 outputs.
  static std::int64_t stretch_count(const ConvArgs& a) {
    return std::int64_t{a.kernel[0]} * (joined(a) ? 1 : a.kernel[1]);
  }
  static std::int64_t window_count(const ConvArgs& a) {
    return (a.out.shape[3] + 15) / 16 * stretch_count(a) * stretch_windows(a);
  }
  static std::int64_t pixel_bytes(const ConvArgs& a) { return kStepInputs * group_count(a); }
  static std::int64_t note_bytes(const ConvArgs& a) { return round_up(group_count(a), 64); }
  static std::int64_t scratch_bytes(const ConvArgs& a) {
    return Finish::scratch_bytes(a) + round_up(window_count(a), 64) + a.kernel[1] * group_count(a);
  }

  ByteTiles(const ConvArgs& args, std::byte* scratch)
      : a(args),
        finish(args, scratch),
        groups(group_count(args)),
        apart(reinterpret_cast<std::uint8_t*>(scratch + Finish::scratch_bytes(args))),
        negative(apart + round_up(window_count(args), 64)) {
    find_apart();
  }

  void find_apart() const;
  void pack(const std::byte* from, std::int64_t pixels, std::byte* to) const {
    pack_bytes<0>(a, from, pixels, to, pixel_bytes(a));
  }
  void note(const std::byte* packed, std::int64_t pixels, std::byte* notes) const;
  void row(const Phase& phase, const ConvRow& row, std::int64_t first, std::int64_t last) const;
  template <int P>
  void tile(const Phase& phase, const ConvRow& row, std::int64_t column, std::int64_t block) const;
};

template <class Set>
void ByteTiles<Set>::find_apart() const {
  const __m256i ones = _mm256_set1_epi8(1), zero = _mm256_setzero_si256();
  const __m256i most = _mm256_set1_epi16(kMostOfOneSign);
  const __m256i most_of_all = _mm256_set1_epi16(kMostOfAll);
  const auto above = [](__m256i sums, __m256i limit) {
    return _mm256_movemask_epi8(_mm256_cmpgt_epi16(sums, limit)) != 0;
  };
  const std::int64_t windows = window_count(a), of_stretch = stretch_windows(a);
  const std::int64_t steps = groups * (joined(a) ? a.kernel[1] : 1);  // of a stretch
  const std::int8_t* w = a.weight;
  std::int64_t fours = 0;
  for (std::int64_t i = 0; i < windows; ++i) {
    const std::int64_t left = steps - i % of_stretch * kWindow;
    // The largest sums of either sign, and of both together, of the first two steps, of the last
    // two and of all four.
    __m256i two[2] = {zero, zero}, all[2] = {zero, zero}, four = zero;
#pragma GCC unroll 2
    for (int n = 0; n < 2; ++n) {
      __m256i positive[2] = {zero, zero}, negative_sum[2] = {zero, zero};
#pragma GCC unroll 4
      for (int k = 0; k < kWindow; ++k) {
        if (k >= left) break;
        const __m256i weights = load_vector(w + k * kStepBytes + 32 * n);
        const __m256i plus = _mm256_maddubs_epi16(_mm256_max_epi8(weights, zero), ones);
        const __m256i sum = _mm256_maddubs_epi16(ones, weights);
        positive[k / 2] = _mm256_add_epi16(positive[k / 2], plus);
        negative_sum[k / 2] = _mm256_add_epi16(negative_sum[k / 2], _mm256_sub_epi16(plus, sum));
      }
      for (int h = 0; h < 2; ++h) {
        two[h] = _mm256_max_epi16(two[h], _mm256_max_epi16(positive[h], negative_sum[h]));
        all[h] = _mm256_max_epi16(all[h], _mm256_add_epi16(positive[h], negative_sum[h]));
      }
      four = _mm256_max_epi16(four,
                              _mm256_max_epi16(_mm256_add_epi16(positive[0], positive[1]),
                                               _mm256_add_epi16(negative_sum[0], negative_sum[1])));
    }
    w += (left < kWindow ? left : kWindow) * kStepBytes;
    const bool not_four = above(four, most);
    fours += !not_four;
    apart[i] = static_cast<std::uint8_t>(
        (not_four ? kFour : 0) | (above(two[0], most) ? kFirstTwo : 0) |
        (above(two[1], most) ? kLastTwo : 0) | (above(all[0], most_of_all) ? kFirstSigned : 0) |
        (above(all[1], most_of_all) ? kLastSigned : 0));
  }
  // Where few windows fit, the CPU would often predict wrongly which do.
  for (std::int64_t i = 0; 2 * fours < windows && i < windows; ++i) apart[i] |= kFour;
}

// For each group of 4 inputs, whether one of them is negative in a packed row. Vectors read beyond
// a pixel; what they find there is not used.
template <class Set>
void ByteTiles<Set>::note(const std::byte* packed, std::int64_t pixels, std::byte* notes) const {
  const std::int64_t bytes = kStepInputs * groups;
  for (std::int64_t c = 0; c < bytes; c += 32) {
    __m256i all = _mm256_setzero_si256();
    for (std::int64_t x = 0; x < pixels; ++x) {
      all = _mm256_or_si256(all, load_vector(packed + x * bytes + c));
    }
    const auto signs = static_cast<std::uint32_t>(_mm256_movemask_epi8(all));
    for (std::int64_t i = 0; i < 8 && c / kStepInputs + i < groups; ++i) {
      notes[c / kStepInputs + i] = static_cast<std::byte>((signs >> (4 * i) & 15) != 0);
    }
  }
}

template <class Set>
template <int P>
__attribute__((noinline)) void ByteTiles<Set>::tile(const Phase& phase, const ConvRow& row,
                                                    std::int64_t column, std::int64_t block) const {
  const std::int64_t pixel = kStepInputs * groups, step = phase.x.in_step * pixel;
  const std::int64_t first = block * a.kernel[0] * a.kernel[1] * groups;
  const std::int64_t windows = stretch_windows(a), columns = joined(a) ? a.kernel[1] : 1;
  const std::uint8_t* of_block = apart + block * stretch_count(a) * windows;
  ByteSums<P> sums;
  const Stretches stretches(a, phase, row, column, pixel, groups);
  for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
    for (std::int32_t kx = 0; kx < stretches.per_row; ++kx) {
      const std::int64_t tap = stretches.tap(ky, kx);
      sums.add_all(a.weight + (first + tap * groups) * kStepBytes, stretches.input(ky, kx), step,
                   stretches.length, negative, of_block + tap / columns * windows);
    }
  }
  finish(sums.sums, phase, row, column, block);
}

template <class Set>
void ByteTiles<Set>::row(const Phase& phase, const ConvRow& row, std::int64_t first,
                         std::int64_t last) const {
  for (std::int64_t g = 0; g < groups; ++g) {
    std::byte any{0};
    for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) any |= row.notes[ky][g];
    for (std::int32_t kx = 0; kx < phase.x.taps; ++kx) {
      negative[kx * groups + g] = static_cast<std::uint8_t>(any);
    }
  }
  each_tile<kPixels>(phase, first, last, [&]<int P>(std::int64_t column, std::int64_t block) {
    tile<P>(phase, row, column, block);
  });
}

}  // namespace
}  // namespace horizon

#endif
