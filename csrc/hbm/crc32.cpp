#include "hbm/crc32.h"

#include <array>
#include <bit>
#include <cstring>

namespace horizon {
namespace {

static_assert(std::endian::native == std::endian::little, "a .hbm file is read in place");

constexpr std::uint32_t kPolynomial = 0xEDB88320u;
constexpr std::size_t kSlices = 16;

// tables[k][b]: the remainder of byte b followed by k zero bytes. With them the bytes of a block
// of 16 are looked up independently of each other.
using Tables = std::array<std::array<std::uint32_t, 256>, kSlices>;

constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) {
      remainder = (remainder >> 1) ^ ((remainder & 1) ? kPolynomial : 0);
    }
    tables[0][byte] = remainder;
  }
  for (std::size_t slice = 1; slice < kSlices; ++slice) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[slice - 1][byte];
      tables[slice][byte] = (before >> 8) ^ tables[0][before & 0xFF];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

std::uint32_t look_up(std::uint32_t word, std::size_t slice) {
  return kTables[slice + 3][word & 0xFF] ^ kTables[slice + 2][(word >> 8) & 0xFF] ^
         kTables[slice + 1][(word >> 16) & 0xFF] ^ kTables[slice][word >> 24];
}

}  // namespace

std::uint32_t crc32(std::span<const std::byte> bytes) {
  std::uint32_t remainder = ~0u;
  std::size_t place = 0;
  for (; place + kSlices <= bytes.size(); place += kSlices) {
    std::uint32_t word[4];
    std::memcpy(word, bytes.data() + place, kSlices);
    remainder = look_up(word[0] ^ remainder, 12) ^ look_up(word[1], 8) ^ look_up(word[2], 4) ^
                look_up(word[3], 0);
  }
  for (; place < bytes.size(); ++place) {
    const auto byte = std::to_integer<std::uint32_t>(bytes[place]);
    remainder = (remainder >> 8) ^ kTables[0][(remainder ^ byte) & 0xFF];
  }
  return ~remainder;
}

}  // namespace horizon
