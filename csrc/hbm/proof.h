// Proof that no accumulator of a convolution reaches 2^28, from the weights in the file:
// sum |w| * max |x| + |bias| of each output channel (fixed point, "Numbers").
//
// Weights in sram must have been loaded from the constants and not overwritten since; otherwise the
// program is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "hbm/format.h"
#include "hbm/resident.h"
#include "hbm/weight_sums.h"

namespace horizon {

class Proof {
 public:
  explicit Proof(std::span<const std::byte> constants) : constants_(constants) {}

  // Call it for every instruction in the order of the list, after check_instruction. Throws
  // InvalidProgram.
  void follow(const InstructionRecord& instruction);

 private:
  void prove(const InstructionRecord& conv);
  const std::vector<std::uint64_t>& sums_at(std::uint64_t offset, const WeightShape& shape);

  std::span<const std::byte> constants_;
  Resident resident_;
  // Tiles of one layer share their weights.
  std::map<std::pair<std::uint64_t, WeightShape>, std::vector<std::uint64_t>> sums_;
  std::uint64_t bytes_read_ = 0;
};

}  // namespace horizon
