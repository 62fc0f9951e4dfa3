// The code that poolings share: which places of the input a window reads.
#pragma once

#include "kernels/parts.h"

namespace horizon {
namespace {

// Places in memory, `step` bytes apart.
struct Taps {
  std::int64_t count, step;
};

// The part of begin .. end - 1 within 0 .. `side` - 1.
inline Range within(std::int64_t begin, std::int64_t end, std::int64_t side) {
  return {begin < 0 ? 0 : begin, end < side ? end : side};
}

// The rows inside the input of the windows of output row y; Args is a pooling's.
template <class Args>
Range rows_of(const Args& a, std::int64_t y) {
  const std::int64_t top = y * a.stride[0] - a.pad[0];
  return within(top, top + a.kernel[0], a.in.shape[1]);
}

template <class Args>
Taps down(const Args& a, const Range& rows) {
  return {rows.end - rows.begin, a.in.stride[1]};
}

}  // namespace
}  // namespace horizon
