// Convolution of int8 with AVX2, blocked weights: 4 pixels by 16 outputs at a time.
//
// vpmaddubsw multiplies unsigned by signed bytes and adds the products of two inputs in 16 bits,
// twice as many at once as vpmaddwd does. It saturates above 32767, but no sum here gets there:
// inputs are magnitudes of at most 128, and sums of more than one step (4 inputs) stay in 16 bits
// only as long as the weights in each have magnitudes of at most 255 together: 128 * 255 = 32640.
// Then they are widened to 32 bits. Most weights are small, so that this is rare. Two weights never
// have more than 254: the loader refuses -128.
//
// Where an input may be negative, its sign goes to the weights (vpsignb). Signs are looked for in
// the packed rows: after a ReLU there are none.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/conv_driver.h"
#include "kernels/conv_tiles.h"

namespace horizon {
namespace {

constexpr std::int64_t kStepInputs = 4, kStepBytes = 64;  // of the weights of 16 outputs
constexpr std::int16_t kMostTogether = 255;
constexpr int kSteps = 4;  // that are looked at together

inline __m256i load_vector(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

// The sums of P pixels by 16 outputs. Those in 16 bits stay in registers.
template <int P>
struct ByteSums {
  __m256i (*wide)[2];    // 8 outputs in 32 bits, in memory
  __m256i narrow[P][2];  // what is not widened yet: in 16 bits, two sums of each output

  __attribute__((always_inline)) explicit ByteSums(__m256i (*memory)[2]) : wide(memory) {
    asm("" : "+r"(wide));  // or the compiler takes registers for them, and has too few
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      wide[p][0] = wide[p][1] = narrow[p][0] = narrow[p][1] = _mm256_setzero_si256();
    }
  }

  // Leaves what is in `narrow`, which is to be set anew.
  __attribute__((always_inline)) void widen() {
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
      for (int n = 0; n < 2; ++n) {
        wide[p][n] = _mm256_add_epi32(wide[p][n], _mm256_madd_epi16(narrow[p][n], ones));
      }
    }
  }

  // Before steps that do not follow those before in memory, whose notes are for their order there.
  __attribute__((always_inline)) void start_anew() {
    widen();
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) narrow[p][0] = narrow[p][1] = _mm256_setzero_si256();
  }

  // Adds one step of pixels that are `step` bytes apart; kFirst: it is the first to be added.
  template <bool kSigned, bool kFirst = false>
  __attribute__((always_inline)) void multiply(const std::int8_t* w, const std::byte* in,
                                               std::int64_t step) {
    const __m256i weights[2] = {load_vector(w), load_vector(w + kStepBytes / 2)};
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      std::int32_t four;
      __builtin_memcpy(&four, in + p * step, 4);
      const __m256i inputs = _mm256_set1_epi32(four);
#pragma GCC unroll 2
      for (int n = 0; n < 2; ++n) {
        const __m256i products = kSigned
                                     ? _mm256_maddubs_epi16(_mm256_abs_epi8(inputs),
                                                            _mm256_sign_epi8(weights[n], inputs))
                                     : _mm256_maddubs_epi16(inputs, weights[n]);
        narrow[p][n] = kFirst ? products : _mm256_add_epi16(narrow[p][n], products);
      }
    }
  }

  // Adds kSteps steps, one after the other in memory, without looking at them.
  template <bool kSigned>
  __attribute__((always_inline)) void multiply_some(const std::int8_t* w, const std::byte* in,
                                                    std::int64_t step) {
#pragma GCC unroll 4
    for (int k = 0; k < kSteps; ++k) {
      multiply<kSigned>(w + k * kStepBytes, in + k * kStepInputs, step);
    }
  }

  __attribute__((always_inline)) void multiply_one(const std::int8_t* w, const std::byte* in,
                                                   std::int64_t step, bool negative, bool full) {
    if (full) {
      widen();
      negative ? multiply<true, true>(w, in, step) : multiply<false, true>(w, in, step);
    } else {
      negative ? multiply<true>(w, in, step) : multiply<false>(w, in, step);
    }
  }

  // Adds `length` steps. For each of them, `negative` says whether an input may be, and `full`
  // whether the sums must be widened before; 0 or 1.
  __attribute__((always_inline)) void multiply_all(const std::int8_t* w, const std::byte* in,
                                                   std::int64_t step, std::int64_t length,
                                                   const std::uint8_t* negative,
                                                   const std::uint8_t* full) {
    constexpr std::uint32_t kAll = 0x01010101;
    std::int64_t k = 0;
    for (; k + kSteps <= length; k += kSteps, w += kSteps * kStepBytes) {
      std::uint32_t negatives, fulls;
      __builtin_memcpy(&negatives, negative + k, kSteps);
      __builtin_memcpy(&fulls, full + k, kSteps);
      const std::byte* from = in + k * kStepInputs;
      if ((negatives | fulls) == 0) {
        multiply_some<false>(w, from, step);
      } else if (fulls == 0 && negatives == kAll) {
        multiply_some<true>(w, from, step);
      } else {
        for (int i = 0; i < kSteps; ++i) {
          multiply_one(w + i * kStepBytes, from + i * kStepInputs, step, negative[k + i] != 0,
                       full[k + i] != 0);
        }
      }
    }
    for (; k < length; ++k, w += kStepBytes) {
      multiply_one(w, in + k * kStepInputs, step, negative[k] != 0, full[k] != 0);
    }
  }
};

inline bool fits_bytes(const ConvArgs& a) {
  return fits_tiles(a) && a.weight_layout == WeightLayout::blocked && a.in.type == Type::int8 &&
         !a.any_weight;
}

// Set has what finishes the sums: that of conv_tiles.h with weights in blocks.
template <class Set>
struct ByteTiles {
  using Finish = Tiles<Set, true>;
  static constexpr std::int64_t kOutputs = 16;
  static constexpr int kPixels = 4;
  const ConvArgs& a;
  Finish finish;
  std::int64_t groups;     // steps of one tap
  std::uint8_t* full;      // of every step of every 16 outputs
  std::uint8_t* negative;  // of the rows that an output row reads, for all taps of a row

  static std::int64_t group_count(const ConvArgs& a) {
    return Finish::packed_channels(a) / kStepInputs;
  }
  static std::int64_t step_count(const ConvArgs& a) {
    return (a.out.shape[3] + 15) / 16 * a.kernel[0] * a.kernel[1] * group_count(a);
  }
  static std::int64_t pixel_bytes(const ConvArgs& a) { return kStepInputs * group_count(a); }
  static std::int64_t note_bytes(const ConvArgs& a) { return round_up(group_count(a), 64); }
  static std::int64_t scratch_bytes(const ConvArgs& a) {
    return round_up(Finish::scratch_bytes(a), 64) + round_up(step_count(a), 64) +
           a.kernel[1] * group_count(a);
  }

  ByteTiles(const ConvArgs& args, std::byte* scratch)
      : a(args),
        finish(args, scratch),
        groups(group_count(args)),
        full(reinterpret_cast<std::uint8_t*>(scratch + round_up(Finish::scratch_bytes(args), 64))),
        negative(full + round_up(step_count(args), 64)) {
    find_full();
  }

  void find_full() const;
  void pack(const std::byte* from, std::int64_t pixels, std::byte* to) const;
  void note(const std::byte* packed, std::int64_t pixels, std::byte* notes) const;
  void row(const Phase& phase, const ConvRow& row, std::int64_t first, std::int64_t last) const;
  template <int P>
  void tile(const Phase& phase, const ConvRow& row, std::int64_t column, std::int64_t block) const;
  template <int P>
  void some(std::int64_t count, const Phase& phase, const ConvRow& row, std::int64_t column,
            std::int64_t block) const;
};

template <class Set>
void ByteTiles<Set>::find_full() const {
  const __m256i ones = _mm256_set1_epi8(1), most = _mm256_set1_epi16(kMostTogether);
  __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  const std::int64_t count = step_count(a);
  const std::int8_t* w = a.weight;
  for (std::int64_t k = 0; k < count; ++k, w += kStepBytes) {
    __m256i own[2];
    int above = 0;
#pragma GCC unroll 2
    for (int n = 0; n < 2; ++n) {
      own[n] = _mm256_maddubs_epi16(_mm256_abs_epi8(load_vector(w + 32 * n)), ones);
      sums[n] = _mm256_add_epi16(sums[n], own[n]);
      above |= _mm256_movemask_epi8(_mm256_cmpgt_epi16(sums[n], most));
    }
    full[k] = above != 0;
    if (above != 0) sums[0] = own[0], sums[1] = own[1];
  }
}

template <class Set>
void ByteTiles<Set>::pack(const std::byte* from, std::int64_t pixels, std::byte* to) const {
  const std::int64_t inputs = a.in.shape[3], bytes = kStepInputs * groups;
  if (inputs == bytes && a.in.stride[2] == bytes) {
    __builtin_memcpy(to, from, static_cast<std::size_t>(pixels * bytes));
    return;
  }
  for (std::int64_t x = 0; x < pixels; ++x, from += a.in.stride[2], to += bytes) {
    __builtin_memcpy(to, from, static_cast<std::size_t>(inputs));
    for (std::int64_t c = inputs; c < bytes; ++c) to[c] = std::byte{0};
  }
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
  __m256i wide[P][2];
  ByteSums<P> sums(wide);
  const Stretches stretches(a, phase, row, column, pixel, groups);
  for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
    for (std::int32_t kx = 0; kx < stretches.per_row; ++kx) {
      const std::int64_t at = first + stretches.tap(ky, kx) * groups;
      sums.multiply_all(a.weight + at * kStepBytes, stretches.input(ky, kx), step, stretches.length,
                        negative, full + at);
      if (a.transposed) sums.start_anew();
    }
  }
  sums.widen();
  finish_tile(finish, wide, phase, row, column, block);
}

template <class Set>
template <int P>
void ByteTiles<Set>::some(std::int64_t count, const Phase& phase, const ConvRow& row,
                          std::int64_t column, std::int64_t block) const {
  if constexpr (P > 1) {
    if (count < P) return some<P - 1>(count, phase, row, column, block);
  }
  tile<P>(phase, row, column, block);
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
  for (std::int64_t block = first; block < last; ++block) {
    for (std::int64_t column = 0; column < phase.x.count; column += kPixels) {
      some<kPixels>(phase.x.count - column, phase, row, column, block);
    }
  }
}

}  // namespace
}  // namespace horizon

#endif
