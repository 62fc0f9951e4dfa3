// The code that all convolution kernels share: which input rows and columns an output pixel reads,
// and which part of the output a thread computes.
//
// A convolution is one phase. A transposed convolution of stride (sy, sx) consists of sy * sx
// phases. Each is a convolution of stride 1 with the taps whose place has the phase's remainder.
// Along an axis, output pixel `out_first + j * out_step` of a phase reads input pixels `in_first +
// j * in_step + k * tap_step` through kernel places `kernel_first + k * kernel_step`.
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include "kernels/kernels.h"
#include "kernels/parts.h"

namespace horizon {
namespace {

struct Axis {
  std::int32_t count;  // output pixels of the phase
  std::int32_t out_first, out_step;
  std::int32_t in_first, in_step;
  std::int32_t taps, tap_step;
  std::int32_t kernel_first, kernel_step;

  // Input pixels from the first to the last that the phase touches; 0 without taps.
  std::int32_t span() const {
    if (taps == 0 || count == 0) return 0;
    const std::int32_t reach = (taps - 1) * (tap_step < 0 ? -tap_step : tap_step);
    return (count - 1) * in_step + reach + 1;
  }
  std::int32_t lowest() const { return in_first + (tap_step < 0 ? (taps - 1) * tap_step : 0); }
};

struct Phase {
  Axis y, x;
};

inline std::int32_t phase_count(const ConvArgs& a) {
  return a.transposed ? a.stride[0] * a.stride[1] : 1;
}

inline Axis make_axis(const ConvArgs& a, int axis, std::int32_t remainder) {
  const std::int32_t outputs = a.out.shape[1 + axis];
  const std::int32_t kernel = a.kernel[axis], stride = a.stride[axis], pad = a.pad[axis];
  if (!a.transposed) {
    return {outputs, 0, 1, -pad, stride, kernel, a.dilation[axis], 0, 1};
  }
  // Output o reads kernel places k with (o + pad - k) divisible by the stride.
  std::int32_t first = (remainder - pad) % stride;
  if (first < 0) first += stride;
  const std::int32_t count = first < outputs ? (outputs - first + stride - 1) / stride : 0;
  const std::int32_t taps = remainder < kernel ? (kernel - remainder + stride - 1) / stride : 0;
  return {count, first, stride, (first + pad - remainder) / stride, 1, taps, -1, remainder, stride};
}

inline Phase make_phase(const ConvArgs& a, std::int32_t index) {
  const std::int32_t columns = a.transposed ? a.stride[1] : 1;
  return {make_axis(a, 0, index / columns), make_axis(a, 1, index % columns)};
}

inline std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// A cache of packed input rows by row number. An output row asks for each of its input rows in
// turn. The rows that it has asked for stay until it has all of them.
template <int kMaxTaps>
struct RowCache {
  std::int32_t row[kMaxTaps];
  std::int32_t slots;

  void clear(std::int32_t count) {
    slots = count;
    for (std::int32_t i = 0; i < slots; ++i) row[i] = INT32_MIN;
  }
  // The slot of `wanted`; `fresh` says that it must be filled. Rows first, first + step, ... are
  // those of the current output row.
  std::int32_t find(std::int32_t wanted, std::int32_t first, std::int32_t step, bool& fresh) {
    fresh = false;
    for (std::int32_t i = 0; i < slots; ++i) {
      if (row[i] == wanted) return i;
    }
    fresh = true;
    for (std::int32_t i = 0; i < slots; ++i) {
      bool needed = false;
      for (std::int32_t k = 0; k < slots; ++k) needed |= row[i] == first + k * step;
      if (!needed) {
        row[i] = wanted;
        return i;
      }
    }
    return 0;  // not reached: there are as many slots as taps
  }
};

}  // namespace
}  // namespace horizon
