// Runs one instruction on arrays, without a program.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <optional>

namespace horizon {

using View4 = nanobind::ndarray<nanobind::ndim<4>, nanobind::device::cpu>;
using ReadView4 = nanobind::ndarray<nanobind::ro, nanobind::ndim<4>, nanobind::device::cpu>;
using Weights =
    nanobind::ndarray<const std::int8_t, nanobind::ro, nanobind::c_contig, nanobind::device::cpu>;

// Computes `out` (N, H, W, C) from `a`, `b` and `weight`. These are arrays for the instruction's
// operands, with any strides that the opcode allows. `record` has the bytes of an
// InstructionRecord; its places, shapes, strides and types of operands and the place of its table
// are ignored, because they come from the arrays. `table` has Channel entries, or the entries of a
// lookup. The instruction is checked like one of a program. Throws InvalidProgram, OutOfMemory,
// std::invalid_argument.
void run_instruction(nanobind::bytes record, const View4& out, const ReadView4& a,
                     const std::optional<ReadView4>& b, const std::optional<Weights>& weight,
                     nanobind::bytes table, int threads);

}  // namespace horizon
