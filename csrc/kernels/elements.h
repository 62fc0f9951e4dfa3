// One element at a time: reading, writing and requantising integers of any type.
//
// Static for the same reason as parts.h. Elements are multiples of their size away from the
// memory's aligned start.
#pragma once

#include "kernels/kernels.h"

namespace horizon {

static inline std::int64_t element_bytes(Type type) {
  return type == Type::int32 ? 4 : type == Type::int16 ? 2 : 1;
}

static inline std::int32_t read_element(const std::byte* at, Type type) {
  switch (type) {
    case Type::int8:
      return *reinterpret_cast<const std::int8_t*>(at);
    case Type::int16:
      return *reinterpret_cast<const std::int16_t*>(at);
    case Type::int32:
      return *reinterpret_cast<const std::int32_t*>(at);
    case Type::uint8:
      return *reinterpret_cast<const std::uint8_t*>(at);
  }
  return 0;
}

static inline void write_element(std::byte* at, Type type, std::int32_t value) {
  switch (type) {
    case Type::int8:
    case Type::uint8:
      *reinterpret_cast<std::uint8_t*>(at) = static_cast<std::uint8_t>(value);
      return;
    case Type::int16:
      *reinterpret_cast<std::int16_t*>(at) = static_cast<std::int16_t>(value);
      return;
    case Type::int32:
      *reinterpret_cast<std::int32_t*>(at) = value;
      return;
  }
}

// clamp((sum + 2^(shift-1)) >> shift): round half up, once.
static inline std::int32_t round_shift(std::int64_t sum, std::int32_t shift, std::int32_t lo,
                                       std::int32_t hi) {
  const std::int64_t y = (sum + (std::int64_t{1} << (shift - 1))) >> shift;
  return static_cast<std::int32_t>(y < lo ? lo : y > hi ? hi : y);
}

// a and b times the channel's ratios, before rounding.
static inline std::int64_t weighted(const Channel& channel, std::int64_t a, std::int64_t b,
                                    bool two_slopes) {
  const std::int64_t sum = a * channel.multiplier + b * channel.residual_multiplier;
  if (!two_slopes || sum >= 0) return sum;
  return a * channel.negative_multiplier + b * channel.negative_residual_multiplier;
}

// The requantised accumulator. It has less than 28 bits in a valid program; in an invalid one it
// wraps around.
static inline std::int32_t requantize(std::uint32_t acc, const Channel& channel,
                                      std::int32_t residual, std::int32_t lo, std::int32_t hi,
                                      bool two_slopes) {
  const auto sum = static_cast<std::int32_t>(acc + static_cast<std::uint32_t>(channel.bias));
  return round_shift(weighted(channel, sum, residual, two_slopes), channel.shift, lo, hi);
}

// A channel whose sum without a second summand is below 0 wherever acc + bias is: with a multiplier
// of 0 the sum never is.
static inline Channel by_sign(Channel channel) {
  if (channel.multiplier == 0) channel.negative_multiplier = 0;
  return channel;
}

}  // namespace horizon
