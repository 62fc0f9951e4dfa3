// Convolution with AVX-VNNI: int8 inputs with weights in blocks, and depthwise. All else is that of
// AVX2.
#if defined(__x86_64__)

#include "kernels/conv_depthwise_bytes_avx2.h"
#include "kernels/conv_dots_avxvnni.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

// Calls visit.operator()<Tiles>().
template <class Visit>
auto with_dots(const ConvArgs& a, Visit visit) {
  return a.two_slopes ? visit.template operator()<DotTiles<Avx2<true>>>()
                      : visit.template operator()<DotTiles<Avx2<false>>>();
}

// vpdpbusd multiplies unsigned by signed bytes.
struct Dots {
  static constexpr std::uint32_t kOffset = 128;
  static constexpr bool kSigns = false;

  template <bool>
  static __m256i add(__m256i acc, __m256i x, __m256i w) {
    return _mm256_dpbusd_avx_epi32(acc, x, w);
  }
};

}  // namespace

std::size_t avxvnni::conv_scratch(const ConvArgs& a) {
  if (fits_depthwise_bytes(a)) return depthwise_bytes_scratch<Dots>(a);
  if (!fits_dots(a)) return avx2::conv_scratch(a);
  return with_dots(a, [&]<class T>() { return convolution_scratch<T>(a); });
}

void avxvnni::conv(const ConvArgs& a, Part part) {
  if (fits_depthwise_bytes(a)) return convolve_depthwise_bytes<Dots>(a, part);
  if (!fits_dots(a)) return avx2::conv(a, part);
  with_dots(a, [&]<class T>() { convolve<T>(a, part); });
}

}  // namespace horizon

#endif
