// The code that all fast correlations share: a tile of sums in registers, and packing of int8 rows.
//
// Set has
//   Vector, Inputs, Scale   sums; what is loaded; what requantises them
//   start(tile, row)        the first value of a row's sums
//   load(from)              a vector of a
//   Window(b).shifted(d)    the vector of b that begins d pixels further right
//   multiply(sums, b, a)    adds the products of one group of channels
//   finish<R, D>            requantises and stores the tile
// A compiler keeps the sums in registers only where all loops over them are unrolled.
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include "kernels/bytes.h"
#include "kernels/kernels.h"

namespace horizon {
namespace {

constexpr std::int64_t kBlock = 16;  // pixels whose results are collected before they are stored

// One tile: R rows of a from `a`, one row of b, D displacements.
struct CorrelationTile {
  const std::byte* a;
  const std::byte* b;
  std::int64_t a_row, a_step, b_step;  // bytes from row to row, from group to group
  std::int64_t groups;
  const std::int32_t* start;  // per pixel of a: the accumulators' first value
  std::int64_t start_row;     // elements
  std::byte* out;             // [displacement][kBlock], int8 or int32 elements
  std::int64_t out_row;       // bytes, may be negative
  bool narrow;                // int8
};

template <class Set, int R, int D>
__attribute__((noinline)) void correlation_tile(const typename Set::Scale& scale,
                                                const CorrelationTile& t) {
  typename Set::Vector acc[R][D];
#pragma GCC unroll 3
  for (int r = 0; r < R; ++r) {
    const typename Set::Vector start = Set::start(t, r);
#pragma GCC unroll 9
    for (int d = 0; d < D; ++d) acc[r][d] = start;
  }
  const std::byte* a = t.a;
  const std::byte* b = t.b;
  for (std::int64_t g = 0; g < t.groups; ++g, a += t.a_step, b += t.b_step) {
    const typename Set::Window window(b);
    typename Set::Inputs first[R];
#pragma GCC unroll 3
    for (int r = 0; r < R; ++r) first[r] = Set::load(a + r * t.a_row);
#pragma GCC unroll 9
    for (int d = 0; d < D; ++d) {
      const typename Set::Inputs second = window.shifted(d);
#pragma GCC unroll 3
      for (int r = 0; r < R; ++r) acc[r][d] = Set::multiply(acc[r][d], second, first[r]);
    }
  }
  Set::template finish<R, D>(scale, acc, t);
}

// Groups of four int8 channels.
struct CorrelationBytes {
  // Packs `pixels` pixels, each byte xor `flip`. Missing channels of the last group keep the value
  // that the buffer was filled with.
  template <int flip>
  static void pack(const Tensor& tensor, const std::byte* from, std::int64_t pixels, std::byte* to,
                   std::int64_t step) {
    const std::int64_t stride = tensor.stride[2], channels = tensor.shape[3];
    const std::int64_t square = pixels / 4 * 4;
    // The last 16 channels of whole groups overlap the previous ones.
    const std::int64_t vectors = channels < 16       ? 0
                                 : channels % 4 == 0 ? channels
                                                     : channels / 16 * 16;
    for (std::int64_t x = 0; x < square; x += 4) {
      for (std::int64_t at = 0; at < vectors; at += 16) {
        const std::int64_t c = at + 16 <= vectors ? at : vectors - 16;
        Words words[4];
        for (int i = 0; i < 4; ++i) {
          const Bytes bytes = load_bytes(from + (x + i) * stride + c) ^ std::uint8_t{flip};
          words[i] = reinterpret_cast<Words>(bytes);
        }
        transpose(words);
        for (int i = 0; i < 4; ++i) {
          store_bytes(to + (c / 4 + i) * step + x * 4, reinterpret_cast<Bytes>(words[i]));
        }
      }
    }
    for (std::int64_t x = 0; x < pixels; ++x) {
      for (std::int64_t c = x < square ? vectors : 0; c < channels; c += 4) {
        std::byte* place = to + c / 4 * step + x * 4;
        const std::int64_t count = channels - c < 4 ? channels - c : 4;
        for (std::int64_t i = 0; i < count; ++i) {
          place[i] = from[x * stride + c + i] ^ std::byte{flip};
        }
      }
    }
  }

  // Results [displacement][16 pixels] to pixels of `count` displacements each.
  static void store(const std::byte* result, std::int64_t count, std::byte* out,
                    std::int64_t stride, std::int64_t pixels) {
    store_transposed(result, count, out, stride, pixels);
  }
};

}  // namespace
}  // namespace horizon
