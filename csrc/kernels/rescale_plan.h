// What rescale and add share, for all instruction sets: vectors of elements.
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

inline bool all_joined(const Tensor& out, const Tensor& a, const Tensor& b) {
  return pixels_joined(out) && pixels_joined(a) && pixels_joined(b);
}

// Calls step(ratios, out, a, b, lanes) for vectors of up to kLanes elements.
//
// Where one ratio, `same`, serves all channels and no operand has gaps between its pixels, vectors
// run through whole rows. Else they are of the channels of one pixel; with a table, make(channels,
// lanes) is called once for all pixels of a row.
template <std::int64_t kLanes, class Ratios, class Make, class Step>
void for_each_vector(const Tensor& out, const Tensor& a, const Tensor& b, const Ratios& same,
                     const Channel* table, const Part& part, Make make, Step step) {
  const std::int64_t out_bytes = element_bytes(out.type);
  const std::int64_t a_bytes = element_bytes(a.type), b_bytes = element_bytes(b.type);
  for_each_run(out, part, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
    std::byte* to = pixel(out, n, y, x);
    const std::byte* first = pixel(a, n, y, x);
    const std::byte* second = pixel(b, n, y, x);
    const std::int64_t channels = out.shape[3];
    if (table == nullptr && all_joined(out, a, b)) {
      const std::int64_t elements = (end - x) * channels, whole = elements / kLanes * kLanes;
      for (std::int64_t i = 0; i < whole; i += kLanes) {
        step(same, to + i * out_bytes, first + i * a_bytes, second + i * b_bytes, kLanes);
      }
      if (whole < elements) {
        step(same, to + whole * out_bytes, first + whole * a_bytes, second + whole * b_bytes,
             elements - whole);
      }
      return;
    }
    for (std::int64_t c = 0; c < channels; c += kLanes) {
      const std::int64_t lanes = channels - c < kLanes ? channels - c : kLanes;
      const Ratios ratios = table == nullptr ? same : make(table + c, lanes);
      for (std::int64_t k = 0; k < end - x; ++k) {
        step(ratios, to + k * out.stride[2] + c * out_bytes, first + k * a.stride[2] + c * a_bytes,
             second + k * b.stride[2] + c * b_bytes, lanes);
      }
    }
  });
}

}  // namespace
}  // namespace horizon
