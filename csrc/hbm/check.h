// The checks of an instruction that need no other instruction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "hbm/format.h"
#include "hbm/invalid_program.h"

namespace horizon {

// Sizes of the memories in bytes, and the tensors outside.
struct Memory {
  std::uint64_t constant, ddr, sram;
  std::span<const TensorRecord> inputs, outputs;
};

// Throws InvalidProgram with what was found and expected.
void check_instruction(const InstructionRecord& instruction, const Memory& memory,
                       std::span<const std::byte> constants);

}  // namespace horizon
