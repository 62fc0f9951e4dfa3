// Each rule of the loader by itself: a valid program with one thing wrong, behind correct
// checksums, is refused with a message that names the place and what was expected.
#include <cstring>
#include <string>
#include <string_view>

#include "tests/expect.h"
#include "tests/refusals.h"

namespace horizon::test {
namespace {

void test_header() {
  const Bytes valid = file_of(SmallProgram::build());
  const auto check = [&](std::size_t place, std::byte value, std::string_view found) {
    Bytes file = valid;
    file[place] = value;
    reseal(file);
    const std::string message = message_of(file);
    expect(message.find(found) != std::string::npos, message);
  };
  const std::size_t table = sizeof(Header);
  check(0, std::byte{'h'}, "does not begin with HBMFLOW");
  check(8, std::byte{9}, "version 9; expected 3");
  check(12, std::byte{5}, "5 sections; expected 6");
  check(17, std::byte{0}, "the file is incomplete");
  check(40, std::byte{1}, "header: a field that is not 0");
  check(table, std::byte{2}, "section program: kind 2");
  check(table + 8, std::byte{8}, "section program: begins at byte");
  check(table + 16 + 7, std::byte{1}, "an end inside the file's");
  check(table + 24, std::byte{2}, "section program: 2 records in 64 bytes");
  check(table + 3 * 32 + 24, std::byte{0}, "section instructions: 0 records");
  const auto resize = [&](std::size_t size, std::string_view found) {
    Bytes file = valid;
    file.resize(size);
    Header header;
    std::memcpy(&header, file.data(), sizeof(header));
    header.file_bytes = size;
    header.header_crc = 0;
    header.header_crc = crc32(std::as_bytes(std::span(&header, 1)));
    std::memcpy(file.data(), &header, sizeof(header));
    const std::string message = message_of(file);
    expect(message.find(found) != std::string::npos, message);
  };
  resize(table + 100, "section table: a file of 164 bytes");
  resize(valid.size() + 1, "section metadata: ends at byte");
  Parts parts = SmallProgram::build();
  while (parts.strings.size() % kAlignment == 0) parts.add_text("more");
  Bytes file = file_of(parts);
  file[kFrameBytes + kAlignment + parts.strings.size()] = std::byte{1};
  expect(message_of(file).find("section tensors: bytes before it") != std::string::npos,
         message_of(file));
}

void test_program() {
  const auto program = [](std::string_view found, auto change) {
    refused("section program", found, [&](Parts& parts) { change(parts.program); });
  };
  program("0 inputs", [](auto& p) { p.input_count = 0; });
  program("together 3", [](auto& p) { p.output_count = 0xFFFFFFFF; });
  program("opt 4", [](auto& p) { p.opt = 4; });
  program("size multiple", [](auto& p) { p.size_multiple = 0; });
  program("bytes of ddr", [](auto& p) { p.ddr_bytes = ~std::uint64_t{0}; });
  program("reserved", [](auto& p) { p.zero[23] = 1; });
  refused("a string at 99999", "less than", [](auto& p) { p.program.name = 99999; });
  refused("a string at", "empty", [](auto& p) { p.program.march = p.add_text(""); });
  refused("a string at", "too long",
          [](auto& p) { p.program.name = p.add_text(std::string(5000, 'x')); });
  refused("a string at 1, inside another", "the first byte", [](auto& p) { p.program.name = 1; });
  refused("section strings", "no NUL", [](auto& p) { p.strings.back() = 'x'; });
  refused("section strings", "no NUL", [](auto& p) { p.strings.clear(); });
  refused("section strings", "UTF-8", [](auto& p) { p.add_text("\xC3("); });
  refused("section metadata", "UTF-8", [](auto& p) { p.metadata = "\xFF"; });
  accepted("no metadata", [](auto& p) { p.metadata.clear(); });
}

void test_tensors() {
  const auto tensor = [](std::size_t index, std::string_view place, std::string_view found,
                         auto change) {
    refused("section tensors: " + std::string(place), found,
            [&](Parts& parts) { change(parts.tensors[index]); });
  };
  tensor(0, "input 0", "type 4", [](auto& t) { t.type = static_cast<Type>(4); });
  tensor(1, "output 0", "layout 2", [](auto& t) { t.layout = static_cast<Layout>(2); });
  tensor(0, "input 0", "zero point 0; expected 128", [](auto& t) { t.zero_point = 0; });
  tensor(1, "output 0", "zero point 1; expected 0", [](auto& t) { t.zero_point = 1; });
  tensor(1, "output 0", "a side of 0", [](auto& t) { t.shape[2] = 0; });
  tensor(1, "output 0", "too many elements", [](auto& t) {
    for (auto& side : t.shape) side = 0xFFFFFFFF;
  });
  tensor(1, "output 0", "3 scales; expected 1 or 2", [](auto& t) { t.scale_count = 3; });
  tensor(1, "output 0", "scales at 4", [](auto& t) { t.scale_offset = 4; });
  tensor(1, "output 0", "scales at", [](auto& t) { t.scale_offset = ~std::uint64_t{7}; });
  refused("section tensors: scales at", "a multiple of 64", [](auto& p) {
    p.constants.insert(p.constants.end() - 8 * 4, 8, std::byte{});
    for (auto& t : p.tensors) t.scale_offset += 8;
  });
  refused("section tensors: flow: scales at", "behind those before",
          [](auto& p) { p.tensors[1].scale_offset -= 8; });
  refused("section constants", "the scales' end", [](auto& p) { p.constants.emplace_back(); });
  refused("instruction 0 (", "the size of this constant", [](auto& p) {  // 8 bytes of scales
    View& view = p.instructions[kLoadWeight].a;
    view.offset = p.constants.size() - p.scale_bytes + 8 - view.shape[3];
  });
  refused("instruction", "inside the", [](auto& p) {  // a table in the scales
    p.instructions[kAdd].table = p.constants.size() - p.scale_bytes;
  });
  tensor(1, "output 0", "reserved", [](auto& t) { t.zero0 = 1; });
  tensor(1, "output 0", "reserved", [](auto& t) { t.zero1 = 1; });
  refused("output 1", "a second flow", [](auto& p) { p.tensors[2].name = p.tensors[1].name; });
  for (const double scale : {0.0, -1.0, 1 / 0.0, 0 / 0.0}) {
    refused("input 0", "a finite number above 0", [&](Parts& p) {
      std::memcpy(p.constants.data() + p.tensors[0].scale_offset, &scale, sizeof(scale));
    });
  }
}

void test_views() {
  const auto view = [](std::string_view found, auto change) {
    refused(kConv, found, [&](auto& i) { change(i.a); });
  };
  view("a: space 9", [](View& v) { v.space = static_cast<Space>(9); });
  view("a: type 7", [](View& v) { v.type = static_cast<Type>(7); });
  view("a: a reserved field", [](View& v) { v.zero = 1; });
  view("a: index 1", [](View& v) { v.index = 1; });
  view("a: side 1 is 0", [](View& v) { v.shape[1] = 0; });
  view("a: side 1 is 4294967295", [](View& v) { v.shape[1] = 0xFFFFFFFF; });
  view("a: ends at byte", [](View& v) { v.shape[1] = 0x7FFFFFFF; });
  view("a: ends at byte", [](View& v) { v.offset += 100000; });
  view("does not fit 64 bits", [](View& v) { v.offset = ~std::uint64_t{0}; });
  view("a: in ddr; expected sram", [](View& v) {
    v.space = Space::ddr;
    v.offset = 0;
  });
  view("a: stride of channels 0", [](View& v) { v.stride[3] = 0; });
  refused(kOffsets, "out: offset", [](auto& i) { ++i.out.offset; });
  refused(kOffsets, "out: stride 2", [](auto& i) { ++i.out.stride[2]; });
  refused(kOffsets, "out: a stride of", [](auto& i) { i.out.stride[1] -= 4; });
  refused(kOffsets, "out: a stride of 0", [](auto& i) { i.out.stride[2] = 0; });
  refused(kLoadImage, "a: input number 1", [](auto& i) { i.a.index = 1; });
  refused(kStoreFlow, "int16 values of an output", [](auto& i) { i.out.type = Type::int16; });
  refused(kStoreFeature, "out: ends at byte", [](auto& i) { ++i.out.offset; });
  refused(kConv, "out shares memory with a", [](auto& i) { i.out.offset = i.a.offset; });
  refused(kConv, "out shares memory with weight", [](auto& i) { i.out.offset = i.weight.offset; });
  refused(kResidual, "out shares memory with b", [](auto& i) { i.out.offset = i.b.offset; });
  refused(kCopy, "out shares memory with a", [](auto& i) { --i.out.offset; });
}

void test_moves() {
  refused(kLoadImage, "from sram to sram; expected a load", [](auto& i) { i.a = i.out; });
  refused(kSpill, "from ddr to ddr", [](auto& i) { i.a = i.out; });
  refused(kReload, "from ddr to ddr", [](auto& i) { i.out = i.a; });
  refused(kCopy, "from sram to ddr", [](auto& i) {
    i.out.space = Space::ddr;
    i.out.offset = 0;
  });
  refused(kLoadImage, "out of shape 1x4x6x2", [](auto& i) { i.out.shape[3] = 2; });
  refused(kReload, "int8 of ddr to uint8", [](auto& i) { i.out.type = Type::uint8; });
  refused(kCopy, "uint8 of sram to int8", [](auto& i) { i.a.type = Type::uint8; });
  refused("section instructions", "output feature is never stored to",
          [](auto& p) { p.instructions.pop_back(); });
  accepted("a load of an input as it is", [](auto& p) {
    auto& load = p.instructions[kLoadImage];
    load.out.type = Type::uint8;
  });
}

void test_fields() {
  refused(kCopy, "opcode 0", [](auto& i) { i.opcode = static_cast<Opcode>(0); });
  refused(kCopy, text_of("opcode ", kOpcodes + 1),
          [](auto& i) { i.opcode = static_cast<Opcode>(kOpcodes + 1); });
  refused(kConv, "unit 3; expected 2", [](auto& i) { i.unit = Unit::vector; });
  refused(kConv, "waits for 1 instructions of unit 2", [](auto& i) { i.wait[2] = 1; });
  refused(kConv, "reserved", [](auto& i) { i.zero0 = 1; });
  refused(kConv, "reserved", [](auto& i) { i.zero1 = 1; });
  refused(kConv, "reserved", [](auto& i) { i.zero2 = 1; });
  refused(kConv, "a string at", [](auto& i) { i.layer = 1 << 20; });
  const auto unused = [](Place place, std::string_view field, auto change) {
    refused(place, std::string(field) + ": a value that this operation does not use", change);
  };
  unused(kAdd, "kernel", [](auto& i) { i.kernel[0] = 3; });
  unused(kAdd, "stride", [](auto& i) { i.stride[0] = 0; });
  unused(kAdd, "dilation", [](auto& i) { i.dilation[1] = 2; });
  unused(kAdd, "transposed", [](auto& i) { i.transposed = 1; });
  unused(kAdd, "weight layout", [](auto& i) { i.weight_layout = WeightLayout::rows; });
  unused(kWarp, "pad", [](auto& i) { i.pad[0] = 1; });
  unused(kWarp, "limits", [](auto& i) { i.hi = 1; });
  unused(kConv, "reach", [](auto& i) { i.reach = 1; });
  unused(kConv, "fraction bits", [](auto& i) { i.fraction_bits = 1; });
  unused(kConv, "origin", [](auto& i) { i.origin[1] = 1; });
  unused(kAdd, "step", [](auto& i) { i.step[0] = 1; });
  unused(kAdd, "offset", [](auto& i) { i.offset[1] = 1; });
  unused(kConv, "divisor", [](auto& i) { i.divisor[0] = 1; });
  unused(kConv, "last", [](auto& i) { i.last[1] = 1; });
  unused(kWarp, "two slopes", [](auto& i) { i.two_slopes = 1; });
  unused(kCopy, "table", [](auto& i) { i.table_count = 1; });
  unused(kSpill, "two slopes", [](auto& i) { i.two_slopes = 1; });
  refused(kRescale, "b: an operand that this", [](auto& i) { i.b = i.a; });
  refused(kAdd, "weight: an operand that this", [](auto& i) { i.weight = i.a; });
  refused(kConv, "b: an operand that this", [](auto& i) { i.b.offset = 1; });
}

}  // namespace

int run() {
  test_header();
  test_program();
  test_tensors();
  test_views();
  test_moves();
  test_fields();
  return finish("checks of files and views");
}

}  // namespace horizon::test

int main() { return horizon::test::run(); }
