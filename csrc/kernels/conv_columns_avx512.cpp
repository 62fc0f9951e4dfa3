// Narrow convolutions of int16 with AVX-512: vpdpwssd adds pairs of exact products.
#if defined(__x86_64__)

#include "kernels/conv_columns_avx512.h"

#include "kernels/conv_columns.h"
#include "kernels/requantize_avx512.h"

namespace horizon {
namespace {

struct Avx512 {
  using Vector = __m512i;
  using Scale = IntegerScale16;
  static constexpr int kLanes = 16;

  static bool fits(const Channel& channel) { return fits_integers(channel, false); }
  static Scale make_scale(const Channel (&same)[16]) { return integer_scale_of_channel(same[0]); }
  static Vector all(std::int32_t value) { return _mm512_set1_epi32(value); }
  static Vector requantize(Vector acc, const Scale& scale, Vector lo, Vector hi) {
    return requantize16(acc, scale, lo, hi);
  }
  static void store(std::int32_t* to, Vector values) { _mm512_store_si512(to, values); }
  static Vector add_products(Vector acc, const std::byte* pixels, std::int32_t pair) {
    return _mm512_dpwssd_epi32(acc, _mm512_loadu_si512(pixels), _mm512_set1_epi32(pair));
  }
};

}  // namespace

bool avx512::conv_fits_columns(const ConvArgs& a) { return Columns<Avx512>::fits(a); }

std::size_t avx512::conv_columns_scratch(const ConvArgs& a) {
  return convolution_scratch<Columns<Avx512>>(a);
}

void avx512::conv_columns(const ConvArgs& a, Part part) { convolve<Columns<Avx512>>(a, part); }

}  // namespace horizon

#endif
