// What the loader is made of, beside an obvious version of the same: checksum, UTF-8, shared memory
// of views, copies of constants in sram, sums of weights.
#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <vector>

#include "hbm/check_view.h"
#include "hbm/crc32.h"
#include "hbm/invalid_program.h"
#include "hbm/resident.h"
#include "hbm/utf8.h"
#include "hbm/weight_sums.h"
#include "tests/expect.h"

namespace horizon::test {
namespace {

void test_crc() {
  const std::string check = "123456789";  // the check value of the CRC catalogue
  expect(crc32(std::as_bytes(std::span(check))) == 0xCBF43926u, "checksum of 123456789");
  Random random(3);
  std::vector<std::uint8_t> data(100);
  for (auto& byte : data) byte = static_cast<std::uint8_t>(random.next());
  for (std::size_t begin = 0; begin < 20; ++begin) {
    for (std::size_t end = begin; end <= data.size(); ++end) {
      std::uint32_t crc = ~0u;
      for (std::size_t i = begin; i < end; ++i) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320u : 0);
      }
      const auto part = std::span(data).subspan(begin, end - begin);
      expect(crc32(std::as_bytes(part)) == ~crc, "checksum of a part");
    }
  }
}

void test_utf8() {
  for (const char* good : {"", "layer", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
                           "\xED\x9F\xBF", "\xEE\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    expect(is_utf8(good), "UTF-8");
  }
  // Alone, cut, overlong, a surrogate, above U+10FFFF.
  for (const char* bad :
       {"\x80", "\xC3", "\xC3(", "\xE2\x82", "\xF0\x9F\x98", "\xC0\x80", "\xE0\x80\x80",
        "\xF0\x80\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF"}) {
    expect(!is_utf8(bad), "not UTF-8");
  }
}

std::vector<std::uint64_t> bytes_of(const View& view) {
  std::vector<std::uint64_t> bytes;
  const auto size = static_cast<std::uint64_t>(size_of(view.type));
  for (std::uint64_t n = 0; n < view.shape[0]; ++n)
    for (std::uint64_t y = 0; y < view.shape[1]; ++y)
      for (std::uint64_t x = 0; x < view.shape[2]; ++x)
        for (std::uint64_t c = 0; c < view.shape[3]; ++c)
          for (std::uint64_t b = 0; b < size; ++b)
            bytes.push_back(view.offset + n * view.stride[0] + y * view.stride[1] +
                            x * view.stride[2] + c * view.stride[3] + b);
  return bytes;
}

View random_view(Random& random, bool alike) {
  View view{};
  view.space = Space::sram;
  view.type = random.below(2) == 0 ? Type::int8 : Type::int16;
  const auto size = static_cast<std::uint32_t>(size_of(view.type));
  view.offset = random.below(alike ? 40 : 120) * size;
  for (auto& side : view.shape) side = static_cast<std::uint32_t>(1 + random.below(4));
  if (alike) {
    // A channel slice of one row pitch, some of its rows and columns.
    const std::array<std::uint32_t, 4> strides = {480, 80, 16, size};
    std::copy(strides.begin(), strides.end(), view.stride);
  } else {
    for (auto& stride : view.stride) stride = static_cast<std::uint32_t>(random.below(30)) * size;
  }
  return view;
}

bool is_distinct(const View& view) {
  try {
    check_distinct(view, "out");
    return true;
  } catch (const InvalidProgram&) {
    return false;
  }
}

void test_views() {
  Random random(4);
  int separate = 0, distinct = 0;
  for (int round = 0; round < 20000; ++round) {
    const bool alike = round % 2 == 0;
    const View a = random_view(random, alike), b = random_view(random, alike);
    const auto first = bytes_of(a), second = bytes_of(b);
    const std::set<std::uint64_t> of_a(first.begin(), first.end());
    const bool shared = std::any_of(second.begin(), second.end(),
                                    [&](std::uint64_t byte) { return of_a.count(byte) != 0; });
    expect(overlap(a, b) == overlap(b, a), "overlap is symmetric");
    expect(!shared || overlap(a, b), "shared memory is seen");
    if (alike) expect(overlap(a, b) == shared, "slices of one buffer are told apart");
    separate += !overlap(a, b) && end_of(a) > b.offset && end_of(b) > a.offset;
    expect(end_of(a) == *of_a.rbegin() + 1, "end of a view");
    if (is_distinct(a)) {
      ++distinct;
      expect(of_a.size() == first.size(), "distinct elements");
    }
  }
  expect(separate > 1000 && distinct > 1000, "views of every kind");
  View one{}, other{};
  one.space = Space::sram;
  other.space = Space::ddr;
  for (View* view : {&one, &other}) std::fill(view->shape, view->shape + 4, 1);
  expect(!overlap(one, other), "different spaces");
}

void test_resident() {
  Random random(5);
  constexpr std::uint64_t kSize = 48, kUnknown = ~std::uint64_t{0};
  Resident resident;
  std::array<std::uint64_t, kSize> model;  // the constant that each byte is a copy of
  model.fill(kUnknown);
  int found = 0;
  for (int round = 0; round < 50000; ++round) {
    const std::uint64_t begin = random.below(kSize), end = begin + 1 + random.below(kSize - begin);
    // Often the constants continue where those of the byte before ended.
    std::uint64_t constant = random.below(1000);
    if (begin > 0 && model[begin - 1] != kUnknown) constant = model[begin - 1] + 1;
    switch (random.below(4)) {
      case 0:
        resident.forget(begin, end);
        for (std::uint64_t i = begin; i < end; ++i) model[i] = kUnknown;
        break;
      case 1:
        resident.remember(begin, end, constant);
        for (std::uint64_t i = begin; i < end; ++i) model[i] = constant + (i - begin);
        break;
      default: {
        const auto answer = resident.find(begin, end);
        found += answer.has_value();
        for (std::uint64_t i = begin; answer && i < end; ++i) {
          expect(model[i] == *answer + (i - begin), "constants in sram");
        }
      }
    }
  }
  expect(found > 1000, "constants in sram are found");
  resident.remember(0, 16, 100);
  resident.remember(16, 32, 116);
  expect(resident.find(4, 30) == std::uint64_t{104}, "one copy in two transfers");
  Resident turned;
  turned.remember(16, 32, 116);
  turned.remember(0, 16, 100);
  expect(turned.find(4, 30) == std::uint64_t{104}, "its second half first");
  turned.remember(0, 16, 101);
  expect(!turned.find(4, 30), "halves that do not follow each other in the constants");
  expect(!turned.find(20, 33), "an end that is unknown");
}

void test_sums() {
  Random random(6);
  for (int round = 0; round < 300; ++round) {
    // The last rounds have more blocks than one inner loop adds.
    const std::uint64_t inputs = round < 290 ? 1 + random.below(130) : 2100;
    const auto layout = static_cast<WeightLayout>(random.below(3));
    const bool depthwise = layout == WeightLayout::depthwise;
    const WeightShape shape{layout, 1 + random.below(depthwise ? 200 : 40), 1 + random.below(9),
                            depthwise ? 1 : inputs};
    std::vector<std::int8_t> packed(packed_bytes(shape));
    std::vector<std::uint64_t> sums(shape.outputs);
    for (std::uint64_t o = 0; o < shape.outputs; ++o) {
      for (std::uint64_t tap = 0; tap < shape.taps; ++tap) {
        for (std::uint64_t i = 0; i < shape.inputs; ++i) {
          const int w = round % 3 == 0 ? -127 : static_cast<int>(random.below(255)) - 127;
          const std::uint64_t place =
              depthwise ? (o / 64 * shape.taps + tap) * 64 + o % 64
              : shape.layout == WeightLayout::rows
                  ? (o * shape.taps + tap) * ((inputs + 63) / 64 * 64) + i
                  : ((o / 16 * shape.taps + tap) * ((inputs + 3) / 4) + i / 4) * 64 + o % 16 * 4 +
                        i % 4;
          packed[place] = static_cast<std::int8_t>(w);
          sums[o] += static_cast<std::uint64_t>(w < 0 ? -w : w);
        }
      }
    }
    expect(weight_sums(packed, shape) == sums, "sums of weights");
  }
}

}  // namespace

int run() {
  test_crc();
  test_utf8();
  test_views();
  test_resident();
  test_sums();
  return finish("parts of the loader");
}

}  // namespace horizon::test

int main() { return horizon::test::run(); }
