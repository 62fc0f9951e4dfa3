// Rescale, add and mul with NEON: 4 elements at a time, products and sums in int64.
#if defined(__aarch64__)

#include <type_traits>

#include "kernels/mul_plan.h"
#include "kernels/requantize_neon.h"
#include "kernels/rescale_plan.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

template <bool kSlopes>
struct Neon {
  static constexpr int kLanes = 4;
  static constexpr bool kMasked = false;
  using Ratios = std::conditional_t<kSlopes, SlopedScale4, Scale4>;

  struct Limits {
    int32x4_t lo, hi;
    Limits(std::int32_t least, std::int32_t most) : lo(vdupq_n_s32(least)), hi(vdupq_n_s32(most)) {}
  };

  static Ratios ratios(const Channel* table, std::int64_t count) {
    Channel four[kLanes];
    for (std::int64_t i = 0; i < kLanes; ++i) {
      four[i] = i < count ? table[i] : Channel{0, 0, 0, 1};
      four[i].bias = 0;
    }
    if constexpr (kSlopes) {
      return make_sloped_scale4(four);
    } else {
      return make_scale4(four);
    }
  }

  static Ratios ratios(const Channel& same) {
    const Channel all[kLanes] = {same, same, same, same};
    return ratios(all, kLanes);
  }

  static int32x4_t load(const std::byte* from, Type type, std::int64_t lanes) {
    return load4(from, type, lanes);
  }
  static void store(std::byte* to, Type type, int32x4_t value, std::int64_t lanes) {
    store4(to, type, value, lanes);
  }

  // Products of int16 values, and one value in all lanes.
  static int32x4_t times(int32x4_t a, int32x4_t b) { return vmulq_s32(a, b); }
  static int32x4_t same(std::int32_t value) { return vdupq_n_s32(value); }

  template <bool kAdd>
  static int32x4_t scale(const Ratios& r, const Limits& limits, int32x4_t a, int32x4_t b) {
    if constexpr (kAdd || kSlopes) {
      return requantize4(a, kAdd ? b : vdupq_n_s32(0), r, limits.lo, limits.hi);
    } else {
      return requantize4(a, r, limits.lo, limits.hi);
    }
  }
};

}  // namespace

void neon::rescale(const RescaleArgs& args, Part part) { horizon::rescale<Neon>(args, part); }

void neon::add(const AddArgs& args, Part part) { horizon::add<Neon>(args, part); }

void neon::mul(const MulArgs& args, Part part) { horizon::mul<Neon<false>>(args, part); }

}  // namespace horizon

#endif
