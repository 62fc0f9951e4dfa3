#include "python/run_instruction.h"

#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "executor/block.h"
#include "executor/executor.h"
#include "executor/idle.h"
#include "executor/step.h"
#include "executor/threads.h"
#include "hbm/check.h"
#include "hbm/proof.h"

namespace horizon {
namespace {

namespace nb = nanobind;

template <class Array>
Type type_of(const Array& array, const char* name) {
  if (array.dtype() == nb::dtype<std::int8_t>()) return Type::int8;
  if (array.dtype() == nb::dtype<std::int16_t>()) return Type::int16;
  if (array.dtype() == nb::dtype<std::int32_t>()) return Type::int32;
  if (array.dtype() == nb::dtype<std::uint8_t>()) return Type::uint8;
  throw std::invalid_argument(std::string("run_instruction: type of ") + name +
                              ": expected int8, int16, int32 or uint8");
}

// The view of an array that is placed behind the first `used` bytes of a memory; adds its bytes to
// `used`.
template <class Array>
View view_of(const Array& array, const char* name, std::uint64_t& used) {
  View view{};
  view.type = type_of(array, name);
  view.space = Space::sram;
  view.offset = used;
  const std::int64_t size = size_of(view.type);
  std::uint64_t extent = static_cast<std::uint64_t>(size);
  for (std::size_t axis = 0; axis < 4; ++axis) {
    // the stride of an axis of one element has no meaning, and numpy sets it to any value
    const bool single = array.shape(axis) == 1;
    const std::int64_t stride = single ? (axis == 3 ? size : 0) : array.stride(axis) * size;
    if (stride < 0 || stride > std::numeric_limits<std::uint32_t>::max() ||
        array.shape(axis) > std::numeric_limits<std::int32_t>::max()) {
      throw std::invalid_argument(
          std::string("run_instruction: ") + name + ", axis " + std::to_string(axis) +
          ": found shape " + std::to_string(array.shape(axis)) + ", stride " +
          std::to_string(stride) + "; expected non-negative strides and " + "sizes of 31 bits");
    }
    view.shape[axis] = static_cast<std::uint32_t>(array.shape(axis));
    view.stride[axis] = static_cast<std::uint32_t>(stride);
    if (!single) extent += (view.shape[axis] - std::uint64_t{1}) * view.stride[axis];
  }
  used = round_up(used + extent);
  return view;
}

}  // namespace

void run_instruction(nb::bytes record, const View4& out, const ReadView4& a,
                     const std::optional<ReadView4>& b, const std::optional<Weights>& weight,
                     nb::bytes table, int threads) {
  InstructionRecord instruction;
  const bool has_record = record.size() == sizeof instruction;
  if (has_record) std::memcpy(&instruction, record.data(), sizeof instruction);
  const bool lookup = has_record && instruction.opcode == Opcode::lookup;
  const std::size_t entry_bytes =
      lookup ? static_cast<std::size_t>(size_of(type_of(out, "out"))) : sizeof(Channel);
  if (!has_record || table.size() % entry_bytes != 0) {
    throw std::invalid_argument("run_instruction: record of " + std::to_string(record.size()) +
                                " bytes, table of " + std::to_string(table.size()) +
                                " bytes; expected " + std::to_string(sizeof instruction) +
                                " and a multiple of " + std::to_string(entry_bytes));
  }

  // the instruction as in a program: arrays in sram, weights and table in constants
  std::uint64_t sram = 0;
  instruction.a = view_of(a, "a", sram);
  instruction.b = b ? view_of(*b, "b", sram) : View{};
  instruction.out = view_of(out, "out", sram);
  const std::uint64_t weight_bytes = weight ? weight->size() : 0;
  const std::uint64_t table_offset = round_up(weight_bytes);
  instruction.weight = View{};
  if (weight) {
    const auto bytes = static_cast<std::uint32_t>(weight_bytes);
    instruction.weight =
        View{0, {1, 1, 1, bytes}, {bytes, bytes, bytes, 1}, Space::constant, Type::int8, 0, 0};
  }
  instruction.table = table.size() == 0 ? 0 : table_offset;
  instruction.table_count = static_cast<std::uint32_t>(table.size() / entry_bytes);

  auto* const out_data = static_cast<std::byte*>(out.data());
  auto* const a_data = static_cast<std::byte*>(const_cast<void*>(a.data()));
  auto* const b_data = b ? static_cast<std::byte*>(const_cast<void*>(b->data())) : nullptr;
  const void* const weight_data = weight ? weight->data() : nullptr;
  const void* const table_data = table.data();
  const std::uint64_t table_bytes = table.size();

  const nb::gil_scoped_release release;
  const Block constants(table_offset + table_bytes, "an instruction's constants");
  if (weight_bytes != 0) std::memcpy(constants.data(), weight_data, weight_bytes);
  if (table_bytes != 0) std::memcpy(constants.data() + table_offset, table_data, table_bytes);
  const std::span<const std::byte> constant_bytes(constants.data(), table_offset + table_bytes);
  check_instruction(instruction, Memory{constant_bytes.size(), 0, sram, {}, {}}, constant_bytes);
  Proof(constant_bytes).follow(instruction);

  const Kernels& kernels = chosen_kernels();
  const auto* const channels = reinterpret_cast<const Channel*>(constants.data() + table_offset);
  const Step step =
      prepare(instruction, Operands{out_data, a_data, b_data, constants.data(), channels});

  static Idle<Threads> teams;
  const int allowed = checked_threads(threads);
  const int count = worth_sharing(instruction) ? allowed : 1;
  const auto team = teams.borrow([&](const Threads& t) { return t.count() == count; },
                                 [&] { return std::make_unique<Threads>(count); });
  std::vector<Block> scratch;
  for (int i = 0; i < count; ++i) scratch.emplace_back(scratch_bytes(kernels, step), "scratch");
  run_parts(kernels, step, *team, scratch);
}

}  // namespace horizon
