// Rescale and add with AVX2: 8 elements at a time, products and sums in int64.
#if defined(__x86_64__)

#include "kernels/avx2.h"
#include "kernels/requantize_avx2.h"
#include "kernels/rescale_plan.h"
#include "kernels/scalar.h"

namespace horizon {
namespace {

constexpr std::int64_t kLanes = 8;

// The arithmetic of 8 channels. Vectors of int64 hold channels 0, 2, 4, 6 or 1, 3, 5, 7.
struct Ratios {
  __m256i a[2], b[2], half[2], shift[2];
  __m256i sign[2];  // 2^63 >> shift
};

Ratios ratios(const Channel* table, std::int64_t count, bool same) {
  alignas(32) std::int64_t a[2][4], b[2][4], half[2][4], shift[2][4], sign[2][4];
  for (int i = 0; i < kLanes; ++i) {
    const Channel c = i < count || same ? table[same ? 0 : i] : Channel{0, 0, 0, 1};
    a[i % 2][i / 2] = c.multiplier;
    b[i % 2][i / 2] = c.residual_multiplier;
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
    r.half[i] = load(half[i]);
    r.shift[i] = load(shift[i]);
    r.sign[i] = load(sign[i]);
  }
  return r;
}

struct Limits {
  __m256i lo, hi;  // int64
};

template <bool kAdd>
__m256i scale(const Ratios& r, const Limits& limits, __m256i a, __m256i b) {
  __m256i y[2];
  for (int i = 0; i < 2; ++i) {
    const auto half = [i](__m256i v) { return i == 0 ? v : _mm256_srli_epi64(v, 32); };
    __m256i sum = _mm256_add_epi64(_mm256_mul_epi32(half(a), r.a[i]), r.half[i]);
    if (kAdd) sum = _mm256_add_epi64(sum, _mm256_mul_epi32(half(b), r.b[i]));
    // An arithmetic shift: the sign bit, moved down, is taken for 2^(63-shift); it means its
    // negative.
    sum = _mm256_srlv_epi64(sum, r.shift[i]);
    sum = _mm256_sub_epi64(_mm256_xor_si256(sum, r.sign[i]), r.sign[i]);
    sum = _mm256_blendv_epi8(sum, limits.lo, _mm256_cmpgt_epi64(limits.lo, sum));
    y[i] = _mm256_blendv_epi8(sum, limits.hi, _mm256_cmpgt_epi64(sum, limits.hi));
  }
  return _mm256_blend_epi32(y[0], _mm256_slli_epi64(y[1], 32), 0xaa);
}

// With a table each channel has its own ratio, else all have `same`.
template <bool kAdd>
void all(const Tensor& out, const Tensor& a, const Tensor& b, const Ratios& same,
         const Channel* table, const Limits& limits, const Part& part) {
  for_each_vector<kLanes>(
      out, a, b, same, table, part,
      [](const Channel* channels, std::int64_t lanes) { return ratios(channels, lanes, false); },
      [&](const Ratios& r, std::byte* to, const std::byte* first, const std::byte* second,
          std::int64_t lanes) {
        const __m256i x = load8(first, a.type, lanes);
        const __m256i z = kAdd ? load8(second, b.type, lanes) : x;
        store8(to, out.type, scale<kAdd>(r, limits, x, z), lanes);
      });
}

// Parts of vectors take longer than elements by themselves.
bool few(const Tensor& out, const Tensor& a, const Tensor& b) {
  return out.shape[3] < kLanes && !all_joined(out, a, b);
}

}  // namespace

void rescale_avx2(const RescaleArgs& args, Part part) {
  if (few(args.out, args.in, args.in)) return rescale_scalar(args, part);
  const Limits limits = {_mm256_set1_epi64x(args.lo), _mm256_set1_epi64x(args.hi)};
  const Channel* table = args.table_count == 1 ? nullptr : args.table;
  all<false>(args.out, args.in, args.in, ratios(args.table, 1, true), table, limits, part);
}

void add_avx2(const AddArgs& args, Part part) {
  if (few(args.out, args.a, args.b)) return add_scalar(args, part);
  const Limits limits = {_mm256_set1_epi64x(args.lo), _mm256_set1_epi64x(args.hi)};
  all<true>(args.out, args.a, args.b, ratios(&args.table, 1, true), nullptr, limits, part);
}

}  // namespace horizon

#endif
