// The frame of a .hbm file: header, section table, the bytes between the sections.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "hbm/format.h"

namespace horizon {

// The bytes of each section in the order of SectionKind. Checks magic, version, sizes, checksums,
// places and counts, but not the contents of the sections. The message of InvalidProgram has the
// section, what was found and what was expected.
struct Sections {
  std::array<std::span<const std::byte>, kSections> bytes;

  std::span<const std::byte> operator[](SectionKind kind) const {
    return bytes[static_cast<std::size_t>(kind) - 1];
  }
};

Sections read_sections(std::span<const std::byte> file);

}  // namespace horizon
