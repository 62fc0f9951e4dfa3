#include "hbm/proof.h"

#include <cstdlib>

#include "hbm/check_operator.h"
#include "hbm/check_view.h"
#include "hbm/invalid_program.h"

namespace horizon {
namespace {

// How often a program may use the same constants for convolutions of different shapes, on average.
// A compiler has no reason to do so; a forged program could keep the loader busy for hours.
constexpr std::uint64_t kMostReadings = 64;

bool is_dense_row(const View& view) {
  return view.shape[0] == 1 && view.shape[1] == 1 && view.shape[2] == 1 &&
         view.stride[3] == static_cast<std::uint32_t>(size_of(view.type));
}

}  // namespace

void Proof::follow(const InstructionRecord& i) {
  if (i.opcode == Opcode::conv) prove(i);
  if (i.out.space != Space::sram) return;
  if (i.opcode == Opcode::load && i.a.space == Space::constant && is_dense_row(i.a) &&
      is_dense_row(i.out)) {
    resident_.remember(i.out.offset, end_of(i.out), i.a.offset);
  } else {
    resident_.forget(i.out.offset, end_of(i.out));
  }
}

void Proof::prove(const InstructionRecord& i) {
  std::uint64_t offset = i.weight.offset;
  if (i.weight.space == Space::sram) {
    const auto found = resident_.find(i.weight.offset, end_of(i.weight));
    if (!found) {
      refuse(text_of("weight: bytes of unknown value at sram ", i.weight.offset),
             "bytes that a load brought there from the constants, not written over since");
    }
    offset = *found;
  }
  const auto& sums = sums_at(offset, weight_shape(i));
  const std::uint64_t largest = largest_of(i.a.type);
  for (std::uint32_t o = 0; o < i.out.shape[3]; ++o) {
    const std::int64_t bias = channel_of(i, constants_, o).bias;
    // The sum has less than 40 bits: 2^16 taps times 2^16 inputs times 2^7.
    const std::uint64_t bound = sums[o] * largest + static_cast<std::uint64_t>(std::llabs(bias));
    if (bound >= kAccumulatorLimit) {
      refuse(text_of("channel ", o, ": an accumulator that can reach ", bound),
             text_of("less than ", kAccumulatorLimit));
    }
  }
}

const std::vector<std::uint64_t>& Proof::sums_at(std::uint64_t offset, const WeightShape& shape) {
  const auto key = std::pair(offset, shape);
  if (const auto known = sums_.find(key); known != sums_.end()) return known->second;
  const std::uint64_t bytes = packed_bytes(shape);
  bytes_read_ += bytes;
  if (bytes_read_ > kMostReadings * constants_.size()) {
    refuse("convolutions of many shapes over the same constants", "weights of their own");
  }
  const auto weights = constants_.subspan(offset, bytes);
  const auto* values = reinterpret_cast<const std::int8_t*>(weights.data());
  return sums_.emplace(key, weight_sums({values, weights.size()}, shape)).first->second;
}

}  // namespace horizon
