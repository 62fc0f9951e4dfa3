// Requantisation to int8 of lean layers with vectors of 256 bits; kernels/lean.h says which and
// why.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include <optional>

#include "kernels/conv_words_avx2.h"
#include "kernels/lean.h"

namespace horizon {
namespace {

// The constants of N outputs, in the order of the sums.
template <int N>
struct alignas(32) LeanConstants {
  std::int32_t bias[N];
  std::int32_t multiplier[N];  // M 2^7
  std::int32_t second[N];      // the same of negative sums with two slopes, or of the residual
  std::int32_t half[N];        // 2^(s-23)
  std::int32_t shift[N];       // s - 22

  // Of output o in place i; there are places beyond the last output.
  void set(int i, const ConvArgs& a, std::int64_t o) {
    Channel c = o < a.out.shape[3] ? a.table[o] : Channel{0, 0, 0, kSmallestLeanShift};
    if (a.residual.data == nullptr) c = by_sign(c);
    const auto times_128 = [](std::int32_t value) {
      return static_cast<std::int32_t>(static_cast<std::uint32_t>(value) << 7);
    };
    bias[i] = c.bias;
    multiplier[i] = times_128(c.multiplier);
    second[i] = times_128(a.two_slopes ? c.negative_multiplier : c.residual_multiplier);
    const std::int32_t above = c.shift - kSmallestLeanShift;
    shift[i] = above + 1;
    half[i] = above >= 0 ? 1 << above : 0;  // smaller shifts are not requantised here
  }
};

// Requantises 8 sums with the constants from place i on. Sums include the bias; nothing is limited.
struct LeanScale8 {
  __m256i bias, multiplier, second, half, shift;

  template <int N>
  __attribute__((always_inline)) LeanScale8(const LeanConstants<N>& c, int i)
      : bias(load_vector(c.bias + i)),
        multiplier(load_vector(c.multiplier + i)),
        second(load_vector(c.second + i)),
        half(load_vector(c.half + i)),
        shift(load_vector(c.shift + i)) {}

  static __m256i odd(__m256i v) { return _mm256_srli_epi64(v, 32); }
  static __m256i eightfold(__m256i v) { return _mm256_slli_epi32(v, 3); }
  __attribute__((always_inline)) __m256i rounded(__m256i low, __m256i high) const {
    const __m256i upper = _mm256_blend_epi32(odd(low), high, 0xaa);
    return _mm256_srav_epi32(_mm256_add_epi32(upper, half), shift);
  }

  __attribute__((always_inline)) __m256i operator()(__m256i sum) const {
    sum = eightfold(sum);
    return rounded(_mm256_mul_epi32(sum, multiplier), _mm256_mul_epi32(odd(sum), odd(multiplier)));
  }
  __attribute__((always_inline)) __m256i sloped(__m256i sum) const {
    sum = eightfold(sum);
    const __m256i chosen = _mm256_castps_si256(_mm256_blendv_ps(
        _mm256_castsi256_ps(multiplier), _mm256_castsi256_ps(second), _mm256_castsi256_ps(sum)));
    return rounded(_mm256_mul_epi32(sum, chosen), _mm256_mul_epi32(odd(sum), odd(chosen)));
  }
  __attribute__((always_inline)) __m256i with_residual(__m256i sum, __m256i residual) const {
    sum = eightfold(sum);
    residual = eightfold(residual);
    const auto both = [](__m256i x, __m256i m, __m256i y, __m256i n) {
      return _mm256_add_epi64(_mm256_mul_epi32(x, m), _mm256_mul_epi32(y, n));
    };
    return rounded(both(sum, multiplier, residual, second),
                   both(odd(sum), odd(multiplier), odd(residual), odd(second)));
  }
};

// For tiles of pixels by 16 outputs.
struct LeanTiles {
  const ConvArgs& a;
  LeanConstants<16>* constants;  // of 16 outputs each
  const __m256i lo, hi;

  static std::int64_t blocks(const ConvArgs& a) { return (a.out.shape[3] + 15) / 16; }
  static std::int64_t scratch_bytes(const ConvArgs& a) {
    return blocks(a) * static_cast<std::int64_t>(sizeof(LeanConstants<16>));
  }

  LeanTiles(const ConvArgs& args, std::byte* scratch)
      : a(args),
        constants(reinterpret_cast<LeanConstants<16>*>(scratch)),
        lo(_mm256_set1_epi8(static_cast<char>(args.lo))),
        hi(_mm256_set1_epi8(static_cast<char>(args.hi))) {
    for (std::int64_t o = 0; o < 16 * blocks(a); ++o) {
      constants[o / 16].set(static_cast<int>(o % 16), a, o);
    }
  }

  // Requantises and stores P pixels from column `column` on, of 16 outputs from 16 `block` on.
  template <int P>
  __attribute__((always_inline)) void finish(const __m256i (&acc)[P][2], const OutputPixels& pixels,
                                             std::int64_t column, std::int64_t block) const {
    const LeanScale8 first(constants[block], 0), second(constants[block], 8);
    const std::int64_t left = a.out.shape[3] - 16 * block;
    const auto requantized = [&]<class Scale>(Scale scale) __attribute__((always_inline)) {
#pragma GCC unroll 3
      for (int p = 0; p < P; p += 2) {
        __m256i words[2];
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) {
          const int q = p + i < P ? p + i : p;
          words[i] =
              _mm256_packs_epi32(scale(first, _mm256_add_epi32(acc[q][0], first.bias), q, 0),
                                 scale(second, _mm256_add_epi32(acc[q][1], second.bias), q, 8));
        }
        // Each half has four outputs of either vector, of both pixels.
        __m256i y = _mm256_packs_epi16(words[0], words[1]);
        y = _mm256_min_epi8(_mm256_max_epi8(y, lo), hi);
        y = _mm256_permutevar8x32_epi32(y, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        store(pixels.out(column + p) + 16 * block, _mm256_castsi256_si128(y), left);
        if (p + 1 == P) continue;
        store(pixels.out(column + p + 1) + 16 * block, _mm256_extracti128_si256(y, 1), left);
      }
    };
    if (a.residual.data != nullptr) {
      requantized([&](const LeanScale8& scale, __m256i sum, int p, std::int64_t o)
                      __attribute__((always_inline)) {
                        const std::int64_t there = left - o < 8 ? left - o : 8;
                        if (there <= 0) return sum;
                        const std::byte* from = pixels.residual(column + p) +
                                                (16 * block + o) * element_bytes(a.residual.type);
                        return scale.with_residual(sum, load8(from, a.residual.type, there));
                      });
    } else if (a.two_slopes) {
      requantized([](const LeanScale8& scale, __m256i sum, int, std::int64_t)
                      __attribute__((always_inline)) { return scale.sloped(sum); });
    } else {
      requantized(
          [](const LeanScale8& scale, __m256i sum, int, std::int64_t) { return scale(sum); });
    }
  }

  __attribute__((always_inline)) static void store(std::byte* to, __m128i bytes,
                                                   std::int64_t left) {
    if (left >= 16) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
      return;
    }
    if ((left & 8) != 0) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to), bytes);
      bytes = _mm_srli_si128(bytes, 8);
      to += 8;
    }
    auto rest = static_cast<std::uint64_t>(_mm_cvtsi128_si64(bytes));
    for (std::int64_t size = 4; size > 0; size /= 2) {
      if ((left & size) == 0) continue;
      __builtin_memcpy(to, &rest, static_cast<std::size_t>(size));
      rest >>= 8 * size;
      to += size;
    }
  }
};

// What finishes the sums of a layer: its constants are those of a lean one, or else of Set.
template <class Set>
struct TileFinish {
  using Full = Tiles<Set, true>;
  std::optional<LeanTiles> lean;
  std::optional<Full> full;

  static std::int64_t scratch_bytes(const ConvArgs& a) {
    return round_up(fits_lean(a) ? LeanTiles::scratch_bytes(a) : Full::scratch_bytes(a), 64);
  }
  TileFinish(const ConvArgs& a, std::byte* scratch) {
    fits_lean(a) ? void(lean.emplace(a, scratch)) : void(full.emplace(a, scratch));
  }

  template <int P>
  __attribute__((always_inline)) void operator()(const __m256i (&acc)[P][2], const Phase& phase,
                                                 const ConvRow& row, std::int64_t column,
                                                 std::int64_t block) const {
    if (!lean) return finish_tile(*full, acc, phase, row, column, block);
    lean->finish(acc, OutputPixels(lean->a, phase, row), column, block);
  }
};

}  // namespace
}  // namespace horizon

#endif
