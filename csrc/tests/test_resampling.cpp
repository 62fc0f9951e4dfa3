// The rules of max_pool, avg_pool and resize, one by one.
#include <algorithm>
#include <iterator>
#include <string_view>

#include "tests/refusals.h"

namespace horizon::test {
namespace {

// Of 1x4x6x2 int16, instead of the rescale.
void test_pool() {
  const auto with = [](auto change) {
    return [change](Parts& p) {
      InstructionRecord& i = p.instructions[kRescale];
      i.opcode = Opcode::max_pool;
      i.table = i.table_count = 0;
      i.lo = i.hi = 0;
      i.out.type = i.a.type;
      std::copy(std::begin(i.a.stride), std::end(i.a.stride), i.out.stride);
      i.kernel[0] = i.kernel[1] = 3;
      i.pad[0] = i.pad[1] = 1;
      p.instructions[kAdd].a.type = i.a.type;
      std::copy(std::begin(i.a.stride), std::end(i.a.stride), p.instructions[kAdd].a.stride);
      change(i);
    };
  };
  const auto wrong = [&](std::string_view found, auto change) {
    refused("(max_pool, layer rescale)", found, with(change));
  };
  accepted("a pool", with([](auto&) {}));
  accepted("a window of one element", with([](auto& i) { i.pad[0] = 2, i.pad[1] = 0; }));
  wrong("a window without an element of a in axis 1", [](auto& i) { i.pad[0] = 3; });
  wrong("a window without an element of a in axis 2", [](auto& i) { i.pad[1] = -1; });
  wrong("a window without an element of a in axis 1", [](auto& i) { i.stride[0] = 2; });
  wrong("kernel 257", [](auto& i) { i.kernel[0] = 257; });
  wrong("stride 0", [](auto& i) { i.stride[1] = 0; });
  wrong("pad -1048577", [](auto& i) { i.pad[1] = -(1 << 20) - 1; });
  wrong("a: uint8", [](auto& i) { i.a.type = Type::uint8, i.a.stride[3] = 1; });
  wrong("out: int8; expected the type of a", [](auto& i) {
    i.out.type = Type::int8;
    i.out.stride[3] = 1;
  });
  wrong("out: shape 1x4x6x1", [](auto& i) { i.out.shape[3] = 1; });
  wrong("sides of at most 65536", [](auto& i) { i.a.shape[1] = 65537, i.a.stride[1] = 0; });
  wrong("unit 2; expected 3", [](auto& i) { i.unit = Unit::tensor; });
  wrong("dilation: a value", [](auto& i) { i.dilation[0] = 2; });
  wrong("limits: a value", [](auto& i) { i.hi = 1; });
  wrong("table: a value", [](auto& i) { i.table_count = 1; });
  wrong("b: an operand that this", [](auto& i) { i.b = i.a; });
}

// The entries of an average pooling's table.
Channel* entries_of(Parts& parts) {
  std::byte* table = parts.constants.data() + parts.instructions[kAverage].table;
  return reinterpret_cast<Channel*>(table);
}

void test_average() {
  const auto wrong = [](std::string_view found, auto change) {
    refused("(avg_pool, layer average)", found,
            [&](Parts& p) { change(p.instructions[kAverage], entries_of(p)); });
  };
  const auto right = [](const char* name, auto change) {
    accepted(name, [&](Parts& p) { change(p.instructions[kAverage], entries_of(p)); });
  };
  right("an entry for all windows", [](auto& i, Channel* t) { i.table_count = 1, t->count = 0; });
  right("windows that all have nine elements",
        [](auto& i, Channel*) { i.margin[0] = i.margin[1] = 1; });
  right("fewer rows of padding that counts", [](auto& i, Channel*) { i.margin[0] = 1; });
  wrong("entry 0: count 0; expected 1..65536", [](auto&, Channel* t) { t[0].count = 0; });
  wrong("entry 1: count 4; expected 5..65536", [](auto&, Channel* t) { t[1].count = 4; });
  wrong("entry 2: count 65537", [](auto&, Channel* t) { t[2].count = 65537; });
  wrong("a window of 2x3 elements; expected an entry of the table for 6",
        [](auto&, Channel* t) { t[1].count = 5; });
  wrong("a window of 3x3 elements", [](auto& i, Channel*) { i.table_count = 2; });
  wrong("channel 0: count 4; expected 0", [](auto& i, Channel*) { i.table_count = 1; });
  wrong("a table of 0 entries", [](auto& i, Channel*) { i.table_count = 0; });
  wrong("margin with one entry 1",
        [](auto& i, Channel* t) { i.table_count = 1, t->count = 0, i.margin[1] = 1; });
  wrong("margin -1", [](auto& i, Channel*) { i.margin[0] = -1; });
  wrong("margin 257", [](auto& i, Channel*) { i.margin[1] = 257; });
  wrong("a window without an element of a in axis 1", [](auto& i, Channel*) { i.pad[0] = 3; });
  wrong("a window without an element of a in axis 2", [](auto& i, Channel*) { i.stride[1] = 4; });
  wrong("kernel 257", [](auto& i, Channel*) { i.kernel[0] = 257; });
  wrong("pad 1048577", [](auto& i, Channel*) { i.pad[0] = (1 << 20) + 1; });
  wrong("a: int32", [](auto& i, Channel*) {
    i.a.type = Type::int32;
    for (int axis = 0; axis < 4; ++axis) i.a.stride[axis] = axis == 3 ? 4 : 0;
  });
  wrong("out: shape 1x2x3x4", [](auto& i, Channel*) { i.out.shape[3] = 4; });
  wrong("limits 5..4", [](auto& i, Channel*) { i.lo = 5, i.hi = 4; });
  wrong("residual multiplier 1", [](auto&, Channel* t) { t[1].residual_multiplier = 1; });
  wrong("bias 1", [](auto&, Channel* t) { t[2].bias = 1; });
  wrong("negative multiplier 1", [](auto&, Channel* t) { t[0].negative_multiplier = 1; });
  wrong("shift 48", [](auto&, Channel* t) { t[0].shift = 48; });
  wrong("two slopes: a value", [](auto& i, Channel*) { i.two_slopes = 1; });
  wrong("dilation: a value", [](auto& i, Channel*) { i.dilation[0] = 2; });
  wrong("b: an operand that this", [](auto& i, Channel*) { i.b = i.a; });
  wrong("unit 2; expected 3", [](auto& i, Channel*) { i.unit = Unit::tensor; });
  // 2^15 * 2^13 = 2^28, in a view whose rows lie on each other.
  const auto large = [](std::uint32_t rows) {
    return [rows](auto& i, Channel* t) {
      i.table_count = 1, t->count = 0;
      i.kernel[0] = 256, i.kernel[1] = 32, i.stride[0] = i.stride[1] = 1;
      i.pad[0] = i.pad[1] = 0;
      i.a.shape[1] = rows, i.a.shape[2] = 32, i.a.stride[1] = i.a.stride[2] = 0;
      i.out.shape[1] = i.out.shape[2] = 1;
    };
  };
  right("sums below 2^28", large(255));
  wrong("a sum that can reach 268435456; expected less than", large(256));
  refused("instruction", "margin: a value",
          [](Parts& p) { p.instructions[kMaxPool].margin[0] = 1; });
}

// Of 1x4x6x2 int16 at twice the size, bilinear, instead of the rescale: its first 4x6 pixels.
void test_resize() {
  const auto with = [](auto change) {
    return [change](Parts& p) {
      InstructionRecord& i = p.instructions[kRescale];
      i.opcode = Opcode::resize;
      i.table = i.table_count = 0;
      i.lo = i.hi = 0;
      i.out.type = i.a.type;
      std::copy(std::begin(i.a.stride), std::end(i.a.stride), i.out.stride);
      i.fraction_bits = 8;
      for (int axis = 0; axis < 2; ++axis) {
        i.step[axis] = 512;
        i.offset[axis] = -254;
        i.divisor[axis] = 4;
        i.last[axis] = axis == 0 ? 3 : 5;
      }
      p.instructions[kAdd].a.type = i.a.type;
      std::copy(std::begin(i.a.stride), std::end(i.a.stride), p.instructions[kAdd].a.stride);
      change(i);
    };
  };
  const auto wrong = [&](std::string_view found, auto change) {
    refused("(resize, layer rescale)", found, with(change));
  };
  accepted("a resize", with([](auto&) {}));
  accepted("its last pixels", with([](auto& i) { i.origin[0] = 4, i.origin[1] = 6; }));
  accepted("pixels behind the map", with([](auto& i) { i.origin[0] = 1 << 16; }));
  accepted("rows from 1 on", with([](auto& i) { i.origin[0] = 3, i.pad[0] = -1; }));
  wrong("reads -1..1 of a in axis 1; expected 0..3", [](auto& i) { i.pad[0] = -1; });
  wrong("reads 6..6 of a in axis 2; expected 0..5",
        [](auto& i) { i.last[1] = 6, i.origin[1] = 1 << 16; });
  wrong("pad 1", [](auto& i) { i.pad[1] = 1; });
  wrong("pad -1048577", [](auto& i) { i.pad[1] = -(1 << 20) - 1; });
  wrong("fraction bits 7; expected 0 or 8", [](auto& i) { i.fraction_bits = 7; });
  wrong("step -1", [](auto& i) { i.step[0] = -1; });
  wrong("step 67108865", [](auto& i) { i.step[0] = (1 << 26) + 1; });
  wrong("offset -67108865", [](auto& i) { i.offset[1] = -(1 << 26) - 1; });
  wrong("divisor 0", [](auto& i) { i.divisor[0] = 0; });
  wrong("last 65536", [](auto& i) { i.last[0] = 1 << 16; });
  wrong("last -1", [](auto& i) { i.last[0] = -1; });
  wrong("origin -1", [](auto& i) { i.origin[0] = -1; });
  wrong("origin 65537", [](auto& i) { i.origin[0] = (1 << 16) + 1; });
  wrong("out: int8; expected the type of a", [](auto& i) {
    i.out.type = Type::int8;
    i.out.stride[3] = 1;
  });
  wrong("a: int32", [](auto& i) { i.a.type = Type::int32, i.a.stride[3] = 4, i.a.shape[2] = 1; });
  wrong("out: shape 1x4x6x1", [](auto& i) { i.out.shape[3] = 1; });
  wrong("sides of at most 65536", [](auto& i) { i.a.shape[1] = 65537, i.a.stride[1] = 0; });
  wrong("unit 2; expected 3", [](auto& i) { i.unit = Unit::tensor; });
  wrong("kernel: a value", [](auto& i) { i.kernel[0] = 2; });
  wrong("two slopes: a value", [](auto& i) { i.two_slopes = 1; });
}

}  // namespace

int run() {
  test_pool();
  test_average();
  test_resize();
  return finish("rules of max_pool, avg_pool and resize");
}

}  // namespace horizon::test

int main() { return horizon::test::run(); }
