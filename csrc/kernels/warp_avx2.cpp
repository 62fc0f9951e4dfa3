// Warp with AVX2: vectors of 16 channels.
#if defined(__x86_64__)

#include "kernels/requantize_avx2.h"
#include "kernels/sets.h"
#include "kernels/warp_plan.h"

namespace horizon {
namespace {

constexpr std::int64_t kChannels = 16;

// int8: first across, where |t (2^F - a) + t' a| <= 2^15 fits int16, then down as pairs of int16.
struct BlendBytes {
  std::int64_t channels;
  std::int32_t bits;
  __m256i half;
  __m128i shift;

  void operator()(const WarpTaps& taps, std::byte* out) const {
    const __m256i left = _mm256_set1_epi16(static_cast<short>(taps.across[0]));
    const __m256i right = _mm256_set1_epi16(static_cast<short>(taps.across[1]));
    const __m256i down = _mm256_set1_epi32(taps.down[0] | taps.down[1] << 16);
    for_each_vector<kChannels>(taps, Type::int8, bits, channels, out, [&](std::int64_t c) {
      __m256i tap[4];
      for (int i = 0; i < 4; ++i) {
        const auto* at = reinterpret_cast<const __m128i*>(taps.data[i] + c);
        tap[i] = _mm256_cvtepi8_epi16(_mm_loadu_si128(at));
      }
      const __m256i upper =
          _mm256_add_epi16(_mm256_mullo_epi16(tap[0], left), _mm256_mullo_epi16(tap[1], right));
      const __m256i lower =
          _mm256_add_epi16(_mm256_mullo_epi16(tap[2], left), _mm256_mullo_epi16(tap[3], right));
      // Interleaving and packing undo each other within 128 bits.
      const __m256i y0 = finish(_mm256_madd_epi16(_mm256_unpacklo_epi16(upper, lower), down));
      const __m256i y1 = finish(_mm256_madd_epi16(_mm256_unpackhi_epi16(upper, lower), down));
      const __m256i words = _mm256_packs_epi32(y0, y1);
      _mm_storeu_si128(
          reinterpret_cast<__m128i*>(out + c),
          _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    });
  }

  __m256i finish(__m256i sum) const { return _mm256_sra_epi32(_mm256_add_epi32(sum, half), shift); }
};

// int16: sums of int32, which the weights' sum of 2^(2F) <= 2^16 keeps in range.
struct BlendWords {
  std::int64_t channels;
  std::int32_t bits;
  __m256i half;
  __m128i shift;

  void operator()(const WarpTaps& taps, std::byte* out) const {
    for_each_vector<kChannels>(taps, Type::int16, bits, channels, out, [&](std::int64_t c) {
      __m256i sum[2] = {half, half};
      for (int i = 0; i < 4; ++i) {
        const __m256i weight = _mm256_set1_epi32(taps.down[i / 2] * taps.across[i % 2]);
        for (int n = 0; n < 2; ++n) {
          const __m256i tap = load8(taps.data[i] + 2 * c + 16 * n, Type::int16, 8);
          sum[n] = _mm256_add_epi32(sum[n], _mm256_mullo_epi32(tap, weight));
        }
      }
      for (int n = 0; n < 2; ++n) {
        store8(out + 2 * c + 16 * n, Type::int16, _mm256_sra_epi32(sum[n], shift), 8);
      }
    });
  }
};

}  // namespace

void avx2::warp(const WarpArgs& args, Part part) {
  const std::int32_t bits = args.fraction_bits;
  warp_by_type<BlendBytes, BlendWords>(args, part, _mm256_set1_epi32(warp_half(bits)),
                                       _mm_cvtsi32_si128(2 * bits));
}

}  // namespace horizon

#endif
