// The size of packed weights and the sums of their magnitudes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "hbm/format.h"

namespace horizon {

struct WeightShape {
  WeightLayout layout;
  std::uint64_t outputs, taps, inputs;  // at most 2^16 each

  auto operator<=>(const WeightShape&) const = default;
};

// Bytes of the weights in their layout.
std::uint64_t packed_bytes(const WeightShape& shape);

// sum |w| of each output channel. `weights` has packed_bytes(shape) bytes. Throws InvalidProgram
// for a weight of -128, or if unused room in the layout is not 0.
std::vector<std::uint64_t> weight_sums(std::span<const std::int8_t> weights,
                                       const WeightShape& shape);

// The shape of a convolution's weights. An output of a depthwise convolution has one input.
WeightShape weight_shape(const InstructionRecord& instruction);

}  // namespace horizon
