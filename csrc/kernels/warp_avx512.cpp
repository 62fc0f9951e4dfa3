// Warp with AVX-512: vectors of channels.
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

}  // namespace

void avx512::warp(const WarpArgs& args, Part part) {
  const std::int32_t bits = args.fraction_bits;
  warp_by_type<BlendBytes, BlendWords>(args, part, _mm512_set1_epi32(warp_half(bits)),
                                       _mm_cvtsi32_si128(2 * bits));
}

}  // namespace horizon

#endif
