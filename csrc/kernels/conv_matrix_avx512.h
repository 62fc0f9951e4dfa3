// A matrix unit's convolution whose sums are requantised with AVX-512.
#pragma once

#include <new>

#include "kernels/conv_epilogue_avx512.h"
#include "kernels/conv_matrix.h"

namespace horizon {
namespace {

// R: the ratios of one slope or of two.
template <class R>
class Avx512Finish {
 public:
  static std::int64_t scratch_bytes(const ConvArgs& a) {
    return constants_bytes(a) + outputs_padded(a) / kLanes * static_cast<std::int64_t>(sizeof(R));
  }

  Avx512Finish(const ConvArgs& a, std::byte* scratch)
      : outputs_(a.out.shape[3]),
        constants_(a, scratch),
        epilogue_(a, constants_),
        ratios_(reinterpret_cast<R*>(scratch + constants_bytes(a))),
        out_block_(kLanes * element_bytes(a.out.type)),
        residual_block_(kLanes * element_bytes(a.residual.type)) {
    for (std::int64_t o = 0; o < outputs_padded(a); ++o) constants_.set(a, o, 0);
    for (std::int64_t block = 0; block < outputs_padded(a) / kLanes; ++block) {
      new (ratios_ + block) R(constants_, block * kLanes);
    }
  }

  HORIZON_INLINE void pixel(const std::int32_t* sums, std::int64_t block, std::int64_t count,
                            std::byte* out, const std::byte* residual) const {
    for (std::int64_t i = block; i < block + count; ++i, sums += kLanes) {
      const std::int64_t left = outputs_ - i * kLanes;
      const __mmask16 mask = left >= kLanes ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
      const __m512i sum = _mm512_add_epi32(_mm512_load_si512(sums),
                                           _mm512_load_si512(constants_.start + i * kLanes));
      const __m512i y =
          residual == nullptr
              ? epilogue_.requantize(sum, ratios_[i])
              : epilogue_.requantize(
                    sum, epilogue_.load_residual(residual + i * residual_block_, mask), ratios_[i]);
      epilogue_.store(out + i * out_block_, mask, y);
    }
  }

 private:
  const std::int64_t outputs_;
  const Constants constants_;
  const Epilogue epilogue_;
  R* const ratios_;
  const std::int64_t out_block_, residual_block_;
};

template <class Unit>
std::size_t matrix_scratch(const ConvArgs& a) {
  return a.two_slopes ? convolution_scratch<MatrixConvolution<Unit, Avx512Finish<SlopedRatios>>>(a)
                      : convolution_scratch<MatrixConvolution<Unit, Avx512Finish<Ratios>>>(a);
}

template <class Unit>
void matrix_conv(const ConvArgs& a, const Part& part) {
  if (a.two_slopes) {
    convolve<MatrixConvolution<Unit, Avx512Finish<SlopedRatios>>>(a, part);
  } else {
    convolve<MatrixConvolution<Unit, Avx512Finish<Ratios>>>(a, part);
  }
}

}  // namespace
}  // namespace horizon
