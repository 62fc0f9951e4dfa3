// How forged programs are changed: mostly inside a record, so that the frame of the file stays, and
// often so that the instruction may still be valid, so that it is carried out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>

#include "tests/expect.h"
#include "tests/program_file.h"

namespace horizon::test {

inline constexpr std::size_t kInstructions =
    static_cast<std::size_t>(SectionKind::instructions) - 1;

// Operands that agree in a dimension still do so afterwards.
inline void change_size(InstructionRecord& i, Random& random) {
  const std::uint64_t dimension = random.below(4);
  View* const views[] = {&i.out, &i.a, &i.b};
  const std::uint32_t old = views[random.below(3)]->shape[dimension];
  const auto size = static_cast<std::uint32_t>(1 + random.below(old + 2));
  for (View* view : views) {
    if (view->shape[dimension] == old && view->space != Space::none) view->shape[dimension] = size;
  }
}

inline void change_place(InstructionRecord& i, Random& random) {
  View* const views[] = {&i.out, &i.a, &i.b, &i.weight};
  View& view = *views[random.below(4)];
  const std::int64_t steps[] = {1, 4, static_cast<std::int64_t>(kAlignment)};
  const std::int64_t step = steps[random.below(3)] * (random.below(2) == 0 ? 1 : -1);
  view.offset += static_cast<std::uint64_t>(step);
}

// Kernel, stride, dilation, pad and origin are small in real programs.
inline void change_parameter(InstructionRecord& i, Random& random) {
  std::int32_t* const pairs[] = {i.kernel, i.stride, i.dilation, i.pad,  i.origin,
                                 i.step,   i.offset, i.divisor,  i.last, i.margin};
  const auto value = static_cast<std::int32_t>(random.below(12)) - 3;
  pairs[random.below(std::size(pairs))][random.below(2)] = value;
  if (random.below(8) == 0) i.transposed = 1 - i.transposed;
  if (random.below(8) == 0) i.two_slopes = 1 - i.two_slopes;
}

inline void change_instruction(std::uint8_t* records, std::size_t count, Random& random) {
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

// Changes `data`, of `size` bytes. `mutate(begin, size, most)` changes bytes anyhow and gives their
// new number, at most `most`; it is called for all of them, or for those of one field.
template <typename Mutate>
std::size_t change_program(std::uint8_t* data, std::size_t size, std::size_t most, Random& random,
                           const Mutate& mutate) {
  if (size <= kFrameBytes || random.below(64) == 0) return mutate(data, size, most);
  Section sections[kSectionCount];
  std::memcpy(sections, data + sizeof(Header), sizeof(sections));
  // Most rules are about instructions.
  const bool instructions = random.below(3) != 0;
  const Section& section =
      sections[instructions ? kInstructions : random.below(std::size(sections))];
  if (section.bytes == 0 || section.offset > size || section.bytes > size - section.offset) {
    return mutate(data, size, most);
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
  if (place + width <= section.bytes) mutate(begin + place, width, width);
  return size;
}

// Corrects what would end a test before it begins: the frame and the checksums.
inline void repair(Bytes& file) {
  if (file.size() < kFrameBytes) return;
  Header header;
  std::memcpy(&header, file.data(), sizeof(header));
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.version = kVersion;
  header.section_count = kSectionCount;
  header.file_bytes = file.size();
  std::memset(header.zero, 0, sizeof(header.zero));
  std::memcpy(file.data(), &header, sizeof(header));
  reseal(file);
}

}  // namespace horizon::test
