// Tracks which bytes of the sram are copies of constants, instruction by instruction.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace horizon {

class Resident {
 public:
  // Bytes begin..end-1 now hold something else.
  void forget(std::uint64_t begin, std::uint64_t end);

  // Bytes begin..end-1 now hold the constants from `constant` on.
  void remember(std::uint64_t begin, std::uint64_t end, std::uint64_t constant);

  // The offset of the constants of which bytes begin..end-1 are a copy; none if they are not one.
  std::optional<std::uint64_t> find(std::uint64_t begin, std::uint64_t end) const;

 private:
  struct Copy {
    std::uint64_t end, constant;
  };
  std::map<std::uint64_t, Copy> copies_;  // by begin; they do not overlap
};

}  // namespace horizon
