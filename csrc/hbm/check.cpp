#include "hbm/check.h"

#include <algorithm>
#include <iterator>

#include "hbm/check_operator.h"
#include "hbm/check_view.h"

namespace horizon {
namespace {

void check_unit(const InstructionRecord& i) {
  const auto number = static_cast<std::size_t>(i.opcode);
  if (number < 1 || number > kOpcodes) {
    refuse(text_of("opcode ", number), text_of("1..", kOpcodes));
  }
  const Unit unit = kUnitOf[number - 1];
  if (i.unit != unit) {
    refuse(text_of("unit ", static_cast<int>(i.unit)), text_of(static_cast<int>(unit)));
  }
}

void require_default(bool is_default, const char* field) {
  if (!is_default) {
    refuse(text_of(field, ": a value that this operation does not use"),
           "the default of the field");
  }
}

bool both(const std::int32_t (&pair)[2], std::int32_t value) {
  return pair[0] == value && pair[1] == value;
}

// A field that the opcode does not use must have its default, so that a program has only one form.
void check_unused(const InstructionRecord& i) {
  const bool conv = i.opcode == Opcode::conv, correlation = i.opcode == Opcode::correlation,
             warp = i.opcode == Opcode::warp;
  const bool slopes = conv || correlation || i.opcode == Opcode::rescale || i.opcode == Opcode::add;
  const bool average = i.opcode == Opcode::avg_pool, mul = i.opcode == Opcode::mul,
             matmul = i.opcode == Opcode::matmul;
  const bool clamps = slopes || mul || matmul || average;
  if (i.zero0 != 0 || i.zero1 != 0 || i.zero2 != 0) {
    refuse("a reserved field that is not 0", "0");
  }
  const bool windows = conv || average || i.opcode == Opcode::max_pool;
  const bool resize = i.opcode == Opcode::resize;
  if (!windows) {
    require_default(both(i.kernel, 1), "kernel");
    require_default(both(i.stride, 1), "stride");
  }
  if (!conv) {
    require_default(both(i.dilation, 1), "dilation");
    require_default(i.weight_layout == WeightLayout::blocked, "weight layout");
    check_missing(i.weight, "weight");
  }
  if (!conv && !matmul) require_default(i.transposed == 0, "transposed");
  if (!windows && !correlation && !resize) require_default(both(i.pad, 0), "pad");
  if (!correlation) require_default(i.reach == 0, "reach");
  if (!warp && !resize) {
    require_default(i.fraction_bits == 0, "fraction bits");
    require_default(both(i.origin, 0), "origin");
  }
  if (!resize) {
    require_default(both(i.step, 0), "step");
    require_default(both(i.offset, 0), "offset");
    require_default(both(i.divisor, 0), "divisor");
    require_default(both(i.last, 0), "last");
  }
  if (!average) require_default(both(i.margin, 0), "margin");
  if (!clamps) require_default(i.lo == 0 && i.hi == 0, "limits");
  if (!slopes) require_default(i.two_slopes == 0, "two slopes");
  if (!clamps && !warp && i.opcode != Opcode::lookup) {
    require_default(i.table == 0 && i.table_count == 0, "table");
  }
  const bool two = conv || correlation || warp || mul || matmul || i.opcode == Opcode::add;
  if (!two) check_missing(i.b, "b");
}

bool one_of(Space space, std::initializer_list<Space> spaces) {
  return std::find(spaces.begin(), spaces.end(), space) != spaces.end();
}

void require_spaces(bool allowed, const InstructionRecord& i, const char* expected) {
  if (!allowed) {
    refuse(text_of("from ", name_of(i.a.space), " to ", name_of(i.out.space)), expected);
  }
}

// Load, store and copy.
void check_move(const InstructionRecord& i) {
  const bool within_ddr = i.a.space == Space::ddr && i.out.space == Space::ddr;
  if (i.opcode == Opcode::load) {
    require_spaces(one_of(i.a.space, {Space::input, Space::constant, Space::ddr}) &&
                       one_of(i.out.space, {Space::sram, Space::ddr}) && !within_ddr,
                   i, "a load from input, constant or ddr to sram, or from the first two to ddr");
  } else if (i.opcode == Opcode::store) {
    require_spaces(one_of(i.a.space, {Space::sram, Space::ddr}) &&
                       one_of(i.out.space, {Space::output, Space::ddr}) && !within_ddr,
                   i, "a store from sram to output or ddr, or from ddr to output");
  } else {
    require_spaces(i.a.space == Space::sram && i.out.space == Space::sram, i,
                   "a copy from sram to sram");
  }
  if (!same_shape(i.out, i.a)) {
    refuse(text_of("out of shape ", shape_of(i.out)), text_of("that of a, ", shape_of(i.a)));
  }
  const bool to_signed =
      i.a.space == Space::input && i.a.type == Type::uint8 && i.out.type == Type::int8;
  if (i.out.type != i.a.type && !to_signed) {
    refuse(text_of(name_of(i.a.type), " of ", name_of(i.a.space), " to ", name_of(i.out.type)),
           "equal types, or uint8 of an input to int8");
  }
}

void check_separate(const View& out, const View& other, const char* name) {
  if (other.space != Space::none && overlap(out, other)) {
    refuse(text_of("out shares memory with ", name), "operands that do not overlap");
  }
}

}  // namespace

void check_instruction(const InstructionRecord& i, const Memory& memory,
                       std::span<const std::byte> constants) {
  check_unit(i);
  check_unused(i);
  check_view(i.out, "out", memory);
  check_view(i.a, "a", memory);
  if (i.b.space != Space::none) {
    check_view(i.b, "b", memory);
  } else {
    check_missing(i.b, "b");
  }
  if (i.opcode == Opcode::conv) check_view(i.weight, "weight", memory);
  check_distinct(i.out, "out");
  if (i.opcode == Opcode::load || i.opcode == Opcode::store || i.opcode == Opcode::copy) {
    check_move(i);
  } else {
    check_operator(i, constants);
  }
  check_separate(i.out, i.a, "a");
  check_separate(i.out, i.b, "b");
  check_separate(i.out, i.weight, "weight");
}

}  // namespace horizon
