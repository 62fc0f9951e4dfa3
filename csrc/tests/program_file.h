// Writes .hbm files from their records, valid or not, for tests of the loader.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hbm/crc32.h"
#include "hbm/format.h"

namespace horizon::test {

using Bytes = std::vector<std::byte>;

// What the sections hold.
struct Parts {
  ProgramRecord program{};
  std::string strings;
  std::vector<TensorRecord> tensors;
  std::vector<InstructionRecord> instructions;
  Bytes constants;
  std::string metadata;
  std::size_t scale_bytes = 0;  // at the constants' end

  // The offset of a new string.
  std::uint32_t add_text(std::string_view text) {
    const auto offset = static_cast<std::uint32_t>(strings.size());
    strings.append(text).push_back('\0');
    return offset;
  }

  // The offset of new constants, a multiple of 64. They go before the scales.
  template <typename Value>
  std::uint64_t add_constants(const std::vector<Value>& values) {
    const Bytes scales(constants.end() - static_cast<std::ptrdiff_t>(scale_bytes), constants.end());
    constants.resize(constants.size() - scale_bytes);
    const std::size_t offset = constants.size(), bytes = values.size() * sizeof(Value);
    const std::size_t added = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    constants.resize(offset + added);
    if (bytes != 0) std::memcpy(constants.data() + offset, values.data(), bytes);
    constants.insert(constants.end(), scales.begin(), scales.end());
    if (scale_bytes != 0) {
      for (TensorRecord& tensor : tensors) tensor.scale_offset += added;
    }
    return offset;
  }

  // Behind all other constants, without gaps: the same scale for all.
  void add_scales(double scale) {
    for (TensorRecord& tensor : tensors) {
      const std::vector<double> scales(tensor.scale_count, scale);
      const auto bytes = std::as_bytes(std::span(scales));
      tensor.scale_offset = constants.size();
      constants.insert(constants.end(), bytes.begin(), bytes.end());
      scale_bytes += bytes.size();
    }
  }
};

inline constexpr std::size_t kSectionCount = 6;
inline constexpr std::size_t kFrameBytes = sizeof(Header) + kSectionCount * sizeof(Section);

// Corrects all checksums of a file whose other bytes may have been changed; those of sections that
// are not inside the file stay.
inline void reseal(std::span<std::byte> file) {
  if (file.size() < kFrameBytes) return;
  Section sections[kSectionCount];
  std::memcpy(sections, file.data() + sizeof(Header), sizeof(sections));
  for (Section& section : sections) {
    if (section.offset <= file.size() && section.bytes <= file.size() - section.offset) {
      section.crc = crc32(file.subspan(section.offset, section.bytes));
    }
  }
  std::memcpy(file.data() + sizeof(Header), sections, sizeof(sections));
  Header header;
  std::memcpy(&header, file.data(), sizeof(header));
  header.sections_crc = crc32(file.subspan(sizeof(Header), sizeof(sections)));
  header.header_crc = 0;
  header.header_crc = crc32(std::as_bytes(std::span(&header, 1)));
  std::memcpy(file.data(), &header, sizeof(header));
}

inline Bytes file_of(const Parts& parts) {
  Bytes file(kFrameBytes);
  Section sections[kSectionCount] = {};
  std::size_t index = 0;
  const auto add = [&](const void* data, std::size_t bytes, std::size_t count) {
    file.resize((file.size() + kAlignment - 1) / kAlignment * kAlignment);
    sections[index] = {static_cast<SectionKind>(index + 1), 0, file.size(), bytes, count};
    ++index;
    const auto* begin = static_cast<const std::byte*>(data);
    file.insert(file.end(), begin, begin + bytes);
  };
  const auto add_records = [&](const auto& records) {
    add(records.data(), records.size() * sizeof(records[0]), records.size());
  };
  add(&parts.program, sizeof(ProgramRecord), 1);
  add_records(parts.strings);
  add_records(parts.tensors);
  add_records(parts.instructions);
  add_records(parts.constants);
  add_records(parts.metadata);
  std::memcpy(file.data() + sizeof(Header), sections, sizeof(sections));
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.version = kVersion;
  header.section_count = kSectionCount;
  header.file_bytes = file.size();
  std::memcpy(file.data(), &header, sizeof(header));
  reseal(file);
  return file;
}

}  // namespace horizon::test
