// How fuzz_program changes files: mostly inside a record, so that the frame of the file stays, and
// often so that the instruction may still be valid, so that it is carried out.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tests/expect.h"
#include "tests/program_file.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace horizon {
namespace {

using test::Random;

constexpr std::size_t kInstructions = static_cast<std::size_t>(SectionKind::instructions) - 1;

// Operands that agree in a dimension still do so afterwards.
void change_size(InstructionRecord& i, Random& random) {
  const std::uint64_t dimension = random.below(4);
  View* const views[] = {&i.out, &i.a, &i.b};
  const std::uint32_t old = views[random.below(3)]->shape[dimension];
  const auto size = static_cast<std::uint32_t>(1 + random.below(old + 2));
  for (View* view : views) {
    if (view->shape[dimension] == old && view->space != Space::none) view->shape[dimension] = size;
  }
}

void change_place(InstructionRecord& i, Random& random) {
  View* const views[] = {&i.out, &i.a, &i.b, &i.weight};
  View& view = *views[random.below(4)];
  const std::int64_t steps[] = {1, 4, static_cast<std::int64_t>(kAlignment)};
  const std::int64_t step = steps[random.below(3)] * (random.below(2) == 0 ? 1 : -1);
  view.offset += static_cast<std::uint64_t>(step);
}

// Kernel, stride, dilation, pad, reach and origin are small in real programs.
void change_parameter(InstructionRecord& i, Random& random) {
  std::int32_t* const pairs[] = {i.kernel, i.stride, i.dilation, i.pad, i.origin};
  const auto value = static_cast<std::int32_t>(random.below(12)) - 3;
  pairs[random.below(5)][random.below(2)] = value;
  if (random.below(8) == 0) i.transposed = 1 - i.transposed;
}

void change_instruction(std::uint8_t* records, std::size_t count, Random& random) {
  const std::uint64_t from = random.below(count), to = random.below(count);
  std::uint8_t* const place = records + to * sizeof(InstructionRecord);
  if (random.below(16) == 0) {
    std::memmove(place, records + from * sizeof(InstructionRecord), sizeof(InstructionRecord));
    return;
  }
  InstructionRecord i;
  std::memcpy(&i, place, sizeof(i));
  void (*const changes[])(InstructionRecord&, Random&) = {change_size, change_place,
                                                          change_parameter};
  changes[random.below(3)](i, random);
  std::memcpy(place, &i, sizeof(i));
}

}  // namespace
}  // namespace horizon

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned int seed) {
  using namespace horizon;
  Random random(seed);
  if (size <= test::kFrameBytes || random.below(64) == 0) {
    return LLVMFuzzerMutate(data, size, max_size);
  }
  Section sections[test::kSectionCount];
  std::memcpy(sections, data + sizeof(Header), sizeof(sections));
  // Most rules are about instructions.
  const bool instructions = random.below(3) != 0;
  const Section& section =
      sections[instructions ? kInstructions : random.below(std::size(sections))];
  if (section.bytes == 0 || section.offset > size || section.bytes > size - section.offset) {
    return LLVMFuzzerMutate(data, size, max_size);
  }
  std::uint8_t* const begin = data + section.offset;
  const std::size_t count = section.bytes / sizeof(InstructionRecord);
  if (instructions && count > 0 && random.below(2) == 0) {
    change_instruction(begin, count, random);
    return size;
  }
  // Fields have 1 to 8 bytes and lie at multiples of their size.
  const std::size_t width = std::size_t{1} << random.below(4);
  const std::size_t place = random.below(section.bytes) / width * width;
  if (place + width <= section.bytes) LLVMFuzzerMutate(begin + place, width, width);
  return size;
}
