// Warp with NEON: vectors of 8 channels.
#if defined(__aarch64__)

#include "kernels/requantize_neon.h"
#include "kernels/sets.h"
#include "kernels/warp_plan.h"

namespace horizon {
namespace {

constexpr std::int64_t kChannels = 8;

// int8: first across, where |t (2^F - a) + t' a| <= 2^15 fits int16, then down in int32.
struct BlendBytes {
  std::int64_t channels;
  std::int32_t bits;
  int32x4_t half, shift;

  void operator()(const WarpTaps& taps, std::byte* out) const {
    const auto left = static_cast<std::int16_t>(taps.across[0]);
    const auto right = static_cast<std::int16_t>(taps.across[1]);
    const auto up = static_cast<std::int16_t>(taps.down[0]);
    const auto down = static_cast<std::int16_t>(taps.down[1]);
    for_each_vector<kChannels>(taps, Type::int8, bits, channels, out, [&](std::int64_t c) {
      int16x8_t tap[4];
      for (int i = 0; i < 4; ++i) {
        tap[i] = vmovl_s8(vld1_s8(reinterpret_cast<const std::int8_t*>(taps.data[i] + c)));
      }
      const int16x8_t upper = vmlaq_n_s16(vmulq_n_s16(tap[0], left), tap[1], right);
      const int16x8_t lower = vmlaq_n_s16(vmulq_n_s16(tap[2], left), tap[3], right);
      int32x4_t low = vmlal_n_s16(half, vget_low_s16(upper), up);
      low = vmlal_n_s16(low, vget_low_s16(lower), down);
      int32x4_t high = vmlal_high_n_s16(half, upper, up);
      high = vmlal_high_n_s16(high, lower, down);
      const int16x8_t words =
          vcombine_s16(vmovn_s32(vshlq_s32(low, shift)), vmovn_s32(vshlq_s32(high, shift)));
      vst1_s8(reinterpret_cast<std::int8_t*>(out + c), vmovn_s16(words));
    });
  }
};

// int16: sums of int32, which the weights' sum of 2^(2F) <= 2^16 keeps in range.
struct BlendWords {
  std::int64_t channels;
  std::int32_t bits;
  int32x4_t half, shift;

  void operator()(const WarpTaps& taps, std::byte* out) const {
    for_each_vector<kChannels>(taps, Type::int16, bits, channels, out, [&](std::int64_t c) {
      int32x4_t low = half, high = half;
      for (int i = 0; i < 4; ++i) {
        const std::int32_t weight = taps.down[i / 2] * taps.across[i % 2];
        const int16x8_t tap =
            vld1q_s16(reinterpret_cast<const std::int16_t*>(taps.data[i] + 2 * c));
        low = vmlaq_n_s32(low, vmovl_s16(vget_low_s16(tap)), weight);
        high = vmlaq_n_s32(high, vmovl_high_s16(tap), weight);
      }
      vst1q_s16(reinterpret_cast<std::int16_t*>(out + 2 * c),
                vcombine_s16(vmovn_s32(vshlq_s32(low, shift)), vmovn_s32(vshlq_s32(high, shift))));
    });
  }
};

}  // namespace

void neon::warp(const WarpArgs& args, Part part) {
  const std::int32_t bits = args.fraction_bits;
  warp_by_type<BlendBytes, BlendWords>(args, part, vdupq_n_s32(warp_half(bits)),
                                       vdupq_n_s32(-2 * bits));
}

}  // namespace horizon

#endif
