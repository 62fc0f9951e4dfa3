// Convolution with AVX2. Weights in blocks for int8 inputs: conv_bytes_avx2.h. The others, which
// are int16, weights in rows, and weights of -128, which a matrix product may have:
// conv_words_avx2.h.
#if defined(__x86_64__)

#include "kernels/conv_bytes_avx2.h"
#include "kernels/conv_columns.h"
#include "kernels/conv_depthwise.h"
#include "kernels/conv_depthwise_bytes_avx2.h"
#include "kernels/conv_words_avx2.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

struct Avx2Columns {
  using Vector = __m256i;
  using Scale = Scale8;
  static constexpr int kLanes = 8;

  static bool fits(const Channel& channel) { return fits_integers8(channel); }
  static Scale make_scale(const Channel (&same)[8]) { return make_scale8(same); }
  static Vector all(std::int32_t value) { return _mm256_set1_epi32(value); }
  static Vector requantize(Vector acc, const Scale& scale, Vector lo, Vector hi) {
    return requantize8(acc, scale, lo, hi);
  }
  static void store(std::int32_t* to, Vector values) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(to), values);
  }
  static Vector add_products(Vector acc, const std::byte* pixels, std::int32_t pair) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(load_vector(pixels), _mm256_set1_epi32(pair)));
  }
};

// Sums of two products fit 16 bits, as in conv_bytes_avx2.h.
struct BytePairs {
  static constexpr std::uint32_t kOffset = 0;
  static constexpr bool kSigns = true;

  template <bool kSigned>
  static __m256i add(__m256i acc, __m256i x, __m256i w) {
    const __m256i pairs = kSigned ? _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(w, x))
                                  : _mm256_maddubs_epi16(x, w);
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

}  // namespace

std::size_t avx2::conv_scratch(const ConvArgs& a) {
  if (fits_depthwise_bytes(a)) return depthwise_bytes_scratch<BytePairs>(a);
  if (fits_depthwise(a)) return depthwise_scratch<Avx2>(a);
  if (Columns<Avx2Columns>::fits(a)) return convolution_scratch<Columns<Avx2Columns>>(a);
  if (fits_bytes(a)) {
    return a.two_slopes ? convolution_scratch<ByteTiles<Avx2<true>>>(a)
                        : convolution_scratch<ByteTiles<Avx2<false>>>(a);
  }
  return tiles_scratch<Avx2, Avx2>(a);
}

void avx2::conv(const ConvArgs& a, Part part) {
  if (fits_depthwise_bytes(a)) return convolve_depthwise_bytes<BytePairs>(a, part);
  if (fits_depthwise(a)) return convolve_depthwise<Avx2>(a, part);
  if (Columns<Avx2Columns>::fits(a)) return convolve<Columns<Avx2Columns>>(a, part);
  if (fits_bytes(a)) {
    return a.two_slopes ? convolve<ByteTiles<Avx2<true>>>(a, part)
                        : convolve<ByteTiles<Avx2<false>>>(a, part);
  }
  convolve_tiles<Avx2, Avx2>(a, part);
}

}  // namespace horizon

#endif
