// The second operand of a matrix product: which element is multiplied with which.
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include "kernels/kernels.h"
#include "kernels/parts.h"

namespace horizon {
namespace {

// The pixels of an image of b.
inline std::int64_t pixels_of_b(const MatMulArgs& args) {
  return std::int64_t{args.b.shape[1]} * args.b.shape[2];
}

inline std::int64_t groups_of(const MatMulArgs& args) {
  return (args.transposed ? args.out.shape[3] : args.a.shape[3]) / pixels_of_b(args);
}

// Pixel j of an image of b.
inline const std::byte* pixel_of_b(const MatMulArgs& args, std::int64_t n, std::int64_t j) {
  return pixel(args.b, n, j / args.b.shape[2], j % args.b.shape[2]);
}

}  // namespace
}  // namespace horizon
