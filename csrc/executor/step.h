// A step: one instruction with the addresses of its operands, ready for a kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>

#include "executor/block.h"
#include "executor/threads.h"
#include "hbm/format.h"
#include "kernels/kernels.h"

namespace horizon {

// Where the operands of an instruction begin; null where it has none.
struct Operands {
  std::byte* out;
  std::byte* a;
  std::byte* b;
  const std::byte* weight;
  const Channel* table;  // for a lookup: its entries
};

// The arguments of one of the operators; LOAD, STORE and COPY are all CopyArgs.
#define HORIZON_ARGUMENTS(function, Args) , Args
template <class, class... Args>
using VariantOfRest = std::variant<Args...>;
using Step = VariantOfRest<void HORIZON_OPERATORS(HORIZON_ARGUMENTS, HORIZON_ARGUMENTS)>;
#undef HORIZON_ARGUMENTS

Tensor tensor_at(const View& view, std::byte* data);
Step prepare(const InstructionRecord& instruction, const Operands& operands);

// Multiply-accumulates of a conv, correlation or matmul; four for each value of a warp or bilinear
// resize; otherwise 0.
std::uint64_t macs(const InstructionRecord& instruction);
// Bytes of the output; what a LOAD or STORE moves.
std::uint64_t out_bytes(const InstructionRecord& instruction);
// Whether there is enough work to wake other threads.
bool worth_sharing(const InstructionRecord& instruction);

// Bytes of scratch that one part of the step needs.
std::size_t scratch_bytes(const Kernels& kernels, const Step& step);
void run_part(const Kernels& kernels, const Step& step, Part part);
// Runs all parts, one for each thread. Each thread has its own `scratch`.
void run_parts(const Kernels& kernels, const Step& step, Threads& threads,
               std::span<const Block> scratch);

}  // namespace horizon
