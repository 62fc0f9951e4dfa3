#include "hbm/sections.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "hbm/crc32.h"
#include "hbm/invalid_program.h"

namespace horizon {
namespace {

// Bytes of one record; 1 for a section without records.
constexpr std::uint64_t kRecordBytes[kSections] = {
    sizeof(ProgramRecord), 1, sizeof(TensorRecord), sizeof(InstructionRecord), 1, 1};

bool all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte byte) { return byte == std::byte{}; });
}

void check_crc(const std::string& what, std::span<const std::byte> bytes, std::uint32_t expected) {
  const std::uint32_t found = crc32(bytes);
  if (found != expected) {
    refuse(text_of(what, ": its bytes have the checksum ", found), text_of(expected));
  }
}

void check_header(std::span<const std::byte> file, Header& header) {
  if (file.size() < sizeof(Header)) {
    refuse(text_of("a file of ", file.size(), " bytes"), text_of("at least ", sizeof(Header)));
  }
  std::memcpy(&header, file.data(), sizeof(Header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) {
    refuse("header: the file does not begin with HBMFLOW", "a .hbm file of this project");
  }
  if (header.version != kVersion) {
    refuse(text_of("header: version ", header.version), text_of(kVersion));
  }
  Header without_crc = header;
  without_crc.header_crc = 0;
  check_crc("header", std::as_bytes(std::span(&without_crc, 1)), header.header_crc);
  if (!all_zero(std::as_bytes(std::span(header.zero))))
    refuse("header: a field that is not 0", "0");
  if (header.file_bytes != file.size()) {
    refuse(text_of("header: a file of ", file.size(), " bytes"),
           text_of(header.file_bytes, ", the file is incomplete or something was added"));
  }
  if (header.section_count != kSections) {
    refuse(text_of("header: ", header.section_count, " sections"), text_of(kSections));
  }
}

// A section begins at the first multiple of 64 after the end of the previous section. So sections
// neither overlap nor leave room for unchecked bytes.
std::span<const std::byte> check_section(std::span<const std::byte> file, const Section& section,
                                         std::size_t index, std::uint64_t end_before) {
  const std::string where = text_of("section ", kSectionNames[index], ": ");
  if (static_cast<std::size_t>(section.kind) != index + 1) {
    refuse(text_of(where, "kind ", static_cast<std::uint32_t>(section.kind)), text_of(index + 1));
  }
  const std::uint64_t begin = (end_before + kAlignment - 1) / kAlignment * kAlignment;
  if (section.offset != begin) {
    refuse(text_of(where, "begins at byte ", section.offset), text_of(begin));
  }
  if (begin > file.size() || section.bytes > file.size() - begin) {
    refuse(text_of(where, section.bytes, " bytes at ", begin),
           text_of("an end inside the file's ", file.size(), " bytes"));
  }
  if (!all_zero(file.subspan(end_before, begin - end_before))) {
    refuse(where + "bytes before it that are not 0", "0");
  }
  const std::uint64_t record = kRecordBytes[index];
  if (section.bytes % record != 0 || section.count != section.bytes / record) {
    refuse(text_of(where, section.count, " records in ", section.bytes, " bytes"),
           text_of(record, " bytes for each"));
  }
  const auto bytes = file.subspan(begin, section.bytes);
  check_crc(text_of("section ", kSectionNames[index]), bytes, section.crc);
  return bytes;
}

}  // namespace

Sections read_sections(std::span<const std::byte> file) {
  Header header;
  check_header(file, header);
  Section table[kSections];
  if (file.size() < sizeof(Header) + sizeof(table)) {
    refuse(text_of("section table: a file of ", file.size(), " bytes"),
           text_of("at least ", sizeof(Header) + sizeof(table)));
  }
  const auto table_bytes = file.subspan(sizeof(Header), sizeof(table));
  check_crc("section table", table_bytes, header.sections_crc);
  std::memcpy(table, table_bytes.data(), sizeof(table));

  Sections sections;
  std::uint64_t end = sizeof(Header) + sizeof(table);
  for (std::size_t index = 0; index < kSections; ++index) {
    sections.bytes[index] = check_section(file, table[index], index, end);
    end = table[index].offset + table[index].bytes;
  }
  if (end != file.size()) {
    refuse(text_of("section metadata: ends at byte ", end),
           text_of("the end of the file, ", file.size()));
  }
  return sections;
}

}  // namespace horizon
