// Convolution of int16 with one or two input channels and at most four outputs, for example to
// enlarge a flow. The lanes are neighbouring output pixels, which share their weights.
//
// Set has Vector, kLanes, Scale, all and requantize as in conv_tiles.h, and
//   fits(channel)                    whether requantize handles it
//   make_scale(same)                 of kLanes times one channel
//   store(to, values)                kLanes int32 to aligned memory
//   add_products(acc, pixels, pair)  adds the products of pixels of two int16 and a pair of weights
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include "kernels/conv_driver.h"
#include "kernels/elements.h"

namespace horizon {
namespace {

constexpr int kMostColumnOutputs = 4;

template <class Set>
struct Columns {
  using Vector = typename Set::Vector;
  static constexpr std::int64_t kOutputs = kMostColumnOutputs, kLanes = Set::kLanes;
  const ConvArgs& a;
  std::int32_t* pairs;  // of weights, per tap and output
  typename Set::Scale scales[kMostColumnOutputs];
  Vector lo, hi;

  static bool fits(const ConvArgs& a) {
    if (a.weight_layout == WeightLayout::depthwise) return false;
    if (a.in.type != Type::int16 || a.in.shape[3] > 2 || a.out.shape[3] > kMostColumnOutputs ||
        (!a.transposed && a.stride[1] != 1) || a.kernel[0] > kMaxTaps ||
        a.residual.data != nullptr || a.two_slopes) {
      return false;
    }
    for (std::int32_t o = 0; o < a.out.shape[3]; ++o) {
      if (!Set::fits(a.table[o])) return false;
    }
    return true;
  }
  static std::int64_t pixel_bytes(const ConvArgs&) { return 4; }
  static std::int64_t scratch_bytes(const ConvArgs& a) {
    return std::int64_t{a.kernel[0]} * a.kernel[1] * a.out.shape[3] * 4;
  }

  Columns(const ConvArgs& args, std::byte* scratch)
      : a(args),
        pairs(reinterpret_cast<std::int32_t*>(scratch)),
        lo(Set::all(args.lo)),
        hi(Set::all(args.hi)) {
    const std::int64_t taps = std::int64_t{a.kernel[0]} * a.kernel[1], outputs = a.out.shape[3];
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t o = 0; o < outputs; ++o) {
        const std::int8_t* weight = a.weight + tap * 64 + o * 4;  // 16 outputs of 4 inputs
        pairs[tap * outputs + o] = static_cast<std::int32_t>(
            static_cast<std::uint32_t>(weight[1]) << 16 | static_cast<std::uint16_t>(weight[0]));
      }
    }
    for (std::int64_t o = 0; o < outputs; ++o) {
      Channel same[kLanes];
      for (Channel& channel : same) channel = a.table[o];
      scales[o] = Set::make_scale(same);
    }
  }

  void pack(const std::byte* from, std::int64_t pixels, std::byte* to) const {
    const std::size_t bytes = 2 * static_cast<std::size_t>(a.in.shape[3]);
    if (bytes == 4 && a.in.stride[2] == 4) {
      __builtin_memcpy(to, from, static_cast<std::size_t>(4 * pixels));
      return;
    }
    for (std::int64_t x = 0; x < pixels; ++x, from += a.in.stride[2], to += 4) {
      std::int16_t pair[2] = {0, 0};
      __builtin_memcpy(pair, from, bytes);
      __builtin_memcpy(to, pair, 4);
    }
  }

  void row(const Phase& phase, const ConvRow& row, std::int64_t, std::int64_t) const {
    switch (a.out.shape[3]) {
      case 1:
        return row_of<1>(phase, row);
      case 2:
        return row_of<2>(phase, row);
      case 3:
        return row_of<3>(phase, row);
      default:
        return row_of<4>(phase, row);
    }
  }

 private:
  template <int O>
  void row_of(const Phase& phase, const ConvRow& row) const {
    const std::int64_t count = phase.x.count, step = a.out.stride[2] * phase.x.out_step;
    const std::int64_t element = element_bytes(a.out.type);
    for (std::int64_t column = 0; column < count; column += kLanes) {
      Vector acc[O];
#pragma GCC unroll 4
      for (int o = 0; o < O; ++o) acc[o] = Set::all(0);
      const Stretches stretches(a, phase, row, column, 4, 1);
      for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
        for (std::int32_t kx = 0; kx < phase.x.taps; ++kx) {
          const std::int32_t* w = pairs + stretches.tap(ky, kx) * O;
          const std::byte* pixels = stretches.input(ky, kx);
#pragma GCC unroll 4
          for (int o = 0; o < O; ++o) acc[o] = Set::add_products(acc[o], pixels, w[o]);
        }
      }
      const std::int64_t left = count - column, pixels = left < kLanes ? left : kLanes;
      alignas(64) std::int32_t values[O][kLanes];
#pragma GCC unroll 4
      for (int o = 0; o < O; ++o) {
        Set::store(values[o], Set::requantize(acc[o], scales[o], lo, hi));
      }
      std::byte* to = row.out + column * step;
      for (std::int64_t x = 0; x < pixels; ++x, to += step) {
        for (int o = 0; o < O; ++o) write_element(to + o * element, a.out.type, values[o][x]);
      }
    }
  }
};

}  // namespace
}  // namespace horizon
