// Convolution whose sums stay in registers, tile by tile: the code that its instruction sets share.
//
// blocked weights: lanes are outputs; a tile is some pixels by 16 outputs.
// rows weights (few outputs): lanes are input channels, summed across at the end.
//
// Set, for one type of packed inputs and one or two slopes, has
//   Vector, kLanes              int32 lanes
//   kInputBytes                 of a packed input
//   kPixels                     pixels of a tile with blocked weights
//   row_pixels(outputs)         pixels of a tile with weights in rows
//   Scale, make_scale(channels) what requantises kLanes outputs
//   kUnused                     the channel of lanes beyond the last output
//   fits(scale)                 whether requantize handles it; otherwise elements.h does
//   all(value)                  the same number in each lane
//   load, store, requantize     of kLanes outputs, the last with or without a residual
//   pack<kBlocked>              pixels of the input, one after the other
//   multiply<P>                 adds `length` groups of 4 inputs of pixels that are `step` apart
//   multiply_rows<P, O>         adds the inputs of one tap
//   finish_rows<O>              sums across, requantises and stores one pixel
// A compiler keeps the sums in registers only where all loops over them are unrolled.
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include "kernels/conv_driver.h"
#include "kernels/elements.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

template <class Set, bool kBlocked>
struct Tiles {
  using Vector = typename Set::Vector;
  using Scale = typename Set::Scale;
  static constexpr std::int64_t kOutputs = 16, kLanes = Set::kLanes;
  const ConvArgs& a;
  Scale* scales;
  Vector lo, hi;
  std::int64_t channels;  // of a packed pixel

  static std::int64_t packed_channels(const ConvArgs& a) {
    return round_up(a.in.shape[3], kBlocked ? 4 : 16);
  }
  static std::int64_t pixel_bytes(const ConvArgs& a) {
    return Set::kInputBytes * packed_channels(a);
  }
  static std::int64_t scratch_bytes(const ConvArgs& a) {
    return round_up(a.out.shape[3], kOutputs) / kLanes * static_cast<std::int64_t>(sizeof(Scale));
  }

  Tiles(const ConvArgs& args, std::byte* scratch)
      : a(args),
        scales(reinterpret_cast<Scale*>(scratch)),
        lo(Set::all(args.lo)),
        hi(Set::all(args.hi)),
        channels(packed_channels(args)) {
    const std::int64_t outputs = a.out.shape[3];
    for (std::int64_t o = 0; o < outputs; o += kLanes) {
      Channel some[kLanes];
      for (std::int64_t i = 0; i < kLanes; ++i) {
        some[i] = o + i < outputs ? a.table[o + i] : Set::kUnused;
        if (a.residual.data == nullptr) some[i] = by_sign(some[i]);
      }
      scales[o / kLanes] = Set::make_scale(some);
    }
  }

  void pack(const std::byte* from, std::int64_t pixels, std::byte* to) const {
    Set::template pack<kBlocked>(a, channels, from, pixels, to);
  }
  void row(const Phase& phase, const ConvRow& row, std::int64_t first, std::int64_t last) const;
  void finish(Vector acc, std::int64_t o, std::byte* out, const std::byte* residual) const;
  void finish_element(std::int32_t acc, std::int64_t o, std::byte* out,
                      const std::byte* residual) const;
};

template <class Set, bool kBlocked>
void Tiles<Set, kBlocked>::finish_element(std::int32_t acc, std::int64_t o, std::byte* out,
                                          const std::byte* residual) const {
  std::int32_t second = 0;
  if (residual != nullptr) {
    second = read_element(residual + o * element_bytes(a.residual.type), a.residual.type);
  }
  write_element(
      out + o * element_bytes(a.out.type), a.out.type,
      requantize(static_cast<std::uint32_t>(acc), a.table[o], second, a.lo, a.hi, a.two_slopes));
}

// Outputs o .. o + kLanes - 1 of the pixel at `out`, as far as they exist.
template <class Set, bool kBlocked>
void Tiles<Set, kBlocked>::finish(Vector acc, std::int64_t o, std::byte* out,
                                  const std::byte* residual) const {
  const std::int64_t left = a.out.shape[3] - o, count = left < kLanes ? left : kLanes;
  if (count <= 0) return;
  const Scale& scale = scales[o / kLanes];
  if (!Set::fits(scale)) {
    std::int32_t values[kLanes];
    Set::store(reinterpret_cast<std::byte*>(values), Type::int32, acc, kLanes);
    for (std::int64_t i = 0; i < count; ++i) finish_element(values[i], o + i, out, residual);
    return;
  }
  Vector y;
  if (residual == nullptr) {
    y = Set::requantize(acc, scale, lo, hi);
  } else {
    const std::int64_t size = element_bytes(a.residual.type);
    const Vector second = Set::load(residual + o * size, a.residual.type, count);
    y = Set::requantize(acc, second, scale, lo, hi);
  }
  Set::store(out + o * element_bytes(a.out.type), a.out.type, y, count);
}

// Where the pixels of an output row lie.
struct OutputPixels {
  const ConvRow& row;
  std::int64_t out_step, residual_step;

  OutputPixels(const ConvArgs& a, const Phase& phase, const ConvRow& r)
      : row(r),
        out_step(a.out.stride[2] * phase.x.out_step),
        residual_step(a.residual.stride[2] * phase.x.out_step) {}
  std::byte* out(std::int64_t column) const { return row.out + column * out_step; }
  const std::byte* residual(std::int64_t column) const {
    return row.residual == nullptr ? nullptr : row.residual + column * residual_step;
  }
};

// Requantises and stores the sums of P pixels, each by V vectors of outputs.
template <class Set, int P, int V>
__attribute__((always_inline)) inline void finish_tile(const Tiles<Set, true>& c,
                                                       const typename Set::Vector (&acc)[P][V],
                                                       const Phase& phase, const ConvRow& row,
                                                       std::int64_t column, std::int64_t block) {
  const OutputPixels pixels(c.a, phase, row);
#pragma GCC unroll 6
  for (int p = 0; p < P; ++p) {
    std::byte* out = pixels.out(column + p);
    const std::byte* residual = pixels.residual(column + p);
#pragma GCC unroll 4
    for (int n = 0; n < V; ++n) {
      c.finish(acc[p][n], 16 * block + n * Set::kLanes, out, residual);
    }
  }
}

// P pixels from column `column` on, 16 outputs from 16 `block` on.
template <class Set, int P>
__attribute__((noinline)) void blocked_tile(const Tiles<Set, true>& c, const Phase& phase,
                                            const ConvRow& row, std::int64_t column,
                                            std::int64_t block) {
  constexpr int kVectors = 16 / Set::kLanes;
  const ConvArgs& a = c.a;
  const std::int64_t groups = c.channels / 4, pixel_bytes = Set::kInputBytes * c.channels;
  const std::int64_t step = phase.x.in_step * pixel_bytes;
  const std::int8_t* weights = a.weight + block * a.kernel[0] * a.kernel[1] * groups * 64;
  typename Set::Vector acc[P][kVectors];
#pragma GCC unroll 5
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) acc[p][n] = Set::all(0);
  }
  const Stretches stretches(a, phase, row, column, pixel_bytes, groups);
  for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
    for (std::int32_t kx = 0; kx < stretches.per_row; ++kx) {
      const std::int8_t* w = weights + stretches.tap(ky, kx) * groups * 64;
      Set::template multiply<P>(acc, w, stretches.input(ky, kx), step, stretches.length);
    }
  }
  finish_tile(c, acc, phase, row, column, block);
}

// Calls tile.operator()<P>() with the largest P that `count` pixels fill, at most kMost.
template <int kMost, class Tile>
void some_pixels(std::int64_t count, const Tile& tile) {
  if constexpr (kMost > 1) {
    if (count < kMost) return some_pixels<kMost - 1>(count, tile);
  }
  tile.template operator()<kMost>();
}

// Cuts a row of 16 outputs each from 16 `first` to 16 `last` into tiles of up to kMost pixels:
// calls tile.operator()<pixels>(column, block).
template <int kMost, class Tile>
void each_tile(const Phase& phase, std::int64_t first, std::int64_t last, const Tile& tile) {
  for (std::int64_t block = first; block < last; ++block) {
    for (std::int64_t column = 0; column < phase.x.count; column += kMost) {
      some_pixels<kMost>(phase.x.count - column,
                         [&]<int P>() { tile.template operator()<P>(column, block); });
    }
  }
}

// P pixels x O outputs for weights in rows.
template <class Set, int P, int O>
__attribute__((noinline)) void rows_tile(const Tiles<Set, false>& c, const Phase& phase,
                                         const ConvRow& row, std::int64_t column) {
  const ConvArgs& a = c.a;
  const std::int64_t pixel_bytes = Set::kInputBytes * c.channels;
  const std::int64_t step = phase.x.in_step * pixel_bytes;
  const std::int64_t weight_pixel = round_up(a.in.shape[3], 64);
  const std::int64_t output_bytes = std::int64_t{a.kernel[0]} * a.kernel[1] * weight_pixel;
  typename Set::Vector acc[P][O];
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o) acc[p][o] = Set::all(0);
  }
  const std::int64_t offset = (phase.x.in_first - phase.x.lowest()) * pixel_bytes + column * step;
  for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
    const std::int64_t kernel_row =
        std::int64_t{phase.y.kernel_first + ky * phase.y.kernel_step} * a.kernel[1];
    for (std::int32_t kx = 0; kx < phase.x.taps; ++kx) {
      const std::int64_t tap = kernel_row + phase.x.kernel_first + kx * phase.x.kernel_step;
      const std::byte* in =
          row.packed[ky] + offset + std::int64_t{kx} * phase.x.tap_step * pixel_bytes;
      Set::template multiply_rows<P, O>(acc, a.weight + tap * weight_pixel, output_bytes, in, step,
                                        c.channels);
    }
  }
  const OutputPixels pixels(a, phase, row);
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) {
    Set::template finish_rows<O>(c, acc[p], pixels.out(column + p), pixels.residual(column + p));
  }
}

template <class Set, int O>
void rows_row(const Tiles<Set, false>& c, const Phase& phase, const ConvRow& row) {
  constexpr int P = Set::row_pixels(O);
  std::int64_t column = 0;
  for (; column + P <= phase.x.count; column += P) rows_tile<Set, P, O>(c, phase, row, column);
  for (; column < phase.x.count; ++column) rows_tile<Set, 1, O>(c, phase, row, column);
}

template <class Set, bool kBlocked>
void Tiles<Set, kBlocked>::row(const Phase& phase, const ConvRow& row, std::int64_t first,
                               std::int64_t last) const {
  if constexpr (!kBlocked) {
    constexpr decltype(&rows_row<Set, 1>) kRows[] = {rows_row<Set, 1>, rows_row<Set, 2>,
                                                     rows_row<Set, 3>, rows_row<Set, 4>};
    kRows[a.out.shape[3] - 1](*this, phase, row);
  } else {
    each_tile<Set::kPixels>(phase, first, last,
                            [&]<int P>(std::int64_t column, std::int64_t block) {
                              blocked_tile<Set, P>(*this, phase, row, column, block);
                            });
  }
}

inline bool fits_tiles(const ConvArgs& a) {
  const bool rows = a.out.shape[3] <= 4 && a.in.type == Type::int8;
  return a.kernel[0] <= kMaxTaps && (a.weight_layout == WeightLayout::blocked || rows);
}

// The whole operator: Bytes is the set for int8 inputs, Words the one for int16, each for one and
// for two slopes. Calls visit.operator()<Tiles>().
template <template <bool> class Bytes, template <bool> class Words, class Visit>
auto with_tiles(const ConvArgs& a, Visit visit) {
  const auto of = [&]<bool kSlopes>() {
    if (a.weight_layout == WeightLayout::rows) {
      return visit.template operator()<Tiles<Bytes<kSlopes>, false>>();
    }
    return a.in.type == Type::int8 ? visit.template operator()<Tiles<Bytes<kSlopes>, true>>()
                                   : visit.template operator()<Tiles<Words<kSlopes>, true>>();
  };
  return a.two_slopes ? of.template operator()<true>() : of.template operator()<false>();
}

template <template <bool> class Bytes, template <bool> class Words>
std::size_t tiles_scratch(const ConvArgs& a) {
  if (!fits_tiles(a)) return scalar::conv_scratch(a);
  return with_tiles<Bytes, Words>(a, [&]<class T>() { return convolution_scratch<T>(a); });
}

template <template <bool> class Bytes, template <bool> class Words>
void convolve_tiles(const ConvArgs& a, const Part& part) {
  if (!fits_tiles(a)) return scalar::conv(a, part);
  with_tiles<Bytes, Words>(a, [&]<class T>() { convolve<T>(a, part); });
}

}  // namespace
}  // namespace horizon
