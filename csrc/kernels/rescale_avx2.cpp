// Rescale, add and mul with AVX2: 8 elements at a time, products and sums in int64.
#if defined(__x86_64__)

#include "kernels/mul_plan.h"
#include "kernels/requantize_avx2.h"
#include "kernels/rescale_plan.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

template <bool kSlopes>
struct Avx2 {
  static constexpr int kLanes = 8;
  static constexpr bool kMasked = false;

  // Vectors of int64 hold channels 0, 2, 4, 6 or 1, 3, 5, 7.
  struct Ratios {
    __m256i a[2], b[2], half[2], shift[2];
    __m256i negative_a[2], negative_b[2];  // for two slopes
    __m256i sign[2];                       // 2^63 >> shift
  };

  struct Limits {
    __m256i lo, hi;  // int64
    Limits(std::int32_t least, std::int32_t most)
        : lo(_mm256_set1_epi64x(least)), hi(_mm256_set1_epi64x(most)) {}
  };

  static Ratios ratios(const Channel* table, std::int64_t count) {
    alignas(32) std::int64_t a[2][4], b[2][4], half[2][4], shift[2][4], sign[2][4];
    alignas(32) std::int64_t negative_a[2][4], negative_b[2][4];
    for (int i = 0; i < kLanes; ++i) {
      const Channel c = i < count ? table[i] : Channel{0, 0, 0, 1};
      a[i % 2][i / 2] = c.multiplier;
      b[i % 2][i / 2] = c.residual_multiplier;
      negative_a[i % 2][i / 2] = c.negative_multiplier;
      negative_b[i % 2][i / 2] = c.negative_residual_multiplier;
      half[i % 2][i / 2] = std::int64_t{1} << (c.shift - 1);
      shift[i % 2][i / 2] = c.shift;
      sign[i % 2][i / 2] = std::int64_t{1} << (63 - c.shift);
    }
    const auto load = [](const std::int64_t* values) {
      return _mm256_load_si256(reinterpret_cast<const __m256i*>(values));
    };
    Ratios r;
    for (int i = 0; i < 2; ++i) {
      r.a[i] = load(a[i]);
      r.b[i] = load(b[i]);
      if (kSlopes) r.negative_a[i] = load(negative_a[i]);
      if (kSlopes) r.negative_b[i] = load(negative_b[i]);
      r.half[i] = load(half[i]);
      r.shift[i] = load(shift[i]);
      r.sign[i] = load(sign[i]);
    }
    return r;
  }

  static Ratios ratios(const Channel& same) {
    const Channel all[kLanes] = {same, same, same, same, same, same, same, same};
    return ratios(all, kLanes);
  }

  static __m256i load(const std::byte* from, Type type, std::int64_t lanes) {
    return load8(from, type, lanes);
  }
  static void store(std::byte* to, Type type, __m256i value, std::int64_t lanes) {
    store8(to, type, value, lanes);
  }

  // Products of int16 values, and one value in all lanes.
  static __m256i times(__m256i a, __m256i b) { return _mm256_mullo_epi32(a, b); }
  static __m256i same(std::int32_t value) { return _mm256_set1_epi32(value); }

  template <bool kAdd>
  static __m256i scale(const Ratios& r, const Limits& limits, __m256i a, __m256i b) {
    __m256i y[2];
    for (int i = 0; i < 2; ++i) {
      const auto half = [i](__m256i v) { return i == 0 ? v : _mm256_srli_epi64(v, 32); };
      const auto weighted = [&](__m256i first, __m256i second) {
        const __m256i product = _mm256_mul_epi32(half(a), first);
        return kAdd ? _mm256_add_epi64(product, _mm256_mul_epi32(half(b), second)) : product;
      };
      __m256i sum = weighted(r.a[i], r.b[i]);
      if (kSlopes) sum = select8(sum, weighted(r.negative_a[i], r.negative_b[i]));
      sum = _mm256_add_epi64(sum, r.half[i]);
      // An arithmetic shift: the sign bit, moved down, is taken for 2^(63-shift); it means its
      // negative.
      sum = _mm256_srlv_epi64(sum, r.shift[i]);
      sum = _mm256_sub_epi64(_mm256_xor_si256(sum, r.sign[i]), r.sign[i]);
      sum = _mm256_blendv_epi8(sum, limits.lo, _mm256_cmpgt_epi64(limits.lo, sum));
      y[i] = _mm256_blendv_epi8(sum, limits.hi, _mm256_cmpgt_epi64(sum, limits.hi));
    }
    return _mm256_blend_epi32(y[0], _mm256_slli_epi64(y[1], 32), 0xaa);
  }
};

}  // namespace

void avx2::rescale(const RescaleArgs& args, Part part) { horizon::rescale<Avx2>(args, part); }

void avx2::add(const AddArgs& args, Part part) { horizon::add<Avx2>(args, part); }

void avx2::mul(const MulArgs& args, Part part) { horizon::mul<Avx2<false>>(args, part); }

}  // namespace horizon

#endif
