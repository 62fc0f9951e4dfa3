// Sums of products of bytes with AVX2: 3 pixels by 16 outputs at a time.
//
// vpmaddubsw multiplies unsigned by signed bytes and adds the products of two inputs in 16 bits,
// twice as many at once as vpmaddwd does. It saturates above 32767, but no sum here gets there. The
// sums of four steps (of 4 inputs each), or of two, are added in 16 bits where the weights prove
// that they fit, and then widened to 32 bits; elsewhere each step is widened by itself.
//
// - Where an input may be negative, its sign goes to the weights (vpsignb). Inputs are magnitudes
//   of at most 128, and the weights have magnitudes of at most 255 together: 128 * 255 = 32640.
//   Two weights never have more than 254: the loader refuses -128.
// - Where none is, as after a ReLU, positive and negative weights cannot add up: each kind has
//   magnitudes of at most 258 together, and 127 * 258 = 32766.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/conv_words_avx2.h"

namespace horizon {
namespace {

constexpr std::int16_t kMostOfAll = 255, kMostOfOneSign = 258;
constexpr int kWindow = 4;  // steps
// Of a window of steps: what does not fit 16 bits together. The latter two are for negative inputs.
constexpr int kFour = 1, kFirstTwo = 2, kLastTwo = 4, kFirstSigned = 8, kLastSigned = 16;

// The sums of P pixels by 16 outputs.
template <int P>
struct ByteSums {
  __m256i sums[P][2] = {};

  // Compilers would compute many products before they add them, for which registers are too few.
  __attribute__((always_inline)) static void settle(__m256i (&values)[P][2]) {
#pragma GCC unroll 3
    for (int p = 0; p < P; ++p) asm volatile("" : "+x"(values[p][0]), "+x"(values[p][1]));
  }

  // The products of one step of pixels that are `step` bytes apart, in 16 bits. kFirst: they are
  // not added to others.
  template <bool kSigned, bool kFirst>
  __attribute__((always_inline)) static void multiply(__m256i (&narrow)[P][2], const std::int8_t* w,
                                                      const std::byte* in, std::int64_t step) {
    const __m256i weights[2] = {load_vector(w), load_vector(w + kStepBytes / 2)};
#pragma GCC unroll 3
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

  // Adds steps that fit 16 bits together.
  template <bool kSigned, int kCount>
  __attribute__((always_inline)) void add(const std::int8_t* w, const std::byte* in,
                                          std::int64_t step) {
    __m256i narrow[P][2];
    settle(sums);
    multiply<kSigned, true>(narrow, w, in, step);
    settle(narrow);
#pragma GCC unroll 3
    for (int i = 1; i < kCount; ++i) {
      multiply<kSigned, false>(narrow, w + i * kStepBytes, in + i * kStepInputs, step);
      settle(narrow);
    }
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 3
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
      for (int n = 0; n < 2; ++n) {
        sums[p][n] = _mm256_add_epi32(sums[p][n], _mm256_madd_epi16(narrow[p][n], ones));
      }
    }
  }

  // Adds two steps, together or one by one.
  template <bool kSigned>
  __attribute__((always_inline)) void add_two(const std::int8_t* w, const std::byte* in,
                                              std::int64_t step, bool together) {
    if (together) {
      add<kSigned, 2>(w, in, step);
    } else {
      add<kSigned, 1>(w, in, step);
      add<kSigned, 1>(w + kStepBytes, in + kStepInputs, step);
    }
  }

  // Adds `length` steps. For each of them, `negative` says whether an input may be, 0 or 1; `apart`
  // has the bits of each window.
  __attribute__((always_inline)) void add_all(const std::int8_t* w, const std::byte* in,
                                              std::int64_t step, std::int64_t length,
                                              const std::uint8_t* negative,
                                              const std::uint8_t* apart) {
    const auto two = [&](std::int64_t k, int bits, int plain, int with_signs)
        __attribute__((always_inline)) {
      std::uint16_t any;
      __builtin_memcpy(&any, negative + k, 2);
      any == 0 ? add_two<false>(w, in, step, (bits & plain) == 0)
               : add_two<true>(w, in, step, (bits & with_signs) == 0);
      w += 2 * kStepBytes, in += 2 * kStepInputs;
    };
    std::int64_t k = 0;
    for (; k + kWindow <= length; k += kWindow, ++apart) {
      std::uint32_t any;
      __builtin_memcpy(&any, negative + k, kWindow);
      if ((any | (*apart & kFour)) == 0) {
        add<false, kWindow>(w, in, step);
        w += kWindow * kStepBytes, in += kWindow * kStepInputs;
      } else {
        two(k, *apart, kFirstTwo, kFirstSigned);
        two(k + 2, *apart, kLastTwo, kLastSigned);
      }
    }
    if (k + 2 <= length) {
      two(k, *apart, kFirstTwo, kFirstSigned);
      k += 2;
    }
    if (k < length) negative[k] != 0 ? add<true, 1>(w, in, step) : add<false, 1>(w, in, step);
  }
};

}  // namespace
}  // namespace horizon

#endif
