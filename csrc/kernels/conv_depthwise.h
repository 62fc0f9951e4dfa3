// Depthwise convolution: the code that its instruction sets share. The sums of 16 channels of a
// pixel stay in registers. Inputs of both types are packed as int16, and the products of two taps
// are added at once.
//
// Set is one of conv_tiles.h and has in addition
//   pack_channels(from, to)          16 int16 in the order in which multiply_pair takes them
//   pack_pair(first, second, to)     weights of two taps, 16 int16 each, to 32
//   multiply_pair(acc, a, b, w)      adds the products of two taps, of packed inputs and weights
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include "kernels/conv_tiles.h"

namespace horizon {
namespace {

template <class Set>
struct DepthwiseTiles : Tiles<Set, true> {
  using Base = Tiles<Set, true>;
  static constexpr std::int64_t kBlock = 64;  // channels of weights that lie together
  std::int16_t* weights;                      // [blocks of 16][pairs of taps][32]

  static std::int64_t padded(const ConvArgs& a) { return round_up(a.in.shape[3], 16); }
  static std::int64_t taps(const ConvArgs& a) { return std::int64_t{a.kernel[0]} * a.kernel[1]; }
  static std::int64_t pairs(const ConvArgs& a) { return (taps(a) + 1) / 2; }
  static std::int64_t pixel_bytes(const ConvArgs& a) { return 2 * padded(a); }
  static std::int64_t scales_bytes(const ConvArgs& a) {
    return round_up(Base::scratch_bytes(a), 64);
  }
  static std::int64_t scratch_bytes(const ConvArgs& a) {
    return scales_bytes(a) + padded(a) * pairs(a) * 4;
  }

  DepthwiseTiles(const ConvArgs& args, std::byte* scratch)
      : Base(args, scratch),
        weights(reinterpret_cast<std::int16_t*>(scratch + scales_bytes(args))) {
    std::int16_t* to = weights;
    for (std::int64_t o = 0; o < padded(args); o += 16) {
      for (std::int64_t tap = 0; tap < 2 * pairs(args); tap += 2, to += 32) {
        std::int16_t first[16], second[16] = {};
        widen(o, tap, first);
        if (tap + 1 < taps(args)) widen(o, tap + 1, second);
        Set::pack_pair(first, second, to);
      }
    }
  }

  void widen(std::int64_t o, std::int64_t tap, std::int16_t (&to)[16]) const {
    const std::int8_t* from =
        this->a.weight + (o / kBlock * taps(this->a) + tap) * kBlock + o % kBlock;
    for (int i = 0; i < 16; ++i) to[i] = from[i];
  }

  void pack(const std::byte* from, std::int64_t pixels, std::byte* to) const {
    const std::int64_t channels = this->a.in.shape[3];
    const bool bytes = this->a.in.type == Type::int8;
    for (std::int64_t x = 0; x < pixels; ++x, from += this->a.in.stride[2]) {
      for (std::int64_t c = 0; c < channels; c += 16, to += 32) {
        const std::int64_t left = channels - c, count = left < 16 ? left : 16;
        std::int16_t words[16];
        if (bytes) {
          std::int8_t values[16] = {};
          __builtin_memcpy(values, from + c, static_cast<std::size_t>(count));
          for (int i = 0; i < 16; ++i) words[i] = values[i];
        } else {
          for (std::int16_t& word : words) word = 0;
          __builtin_memcpy(words, from + 2 * c, static_cast<std::size_t>(2 * count));
        }
        Set::pack_channels(words, reinterpret_cast<std::int16_t*>(to));
      }
    }
  }

  void row(const Phase& phase, const ConvRow& row, std::int64_t first, std::int64_t last) const {
    constexpr int kVectors = 16 / Set::kLanes;
    const ConvArgs& args = this->a;
    const std::int64_t step = phase.x.in_step * pixel_bytes(args);
    const std::int64_t tap_step = phase.x.tap_step * pixel_bytes(args);
    const OutputPixels pixels(args, phase, row);
    for (std::int64_t block = first; block < last; ++block) {
      for (std::int64_t column = 0; column < phase.x.count; ++column) {
        typename Set::Vector acc[kVectors];
#pragma GCC unroll 4
        for (int n = 0; n < kVectors; ++n) acc[n] = Set::all(0);
        const std::int16_t* w = weights + block * pairs(args) * 32;
        const std::byte* waiting = nullptr;  // the first tap of a pair
        for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
          const std::byte* in = row.packed[ky] + block * 32 + column * step;
          for (std::int32_t kx = 0; kx < phase.x.taps; ++kx, in += tap_step) {
            if (waiting == nullptr) {
              waiting = in;
              continue;
            }
            multiply(acc, waiting, in, w);
            waiting = nullptr;
            w += 32;
          }
        }
        if (waiting != nullptr) multiply(acc, waiting, waiting, w);
        std::byte* out = pixels.out(column);
        const std::byte* residual = pixels.residual(column);
#pragma GCC unroll 4
        for (int n = 0; n < kVectors; ++n) {
          this->finish(acc[n], 16 * block + n * Set::kLanes, out, residual);
        }
      }
    }
  }

  template <class Sums>
  static void multiply(Sums& acc, const std::byte* a, const std::byte* b, const std::int16_t* w) {
    Set::multiply_pair(acc, reinterpret_cast<const std::int16_t*>(a),
                       reinterpret_cast<const std::int16_t*>(b), w);
  }
};

inline bool fits_depthwise(const ConvArgs& a) {
  return a.weight_layout == WeightLayout::depthwise && a.kernel[0] <= kMaxTaps;
}

// The whole operator, for one and for two slopes.
template <template <bool> class Words>
std::size_t depthwise_scratch(const ConvArgs& a) {
  return a.two_slopes ? convolution_scratch<DepthwiseTiles<Words<true>>>(a)
                      : convolution_scratch<DepthwiseTiles<Words<false>>>(a);
}

template <template <bool> class Words>
void convolve_depthwise(const ConvArgs& a, const Part& part) {
  a.two_slopes ? convolve<DepthwiseTiles<Words<true>>>(a, part)
               : convolve<DepthwiseTiles<Words<false>>>(a, part);
}

}  // namespace
}  // namespace horizon
