// Rescale, add and mul with AVX-512: 16 elements at a time, products and sums in int64.
#if defined(__x86_64__)

#include "kernels/mul_plan.h"
#include "kernels/requantize_avx512.h"
#include "kernels/rescale_plan.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

template <bool kSlopes>
struct Avx512 {
  static constexpr int kLanes = 16;
  static constexpr bool kMasked = true;

  static __mmask16 mask_of(std::int64_t lanes) {
    return static_cast<__mmask16>(lanes == kLanes ? 0xffff : (1u << lanes) - 1);
  }

  static __m512i load(const std::byte* from, Type type, std::int64_t lanes) {
    const __mmask16 mask = mask_of(lanes);
    switch (type) {
      case Type::int8:
        return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, from));
      case Type::int16:
        return _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(mask, from));
      default:
        return _mm512_maskz_loadu_epi32(mask, from);
    }
  }

  static void store(std::byte* to, Type type, __m512i value, std::int64_t lanes) {
    const __mmask16 mask = mask_of(lanes);
    switch (type) {
      case Type::int8:
        return _mm_mask_storeu_epi8(to, mask, _mm512_cvtepi32_epi8(value));
      case Type::int16:
        return _mm256_mask_storeu_epi16(to, mask, _mm512_cvtepi32_epi16(value));
      default:
        return _mm512_mask_storeu_epi32(to, mask, value);
    }
  }

  // The arithmetic of 16 channels; even and odd lanes apart.
  struct Ratios {
    __m512i a, b;  // multipliers
    __m512i negative_a, negative_b;
    __m512i shift[2], half[2];  // int64: of the even lanes, of the odd lanes
  };

  static Ratios ratios(__m512i a, __m512i b, __m512i negative_a, __m512i negative_b,
                       __m512i shift) {
    Ratios r = {a, b, negative_a, negative_b, {}, {}};
    const __m512i low = _mm512_set1_epi64(0xffffffff), one = _mm512_set1_epi64(1);
    r.shift[0] = _mm512_and_si512(shift, low);
    r.shift[1] = _mm512_srli_epi64(shift, 32);
    for (int i = 0; i < 2; ++i) {
      r.half[i] = _mm512_sllv_epi64(one, _mm512_sub_epi64(r.shift[i], one));
    }
    return r;
  }

  static Ratios ratios(const Channel& channel) {
    return ratios(
        _mm512_set1_epi32(channel.multiplier), _mm512_set1_epi32(channel.residual_multiplier),
        _mm512_set1_epi32(channel.negative_multiplier),
        _mm512_set1_epi32(channel.negative_residual_multiplier), _mm512_set1_epi32(channel.shift));
  }

  static Ratios ratios(const Channel* table, std::int64_t lanes) {
    const __mmask16 mask = mask_of(lanes);
    const __m512i index =
        _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                           _mm512_set1_epi32(sizeof(Channel) / sizeof(std::int32_t)));
    const __m512i zero = _mm512_setzero_si512();
    const auto gather = [&](const std::int32_t* member) {
      return _mm512_mask_i32gather_epi32(zero, mask, index, member, 4);
    };
    const __m512i shift =
        _mm512_mask_blend_epi32(mask, _mm512_set1_epi32(1), gather(&table->shift));
    const __m512i negative = kSlopes ? gather(&table->negative_multiplier) : zero;
    return ratios(gather(&table->multiplier), zero, negative, zero, shift);
  }

  struct Limits {
    __m512i lo, hi;  // int64
    Limits(std::int32_t least, std::int32_t most)
        : lo(_mm512_set1_epi64(least)), hi(_mm512_set1_epi64(most)) {}
  };

  // Products of int16 values, and one value in all lanes.
  static __m512i times(__m512i a, __m512i b) { return _mm512_mullo_epi32(a, b); }
  static __m512i same(std::int32_t value) { return _mm512_set1_epi32(value); }

  template <bool kAdd>
  static __m512i scale(const Ratios& r, const Limits& limits, __m512i a, __m512i b) {
    __m512i y[2];
    for (int i = 0; i < 2; ++i) {
      const auto half = [i](__m512i v) { return i == 0 ? v : _mm512_srli_epi64(v, 32); };
      const auto weighted = [&](__m512i first, __m512i second) {
        const __m512i product = _mm512_mul_epi32(half(a), half(first));
        return kAdd ? _mm512_add_epi64(product, _mm512_mul_epi32(half(b), half(second))) : product;
      };
      __m512i sum = weighted(r.a, r.b);
      if (kSlopes) {
        sum = _mm512_mask_mov_epi64(sum, _mm512_movepi64_mask(sum),
                                    weighted(r.negative_a, r.negative_b));
      }
      sum = _mm512_add_epi64(sum, r.half[i]);
      sum = _mm512_srav_epi64(sum, r.shift[i]);
      y[i] = _mm512_min_epi64(_mm512_max_epi64(sum, limits.lo), limits.hi);
    }
    return _mm512_mask_blend_epi32(0xaaaa, y[0], _mm512_slli_epi64(y[1], 32));
  }
};

}  // namespace

void avx512::rescale(const RescaleArgs& args, Part part) { horizon::rescale<Avx512>(args, part); }

void avx512::add(const AddArgs& args, Part part) { horizon::add<Avx512>(args, part); }

void avx512::mul(const MulArgs& args, Part part) { horizon::mul<Avx512<false>>(args, part); }

}  // namespace horizon

#endif
