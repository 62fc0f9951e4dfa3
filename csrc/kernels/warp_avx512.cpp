// Warp with AVX-512: vectors of channels, whose places are found for 16 pixels at once.
#if defined(__x86_64__)

#include "kernels/requantize_avx512.h"
#include "kernels/sets.h"
#include "kernels/warp_plan.h"

namespace horizon {
namespace {

// int8: first across, where |t (2^F - a) + t' a| <= 2^15 fits int16, then down as pairs of int16.
struct BlendBytes {
  std::int64_t channels;
  std::int32_t bits;
  __m512i half;
  __m128i shift;

  void operator()(const WarpTaps& taps, std::byte* out) const {
    const __m512i left = _mm512_set1_epi16(static_cast<short>(taps.across[0]));
    const __m512i right = _mm512_set1_epi16(static_cast<short>(taps.across[1]));
    const __m512i down = _mm512_set1_epi32(taps.down[0] | taps.down[1] << 16);
    for (std::int64_t c = 0; c < channels; c += 32) {
      const std::int64_t count = channels - c;
      const __mmask32 mask = count >= 32 ? ~__mmask32{0} : (__mmask32{1} << count) - 1;
      __m512i tap[4];
      for (int i = 0; i < 4; ++i) {
        tap[i] = _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(mask, taps.data[i] + c));
      }
      const __m512i upper =
          _mm512_add_epi16(_mm512_mullo_epi16(tap[0], left), _mm512_mullo_epi16(tap[1], right));
      const __m512i lower =
          _mm512_add_epi16(_mm512_mullo_epi16(tap[2], left), _mm512_mullo_epi16(tap[3], right));
      // Interleaving and packing undo each other within 128 bits.
      const __m512i y0 = finish(_mm512_madd_epi16(_mm512_unpacklo_epi16(upper, lower), down));
      const __m512i y1 = finish(_mm512_madd_epi16(_mm512_unpackhi_epi16(upper, lower), down));
      _mm256_mask_storeu_epi8(out + c, mask, _mm512_cvtepi16_epi8(_mm512_packs_epi32(y0, y1)));
    }
  }

  __m512i finish(__m512i sum) const { return _mm512_sra_epi32(_mm512_add_epi32(sum, half), shift); }
};

// int16: sums of int32, which the weights' sum of 2^(2F) <= 2^16 keeps in range.
struct BlendWords {
  std::int64_t channels;
  std::int32_t bits;
  __m512i half;
  __m128i shift;

  void operator()(const WarpTaps& taps, std::byte* out) const {
    for (std::int64_t c = 0; c < channels; c += 16) {
      const std::int64_t count = channels - c;
      const auto mask = static_cast<__mmask16>(count >= 16 ? 0xffff : (1u << count) - 1);
      __m512i sum = half;
      for (int i = 0; i < 4; ++i) {
        const __m512i weight = _mm512_set1_epi32(taps.down[i / 2] * taps.across[i % 2]);
        const __m512i tap =
            _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(mask, taps.data[i] + 2 * c));
        sum = _mm512_add_epi32(sum, _mm512_mullo_epi32(tap, weight));
      }
      _mm256_mask_storeu_epi16(out + 2 * c, mask,
                               _mm512_cvtepi32_epi16(_mm512_sra_epi32(sum, shift)));
    }
  }
};

// An axis of 16 pixels: bytes and weights as in WarpAxis.
struct Axis16 {
  __m512i at[2], weight[2];

  Axis16(__m512i place, std::int32_t bits, std::int32_t size, std::int32_t stride) {
    const __m512i first = _mm512_sra_epi32(place, _mm_cvtsi32_si128(bits));
    const __m512i one = _mm512_set1_epi32(1 << bits);
    const __m512i fraction = _mm512_andnot_si512(_mm512_set1_epi32(-1 << bits), place);
    const __m512i sizes = _mm512_set1_epi32(size), strides = _mm512_set1_epi32(stride);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(1));
    // A place below 0 is a large unsigned number.
    const __mmask16 inside[2] = {_mm512_cmplt_epu32_mask(first, sizes),
                                 _mm512_cmplt_epu32_mask(second, sizes)};
    at[0] = _mm512_maskz_mullo_epi32(inside[0], first, strides);
    at[1] = _mm512_maskz_mullo_epi32(inside[1], second, strides);
    weight[0] = _mm512_maskz_sub_epi32(inside[0], one, fraction);
    weight[1] = _mm512_maskz_mov_epi32(inside[1], fraction);
  }
};

struct Each16 {
  // Places and bytes must fit 32 bits.
  static bool fits(const WarpArgs& args) {
    constexpr std::int64_t kLongest = 1 << 20, kBytes = std::int64_t{1} << 31;
    const Tensor& feature = args.feature;
    for (int axis : {0, 1}) {
      if (args.origin[axis] + args.out.shape[1 + axis] > kLongest) return false;
    }
    return args.fraction_bits <= 8 && args.offset.stride[2] == 4 &&
           fits_integers(args.table, false) && feature.shape[1] < kLongest &&
           feature.shape[2] < kLongest &&
           feature.stride[1] * feature.shape[1] + feature.stride[2] * feature.shape[2] < kBytes;
  }

  template <class Blend>
  void operator()(const WarpArgs& args, const Part& part, Blend blend) const {
    if (!fits(args)) return for_each_warped(args, part, blend);
    const Tensor& feature = args.feature;
    const std::int32_t bits = args.fraction_bits;
    Channel channel = args.table;
    channel.bias = 0;
    const IntegerScale16 scale = integer_scale_of_channel(channel);
    const __m512i lo = _mm512_set1_epi32(-32768), hi = _mm512_set1_epi32(32767);
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m128i shift = _mm_cvtsi32_si128(bits);
    for_each_run(
        args.out, part, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
          const std::byte* image = feature.data + n * feature.stride[0];
          const std::byte* offset = pixel(args.offset, n, y, x);
          std::byte* out = pixel(args.out, n, y, x);
          const __m512i down_from = _mm512_set1_epi32(
              static_cast<std::int32_t>((args.origin[0] + y) * (std::int64_t{1} << bits)));
          for (; x < end; x += 16, offset += 64) {
            const int count = end - x < 16 ? static_cast<int>(end - x) : 16;
            const __m512i steps =
                _mm512_maskz_loadu_epi32(static_cast<__mmask16>((1u << count) - 1), offset);
            const auto moved = [&](__m512i step, __m512i from) {
              return _mm512_add_epi32(from, requantize16(step, scale, lo, hi));
            };
            const __m512i column =
                _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int>(args.origin[1] + x)));
            const Axis16 across(moved(_mm512_srai_epi32(_mm512_slli_epi32(steps, 16), 16),
                                      _mm512_sll_epi32(column, shift)),
                                bits, feature.shape[2],
                                static_cast<std::int32_t>(feature.stride[2]));
            const Axis16 down(moved(_mm512_srai_epi32(steps, 16), down_from), bits,
                              feature.shape[1], static_cast<std::int32_t>(feature.stride[1]));
            alignas(64) std::int32_t at[4][16], weight[4][16];
            for (int i = 0; i < 4; ++i) {
              _mm512_store_si512(at[i], _mm512_add_epi32(down.at[i / 2], across.at[i % 2]));
              _mm512_store_si512(weight[i], i < 2 ? down.weight[i] : across.weight[i - 2]);
            }
            for (int i = 0; i < count; ++i, out += args.out.stride[2]) {
              blend(
                  WarpTaps{{image + at[0][i], image + at[1][i], image + at[2][i], image + at[3][i]},
                           {weight[0][i], weight[1][i]},
                           {weight[2][i], weight[3][i]}},
                  out);
            }
          }
        });
  }
};

}  // namespace

void avx512::warp(const WarpArgs& args, Part part) {
  const std::int32_t bits = args.fraction_bits;
  warp_by_type<BlendBytes, BlendWords>(args, part, _mm512_set1_epi32(warp_half(bits)),
                                       _mm_cvtsi32_si128(2 * bits), Each16{});
}

}  // namespace horizon

#endif
