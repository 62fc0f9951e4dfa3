// One instruction on arrays, for whoever has tensors but no program.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <optional>

namespace horizon {

using View4 = nanobind::ndarray<nanobind::ndim<4>, nanobind::device::cpu>;
using ReadView4 = nanobind::ndarray<nanobind::ro, nanobind::ndim<4>, nanobind::device::cpu>;
using Weights =
    nanobind::ndarray<const std::int8_t, nanobind::ro, nanobind::c_contig, nanobind::device::cpu>;

// Computes `out` (N, H, W, C) from `a`, `b` and `weight`, arrays in the types and places of the
// instruction's operands, any strides that the opcode allows. Of `record`, the bytes of an
// InstructionRecord, the operands' places, shapes, strides and types and the table's place are not
// read: they come from the arrays. `table`: Channel entries, or a lookup's. Checked as a program's
// instruction is. Throws InvalidProgram, OutOfMemory, std::invalid_argument.
void run_instruction(nanobind::bytes record, const View4& out, const ReadView4& a,
                     const std::optional<ReadView4>& b, const std::optional<Weights>& weight,
                     nanobind::bytes table, int threads);

}  // namespace horizon
