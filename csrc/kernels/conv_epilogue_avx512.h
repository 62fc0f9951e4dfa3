// The end of an AVX-512 convolution: residual, requantisation, clamp, store.
#pragma once

#include <immintrin.h>

#include "kernels/conv_work_avx512.h"
#include "kernels/requantize_avx512.h"

namespace horizon {
namespace {

// Up to 16 finished sums to integers in the output's type.
struct Epilogue {
  const ConvArgs& a;
  const Work& work;
  __m512d lo, hi, half;
  __m512i lo32, hi32;

  Epilogue(const ConvArgs& args, const Work& w)
      : a(args),
        work(w),
        lo(_mm512_set1_pd(args.lo)),
        hi(_mm512_set1_pd(args.hi)),
        half(_mm512_set1_pd(0.5)),
        lo32(_mm512_set1_epi32(args.lo)),
        hi32(_mm512_set1_epi32(args.hi)) {}

  static __m512i load_residual(Type type, const std::byte* from, __mmask16 mask) {
    if (type == Type::int8) return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, from));
    return _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(mask, from));
  }

  static void store(Type type, std::byte* to, __mmask16 mask, __m512i value) {
    if (type == Type::int8) {
      _mm_mask_storeu_epi8(to, mask, _mm512_cvtepi32_epi8(value));
    } else if (type == Type::int16) {
      _mm256_mask_storeu_epi16(to, mask, _mm512_cvtepi32_epi16(value));
    } else {
      _mm512_mask_storeu_epi32(to, mask, value);
    }
  }

  // acc * ratio + offset, clamped and rounded down. Where no result can leave 32 bits the limits
  // are applied to integers, which is quicker.
  __m512i requantize(__m512i acc, const double* ratio, __m512d offset_lo, __m512d offset_hi) const {
    const __m512d ratio_lo = _mm512_loadu_pd(ratio), ratio_hi = _mm512_loadu_pd(ratio + 8);
    if (!work.fits_32_bits) {
      return requantize16(acc, ratio_lo, ratio_hi, offset_lo, offset_hi, lo, hi);
    }
    constexpr int kDown = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
    const __m512d low =
        _mm512_fmadd_pd(_mm512_cvtepi32_pd(_mm512_castsi512_si256(acc)), ratio_lo, offset_lo);
    const __m512d high =
        _mm512_fmadd_pd(_mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(acc, 1)), ratio_hi, offset_hi);
    const __m512i y =
        _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvt_roundpd_epi32(low, kDown)),
                           _mm512_cvt_roundpd_epi32(high, kDown), 1);
    return _mm512_min_epi32(_mm512_max_epi32(y, lo32), hi32);
  }

  void finish(__m512i acc, std::int64_t first_output, std::byte* out, const std::byte* residual,
              __mmask16 mask) const {
    __m512d offset_lo = half, offset_hi = half;
    if (residual != nullptr) {
      const __m512i r = load_residual(a.residual.type, residual, mask);
      const double* other = work.residual_ratio + first_output;
      offset_lo = _mm512_fmadd_pd(_mm512_cvtepi32_pd(_mm512_castsi512_si256(r)),
                                  _mm512_loadu_pd(other), half);
      offset_hi = _mm512_fmadd_pd(_mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(r, 1)),
                                  _mm512_loadu_pd(other + 8), half);
    }
    store(a.out.type, out, mask, requantize(acc, work.ratio + first_output, offset_lo, offset_hi));
  }
};

}  // namespace
}  // namespace horizon
