// Correlation with AVX-512 VNNI, int8 features: vectors of 16 pixels, 4 channels a step.
//
// vpdpbusd multiplies unsigned by signed bytes, so b is packed as b + 128 and the accumulators
// start at -128 times the sum of a's channels. Up to 3 rows of a by 9 displacements stay in
// registers.
#if defined(__x86_64__)

#include "kernels/correlation_plan.h"
#include "kernels/requantize_avx512.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

template <bool kSlopes>
struct Avx512 : CorrelationBytes {
  using Vector = __m512i;
  using Inputs = __m512i;
  static constexpr int kLanes = 16, kChannels = 4, kRows = 3, kOutside = 0x80;

  struct Scale {
    bool integer;
    IntegerScale16 scale;
    SlopedScale16 sloped;
    Scale16 general, general_below;  // of sums below 0
    __m512i bias, lo, hi;

    explicit Scale(const CorrelationArgs& args)
        : integer(fits_integers(args.table, kSlopes)),
          general(scale_of_channel(args.table)),
          bias(_mm512_set1_epi32(args.table.bias)),
          lo(_mm512_set1_epi32(args.lo)),
          hi(_mm512_set1_epi32(args.hi)) {
      if (integer) scale = integer_scale_of_channel(args.table);
      if constexpr (kSlopes) {
        Channel below = by_sign(args.table);
        below.multiplier = below.negative_multiplier;
        general_below = scale_of_channel(below);
        if (!integer) return;
        const __m512i half = _mm512_set1_epi64(std::int64_t{1} << (below.shift + 6));
        sloped = {scale.multiplier_even, _mm512_slli_epi32(_mm512_set1_epi32(below.multiplier), 7),
                  half, half, scale.shift};
      }
    }
  };

  // 32 pixels of b.
  struct Window {
    __m512i near, far;
    explicit Window(const std::byte* b) : near(load(b)), far(load(b + 64)) {}

    // Lanes d .. d+15 of the two vectors. Loads that cross a cache line would take longer.
    __attribute__((always_inline)) __m512i shifted(int d) const {
      switch (d) {
        case 0:
          return near;
        case 1:
          return _mm512_alignr_epi32(far, near, 1);
        case 2:
          return _mm512_alignr_epi32(far, near, 2);
        case 3:
          return _mm512_alignr_epi32(far, near, 3);
        case 4:
          return _mm512_alignr_epi32(far, near, 4);
        case 5:
          return _mm512_alignr_epi32(far, near, 5);
        case 6:
          return _mm512_alignr_epi32(far, near, 6);
        case 7:
          return _mm512_alignr_epi32(far, near, 7);
        default:
          return _mm512_alignr_epi32(far, near, 8);
      }
    }
  };

  static __m512i start(const CorrelationTile& t, int row) {
    return _mm512_loadu_si512(t.start + row * t.start_row);
  }
  static __m512i load(const std::byte* from) { return _mm512_loadu_si512(from); }
  static __m512i multiply(__m512i sums, __m512i b, __m512i a) {
    return _mm512_dpbusd_epi32(sums, b, a);
  }

  // In integers.
  static __m512i requantize(const Scale& scale, __m512i acc) {
    if constexpr (kSlopes) {
      return requantize16(_mm512_add_epi32(acc, scale.bias), scale.sloped, scale.lo, scale.hi);
    } else {
      return requantize16(acc, scale.scale, scale.lo, scale.hi);
    }
  }

  template <int R, int D>
  static void finish(const Scale& scale, const __m512i (&acc)[R][D], const CorrelationTile& t) {
    if (!scale.integer || !t.narrow) {
      __m512i values[R * D];
#pragma GCC unroll 27
      for (int i = 0; i < R * D; ++i) values[i] = acc[i / D][i % D];
      for (int r = 0; r < R; ++r)
        finish_any(scale, values + r * D, D, t.out + r * t.out_row, t.narrow);
      return;
    }
#pragma GCC unroll 9
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 9
      for (int d = 0; d < D; ++d) {
        const __m512i y = requantize(scale, acc[r][d]);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(t.out + r * t.out_row + d * kBlock),
                         _mm512_cvtepi32_epi8(y));
      }
    }
  }

  // Any ratio, any output.
  __attribute__((noinline)) static void finish_any(const Scale& scale, const __m512i* acc,
                                                   int count, std::byte* out, bool narrow) {
    const __m512d lo = _mm512_cvtepi32_pd(_mm512_castsi512_si256(scale.lo));
    const __m512d hi = _mm512_cvtepi32_pd(_mm512_castsi512_si256(scale.hi));
    const auto by = [&](const Scale16& s, __m512i sum) {
      return requantize16(sum, s.ratio_lo, s.ratio_hi, s.offset_lo, s.offset_hi, lo, hi);
    };
    for (int d = 0; d < count; ++d) {
      __m512i y = by(scale.general, acc[d]);
      if constexpr (kSlopes) {
        const __mmask16 below = _mm512_movepi32_mask(_mm512_add_epi32(acc[d], scale.bias));
        y = _mm512_mask_mov_epi32(y, below, by(scale.general_below, acc[d]));
      }
      if (narrow) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + d * kBlock), _mm512_cvtepi32_epi8(y));
      } else {
        _mm512_storeu_si512(out + d * kBlock * 4, y);
      }
    }
  }

  // The accumulators' first values.
  static void prepare(const std::byte* a, std::int64_t step, std::int64_t groups,
                      std::int64_t blocks, std::int32_t* start) {
    const __m512i shifted = _mm512_set1_epi8(static_cast<char>(0x80));
    for (std::int64_t i = 0; i < blocks; ++i) {
      __m512i sum = _mm512_setzero_si512();
      for (std::int64_t g = 0; g < groups; ++g) {
        sum = _mm512_dpbusd_epi32(sum, shifted, _mm512_loadu_si512(a + i * 64 + g * step));
      }
      _mm512_storeu_si512(start + i * 16, _mm512_sub_epi32(_mm512_setzero_si512(), sum));
    }
  }

  // Results [displacement][16 pixels] to pixels of `count` displacements each.
  static void store(const std::byte* result, std::int64_t count, std::byte* out,
                    std::int64_t stride, std::int64_t pixels) {
    // Dword 4i+j of a vector is byte group i of displacement j. Collect it in lane i for all j.
    const __m512i across = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i within =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    for (std::int64_t at = 0; at < count; at += 16) {
      // The last 16 overlap the previous ones; if there are fewer than 16 in all, they are masked.
      const std::int64_t d = at + 16 <= count ? at : count >= 16 ? count - 16 : 0;
      const std::int64_t valid = count < 16 ? count : 16;
      const auto mask = static_cast<__mmask16>((1u << valid) - 1);
      __m512i x[4];
      for (int i = 0; i < 4; ++i) {
        const std::int64_t bytes = (valid - 4 * i) * 16;
        const __mmask64 read = bytes >= 64 ? ~__mmask64{0}
                               : bytes > 0 ? (__mmask64{1} << bytes) - 1
                                           : 0;
        x[i] = _mm512_maskz_loadu_epi8(read, result + (d + 4 * i) * 16);
        x[i] = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(across, x[i]), within);
      }
      const __m512i low0 = _mm512_unpacklo_epi32(x[0], x[1]);
      const __m512i low1 = _mm512_unpacklo_epi32(x[2], x[3]);
      const __m512i high0 = _mm512_unpackhi_epi32(x[0], x[1]);
      const __m512i high1 = _mm512_unpackhi_epi32(x[2], x[3]);
      // y[j], lane i: pixel 4i + j.
      const __m512i y[4] = {_mm512_unpacklo_epi64(low0, low1), _mm512_unpackhi_epi64(low0, low1),
                            _mm512_unpacklo_epi64(high0, high1),
                            _mm512_unpackhi_epi64(high0, high1)};
      const auto put = [&](std::int64_t p, __m128i value) {
        if (p >= pixels) return;
        std::byte* to = out + p * stride + d;
        if (valid == 16) {
          _mm_storeu_si128(reinterpret_cast<__m128i*>(to), value);
        } else {
          _mm_mask_storeu_epi8(to, mask, value);
        }
      };
      for (int j = 0; j < 4; ++j) {
        put(j, _mm512_castsi512_si128(y[j]));
        put(4 + j, _mm512_extracti32x4_epi32(y[j], 1));
        put(8 + j, _mm512_extracti32x4_epi32(y[j], 2));
        put(12 + j, _mm512_extracti32x4_epi32(y[j], 3));
      }
    }
  }
};

}  // namespace

std::size_t avx512::correlation_scratch(const CorrelationArgs& args) {
  return horizon::correlation_scratch<Avx512<false>>(args);
}

void avx512::correlation(const CorrelationArgs& args, Part part) {
  horizon::correlation<Avx512>(args, part);
}

}  // namespace horizon

#endif
