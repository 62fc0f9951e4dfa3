// How an instruction's work is divided, and how an NHWC box is walked.
//
// Everything is static: each source file keeps its own copy, compiled for its own instruction set.
#pragma once

#include "kernels/kernels.h"

namespace horizon {

struct Range {
  std::int64_t begin, end;
};

// The consecutive items, out of 0..items-1, that belong to `part`.
static inline Range share(std::int64_t items, const Part& part) {
  return {items * part.index / part.count, items * (part.index + 1) / part.count};
}

static inline std::int64_t pixels_of(const Tensor& tensor) {
  return std::int64_t{tensor.shape[0]} * tensor.shape[1] * tensor.shape[2];
}

static inline std::byte* pixel(const Tensor& tensor, std::int64_t n, std::int64_t y,
                               std::int64_t x) {
  return tensor.data + n * tensor.stride[0] + y * tensor.stride[1] + x * tensor.stride[2];
}

// The same elements with the stride 0 along sides of 1. They can then be read at every place of a
// larger box.
static inline Tensor spread(Tensor tensor) {
  for (int axis = 0; axis < 4; ++axis) {
    if (tensor.shape[axis] == 1) tensor.stride[axis] = 0;
  }
  return tensor;
}

// Calls visit(n, y, x_begin, x_end) for each piece of a row among the pixels that belong to `part`.
template <class Visit>
static inline void for_each_run(const Tensor& tensor, const Part& part, Visit visit) {
  const std::int64_t width = tensor.shape[2];
  const Range range = share(pixels_of(tensor), part);
  for (std::int64_t at = range.begin; at < range.end;) {
    const std::int64_t row = at / width, x = at % width;
    const std::int64_t left = range.end - at, in_row = width - x;
    const std::int64_t count = left < in_row ? left : in_row;
    visit(row / tensor.shape[1], row % tensor.shape[1], x, x + count);
    at += count;
  }
}

}  // namespace horizon
