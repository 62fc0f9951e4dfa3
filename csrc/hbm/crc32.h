// CRC-32 as in zlib: polynomial 0xEDB88320 reflected, starting value and final xor all ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace horizon {

std::uint32_t crc32(std::span<const std::byte> bytes);

}  // namespace horizon
