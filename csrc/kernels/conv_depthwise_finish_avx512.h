// The sums of a depthwise convolution with AVX-512, and their rounding.
#pragma once

#include "kernels/conv_depthwise_work_avx512.h"

namespace horizon {
namespace {
// Stops the compiler from delaying the sums until they are stored, for which registers are too few.
template <int P>
HORIZON_INLINE void settle(__m512i (&values)[P]) {
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) asm volatile("" : "+v"(values[p]));
}

// Sums of quarter g of P output vectors. kTaps is the number of taps; 0: take it from the argument.
template <int P, int kTaps>
HORIZON_INLINE void accumulate(const std::uint8_t* const* inputs, const std::int8_t* weights,
                               std::int64_t step, std::int64_t taps, int g, const Lanes& lanes,
                               __m512i (&acc)[P]) {
  const __m512i start = _mm512_load_si512(lanes.start + 16 * g);
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) acc[p] = start;
  const std::int64_t count = kTaps == 0 ? taps : kTaps;
#pragma GCC unroll 3
  for (std::int64_t tap = 0; tap < count; ++tap) {
    const __m512i w = _mm512_load_si512(weights + tap * kColumn + g * kVector);
    const std::uint8_t* in = inputs[tap] + g * kVector;
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      acc[p] = _mm512_dpbusd_epi32(acc[p], _mm512_load_si512(in + p * step), w);
    }
  }
}

// int8 outputs of one slope without a residual.
//
// If the shift s is at least 26, 2^(s-1) is a multiple of 2^25. It can then be added after the
// products have been divided by 2^25: floor((acc M + 2^(s-1)) 2^-s) = floor((floor(acc M 2^-25) +
// 2^(s-26)) 2^-(s-25)). The quotient is the upper half of the 64-bit product acc (M 2^7). With M
// below 2^24 and acc below 2^28, it has less than 28 bits, and the sum cannot overflow. Packing
// saturates to -32768..32767, then to -128..127; the limits of the output are within these.
struct Lean {
  const __m512i lo, hi;

  explicit Lean(const ConvArgs& a)
      : lo(_mm512_set1_epi8(static_cast<char>(a.lo))),
        hi(_mm512_set1_epi8(static_cast<char>(a.hi))) {}

  static bool fits(const ConvArgs& a) {
    if (a.out.type != Type::int8 || a.residual.data != nullptr || a.two_slopes) return false;
    for (std::int32_t o = 0; o < a.out.shape[3]; ++o) {
      if (!fits_integers(a.table[o], false) || a.table[o].shift == kSmallestIntegerShift) {
        return false;
      }
    }
    return true;
  }

  // The constants of a quarter.
  struct Scale {
    __m512i even, odd, half, shift;

    HORIZON_INLINE Scale(const Lanes& lanes, int g)
        : even(_mm512_load_si512(lanes.multiplier + 16 * g)),
          odd(_mm512_srli_epi64(even, 32)),
          half(_mm512_load_si512(lanes.half + 16 * g)),
          shift(_mm512_load_si512(lanes.shift + 16 * g)) {}

    HORIZON_INLINE __m512i operator()(__m512i acc) const {
      const __m512i low = _mm512_mul_epi32(acc, even);
      const __m512i high = _mm512_mul_epi32(_mm512_srli_epi64(acc, 32), odd);
      // The upper halves of both.
      const __m512i upper = _mm512_mask_shuffle_epi32(high, 0x5555, low, _MM_PERM_DDBB);
      return _mm512_srav_epi32(_mm512_add_epi32(upper, half), shift);
    }
  };

  template <int P, int kTaps, int F>
  HORIZON_INLINE void vectors(const Depthwise<F>& d, const std::uint8_t* const* inputs,
                              const std::int8_t* weights, std::byte* out, const std::byte*,
                              std::int64_t pixels) const {
    const Lanes& lanes = *d.scratch.lanes;
    const std::int64_t step = d.slots.step * kColumn;
    __m512i words[2][P];
#pragma GCC unroll 2
    for (int pair = 0; pair < 2; ++pair) {
      __m512i acc[P], more[P];
      accumulate<P, kTaps>(inputs, weights, step, d.plan.taps, 2 * pair, lanes, acc);
      settle(acc);
      const Scale scale(lanes, 2 * pair);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) acc[p] = scale(acc[p]);
      settle(acc);
      accumulate<P, kTaps>(inputs, weights, step, d.plan.taps, 2 * pair + 1, lanes, more);
      settle(more);
      const Scale second(lanes, 2 * pair + 1);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) words[pair][p] = _mm512_packs_epi32(acc[p], second(more[p]));
      settle(words[pair]);
    }
    const std::int64_t pixel_step = d.a.out.stride[2];
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      __m512i y = _mm512_packs_epi16(words[0][p], words[1][p]);
      y = _mm512_min_epi8(_mm512_max_epi8(y, lo), hi);
      std::byte* to = out + p * F * pixel_step;
      if (d.out_together && pixels >= (p + 1) * F) {
        d.channels* F == kVector ? _mm512_storeu_si512(to, y)
                                 : _mm512_mask_storeu_epi8(to, d.mask, y);
        continue;
      }
      if constexpr (F == 2) {
        const auto some = static_cast<__mmask32>(d.mask);
        _mm256_mask_storeu_epi8(to, some, _mm512_castsi512_si256(y));
        if (pixels > p * F + 1) {
          _mm256_mask_storeu_epi8(to + pixel_step, some, _mm512_extracti64x4_epi64(y, 1));
        }
      }
      if constexpr (F == 4) {
        const auto some = static_cast<__mmask16>(d.mask);
        const std::int64_t left = pixels - p * F;
        _mm_mask_storeu_epi8(to, some, _mm512_castsi512_si128(y));
        if (left > 1) {
          _mm_mask_storeu_epi8(to + pixel_step, some, _mm512_extracti32x4_epi32(y, 1));
        }
        if (left > 2) {
          _mm_mask_storeu_epi8(to + 2 * pixel_step, some, _mm512_extracti32x4_epi32(y, 2));
        }
        if (left > 3) {
          _mm_mask_storeu_epi8(to + 3 * pixel_step, some, _mm512_extracti32x4_epi32(y, 3));
        }
      }
    }
  }
};

// All other outputs, in the natural order of channels. R: the ratios of one slope or of two.
template <class R>
struct Full {
  const Constants constants;
  const Epilogue epilogue;

  Full(const ConvArgs& a, std::byte* scratch) : constants(a, scratch), epilogue(a, constants) {
    for (std::int64_t o = 0; o < outputs_padded(a); ++o) constants.set(a, o, 0);
  }

  template <int P, int kTaps, int F>
  HORIZON_INLINE void vectors(const Depthwise<F>& d, const std::uint8_t* const* inputs,
                              const std::int8_t* weights, std::byte* out, const std::byte* residual,
                              std::int64_t pixels) const {
    for (int p = 0; p < P; ++p) {
      const std::uint8_t* at[kMostRows / 4 * kMostColumns];
      for (std::int64_t tap = 0; tap < d.plan.taps; ++tap) {
        at[tap] = inputs[tap] + p * d.slots.step * kColumn;
      }
      one<kTaps>(d, at, weights, out + p * F * d.a.out.stride[2],
                 residual == nullptr ? nullptr : residual + p * F * d.a.residual.stride[2],
                 pixels - p * F);
    }
  }

 private:
  template <int kTaps, int F>
  void one(const Depthwise<F>& d, const std::uint8_t* const* inputs, const std::int8_t* weights,
           std::byte* out, const std::byte* residual, std::int64_t pixels) const {
    __m512i sum[kQuarters];
#pragma GCC unroll 4
    for (int g = 0; g < kQuarters; ++g) {
      __m512i acc[1];
      accumulate<1, kTaps>(inputs, weights, 0, d.plan.taps, g, *d.scratch.lanes, acc);
      sum[g] = acc[0];
    }
    // 4 x 4 lanes: from channels 4 g .. of each lane to the channels of lane l.
    const __m512i low = _mm512_shuffle_i32x4(sum[0], sum[1], 0x44);
    const __m512i high = _mm512_shuffle_i32x4(sum[0], sum[1], 0xee);
    const __m512i lower = _mm512_shuffle_i32x4(sum[2], sum[3], 0x44);
    const __m512i higher = _mm512_shuffle_i32x4(sum[2], sum[3], 0xee);
    const __m512i natural[4] = {
        _mm512_shuffle_i32x4(low, lower, 0x88), _mm512_shuffle_i32x4(low, lower, 0xdd),
        _mm512_shuffle_i32x4(high, higher, 0x88), _mm512_shuffle_i32x4(high, higher, 0xdd)};
    constexpr int kLanesOfPixel = 4 / F;
#pragma GCC unroll 4
    for (int lane = 0; lane < 4; ++lane) {
      const std::int64_t channel = lane % kLanesOfPixel * 16, pixel = lane / kLanesOfPixel;
      const std::int64_t left = d.channels - channel;
      if (pixel >= pixels || left <= 0) continue;
      const auto some = static_cast<__mmask16>(left >= 16 ? 0xffff : (1 << left) - 1);
      const std::int64_t o = d.first + channel;
      const R ratios(constants, o);
      __m512i y;
      if (residual == nullptr) {
        y = epilogue.requantize(natural[lane], ratios);
      } else {
        const std::byte* from =
            residual + pixel * d.a.residual.stride[2] + o * d.a.residual.stride[3];
        y = epilogue.requantize(natural[lane], epilogue.load_residual(from, some), ratios);
      }
      std::byte* to = out + pixel * d.a.out.stride[2] + channel * d.a.out.stride[3];
      epilogue.store(to, some, y);
    }
  }
};

}  // namespace
}  // namespace horizon
