// Requantisation to int8 where every ratio is below 2 (shift s >= 23), as in most layers; copies
// have a ratio of 1.
//
// 2^(s-1) is then a multiple of 2^22, and half may be added after the products have been divided by
// 2^22: floor((p + 2^(s-1)) 2^-s) = floor((floor(p 2^-22) + 2^(s-23)) 2^-(s-22)). The quotient is
// the upper half of the 64-bit product of the sum times 8 and M 2^7; with a residual, of the sum of
// two such products. A sum is below 2^28, so that 8 times it fits int32; with M below 2^24, the
// quotient has less than 31 bits. Packing saturates, and the limits of the output are applied to
// bytes.
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include "kernels/kernels.h"

namespace horizon {
namespace {

constexpr std::int32_t kSmallestLeanShift = 23;

inline bool fits_lean(const ConvArgs& a) {
  if (a.out.type != Type::int8 || (a.two_slopes && a.residual.data != nullptr)) return false;
  for (std::int32_t o = 0; o < a.out.shape[3]; ++o) {
    const Channel& c = a.table[o];
    constexpr std::int32_t kLimit = 1 << 24;
    if (c.shift < kSmallestLeanShift || c.multiplier >= kLimit || c.residual_multiplier >= kLimit) {
      return false;
    }
    if (a.two_slopes && c.negative_multiplier >= kLimit) return false;
  }
  return true;
}

}  // namespace
}  // namespace horizon
