// The constants of an AVX-512 convolution's outputs, in arrays that vectors are loaded from.
#pragma once

#include "kernels/conv_plan.h"
#include "kernels/elements.h"
#include "kernels/requantize_avx512.h"

namespace horizon {
namespace {

constexpr int kLanes = 16;
constexpr std::int64_t kConstants = 6;  // of each output

inline std::int64_t outputs_padded(const ConvArgs& a) { return round_up(a.out.shape[3], kLanes); }
inline std::int64_t constants_bytes(const ConvArgs& a) {
  return kConstants * outputs_padded(a) * static_cast<std::int64_t>(sizeof(std::int32_t));
}

// Places in scratch of constants_bytes; they have values once each output has been set.
struct Constants {
  std::int32_t* start;  // of the sum
  std::int32_t* multiplier;
  std::int32_t* residual_multiplier;
  std::int32_t* negative_multiplier;
  std::int32_t* negative_residual_multiplier;
  std::int32_t* shift;
  bool integer = true;  // requantisation in integers: all channels fit

  Constants(const ConvArgs& a, std::byte* scratch) {
    const std::int64_t outputs = outputs_padded(a);
    start = reinterpret_cast<std::int32_t*>(scratch);
    multiplier = start + outputs;
    residual_multiplier = multiplier + outputs;
    negative_multiplier = residual_multiplier + outputs;
    negative_residual_multiplier = negative_multiplier + outputs;
    shift = negative_residual_multiplier + outputs;
    for (std::int32_t o = 0; o < a.out.shape[3]; ++o) {
      integer &= fits_integers(a.table[o], a.two_slopes);
    }
  }

  // Of output o, which may be one of the lanes beyond the last; `less` is taken off the bias.
  void set(const ConvArgs& a, std::int64_t o, std::uint32_t less) const {
    Channel channel = o < a.out.shape[3] ? a.table[o] : Channel{0, 0, 0, kSmallestIntegerShift};
    if (a.residual.data == nullptr) channel = by_sign(channel);
    start[o] = static_cast<std::int32_t>(static_cast<std::uint32_t>(channel.bias) - less);
    multiplier[o] = channel.multiplier;
    residual_multiplier[o] = channel.residual_multiplier;
    negative_multiplier[o] = channel.negative_multiplier;
    negative_residual_multiplier[o] = channel.negative_residual_multiplier;
    shift[o] = channel.shift;
  }
};

}  // namespace
}  // namespace horizon
