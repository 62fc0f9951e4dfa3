// Correlation with the dot product extension, int8 features: vectors of 4 pixels, 4 channels a
// step. Up to 3 rows of a by 9 displacements stay in registers.
#if defined(__aarch64__)

#include <type_traits>

#include "kernels/correlation_plan.h"
#include "kernels/requantize_neon.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

template <bool kSlopes>
struct Neon : CorrelationBytes {
  using Vector = int32x4_t;
  using Inputs = int8x16_t;
  static constexpr int kLanes = 4, kChannels = 4, kRows = 3, kOutside = 0;

  struct Scale {
    std::conditional_t<kSlopes, SlopedScale4, Scale4> scale;
    int32x4_t lo, hi;

    explicit Scale(const CorrelationArgs& args)
        : lo(vdupq_n_s32(args.lo)), hi(vdupq_n_s32(args.hi)) {
      const Channel same = by_sign(args.table), four[4] = {same, same, same, same};
      if constexpr (kSlopes) {
        scale = make_sloped_scale4(four);
      } else {
        scale = make_scale4(four);
      }
    }
  };

  struct Window {
    const std::byte* b;
    explicit Window(const std::byte* from) : b(from) {}
    int8x16_t shifted(int d) const { return load(b + 4 * d); }
  };

  static int32x4_t start(const CorrelationTile&, int) { return vdupq_n_s32(0); }
  static int8x16_t load(const std::byte* from) {
    return vld1q_s8(reinterpret_cast<const std::int8_t*>(from));
  }
  static int32x4_t multiply(int32x4_t sums, int8x16_t b, int8x16_t a) {
    return vdotq_s32(sums, b, a);
  }

  template <int R, int D>
  static void finish(const Scale& scale, const int32x4_t (&acc)[R][D], const CorrelationTile& t) {
    const Type type = t.narrow ? Type::int8 : Type::int32;
    const std::int64_t displacement = kBlock * (t.narrow ? 1 : 4);
#pragma GCC unroll 3
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 9
      for (int d = 0; d < D; ++d) {
        store4(t.out + r * t.out_row + d * displacement, type,
               requantize4(acc[r][d], scale.scale, scale.lo, scale.hi), 4);
      }
    }
  }
};

}  // namespace

std::size_t neon::correlation_scratch(const CorrelationArgs& args) {
  return horizon::correlation_scratch<Neon<false>>(args);
}

void neon::correlation(const CorrelationArgs& args, Part part) {
  horizon::correlation<Neon>(args, part);
}

}  // namespace horizon

#endif
