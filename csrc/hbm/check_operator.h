// Checks of the instructions that compute.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "hbm/format.h"

namespace horizon {

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
