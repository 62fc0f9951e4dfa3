// What rescale and add share, for all instruction sets: runs of elements that lie together.
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include "kernels/elements.h"
#include "kernels/parts.h"

namespace horizon {
namespace {

inline std::int64_t element_bytes(Type type) {
  return type == Type::int32 ? 4 : type == Type::int16 ? 2 : 1;
}

inline bool pixels_joined(const Tensor& tensor) {
  return tensor.stride[2] == tensor.shape[3] * element_bytes(tensor.type);
}

// Calls run(out, a, b, count) for stretches of elements: of whole rows where one ratio serves all
// channels and no operand has gaps between its pixels, else of the channels of one pixel.
template <class Run>
void for_each_stretch(const Tensor& out, const Tensor& a, const Tensor& b, bool same_ratio,
                      const Part& part, Run run) {
  const bool whole = same_ratio && pixels_joined(out) && pixels_joined(a) && pixels_joined(b);
  for_each_run(out, part, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
    const std::int64_t pixels = whole ? end - x : 1;
    for (; x < end; x += pixels) {
      run(pixel(out, n, y, x), pixel(a, n, y, x), pixel(b, n, y, x), pixels * out.shape[3]);
    }
  });
}

}  // namespace
}  // namespace horizon
