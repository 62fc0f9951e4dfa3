// Checks of the instructions that compute: conv, correlation, warp, rescale and add.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "hbm/format.h"

namespace horizon {

// Bounds that keep every coordinate of a kernel, such as y * stride + ky * dilation - pad, and the
// number of its taps within 32 bits.
inline constexpr std::uint32_t kLargestSide = 1u << 16;  // of the views of windowed operators
inline constexpr std::int32_t kLargestStep = 1 << 8;     // kernel, stride, dilation, reach
inline constexpr std::int32_t kLargestPad = 1 << 20;     // in either direction

// No accumulator reaches it (fixed point, "Numbers").
inline constexpr std::uint64_t kAccumulatorLimit = std::uint64_t{1} << 28;

// Operands, parameters and channel table of an instruction whose views check_view has accepted and
// whose unused fields have their defaults. The accumulators of a convolution are proven elsewhere
// (proof.h). Throws InvalidProgram.
void check_operator(const InstructionRecord& instruction, std::span<const std::byte> constants);

// Entry `channel` of the instruction's table.
Channel channel_of(const InstructionRecord& instruction, std::span<const std::byte> constants,
                   std::uint32_t channel);

// Largest magnitude of int8 or int16.
inline constexpr std::uint64_t largest_of(Type type) { return type == Type::int8 ? 128 : 32768; }

}  // namespace horizon
