// Convolution by a matrix unit (matrix_unit.h), int8 inputs and blocked weights.
//
// A step multiplies up to 32 pixels by 32 outputs. The rows of an input tile are neighbouring
// pixels of a packed row, up to 64 bytes of each. A tile of weights is 16 vectors of blocked
// weights, as they lie in the file. Unless the convolution is dilated or transposed, all taps of a
// kernel row are one run of bytes, so that few channels fill a tile too. While a step's products
// run, the finished sums of the previous step are requantised.
//
// Finish(args, scratch) requantises and stores:
//   scratch_bytes(args)
//   pixel(sums, block, count, out, residual)   outputs of `count` blocks of 16, from `block` on
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include "kernels/conv_driver.h"

namespace horizon {
namespace {

template <class Unit, class Finish>
class MatrixConvolution {
 public:
  static constexpr std::int64_t kOutputs = 32;

  static std::int64_t pixel_bytes(const ConvArgs& a) { return round_up(a.in.shape[3], 4); }
  static std::int64_t scratch_bytes(const ConvArgs& a) {
    return round_up(Finish::scratch_bytes(a), 64) + tails_bytes(a) + 2 * kSumsBytes;
  }

  MatrixConvolution(const ConvArgs& args, std::byte* scratch)
      : a_(args),
        finish_(args, scratch),
        tails_(scratch + round_up(Finish::scratch_bytes(args), 64)),
        sums_(reinterpret_cast<std::int32_t*>(tails_ + tails_bytes(args))) {
    copy_tails();
  }

  // Copies pixels of the input; channels are padded with 0 to a multiple of four.
  void pack(const std::byte* from, std::int64_t pixels, std::byte* to) const;
  void row(const Phase& phase, const ConvRow& row, std::int64_t first, std::int64_t last);
  // Requantises the sums that are left, and releases the unit.
  void flush() {
    finish_pixels(kAll);
    if (rows_ != 0) unit_.release();
  }

 private:
  static constexpr std::int64_t kBlock = 16;  // outputs of a tile, and pixels at most
  static constexpr std::int64_t kTileBytes = 1024;
  static constexpr std::int64_t kSumsBytes = 2 * kBlock * kOutputs * 4;  // of a step
  static constexpr std::int64_t kAll = INT64_MAX;

  // The sums of a step that are not requantised yet. The second tile may begin with pixels that the
  // first tile has too, because the width of an output row need not be a multiple of a tile.
  struct Pending {
    const std::int32_t* sums;
    std::int64_t tiles, tile, pixel;  // the next one
    std::int64_t first[2], skipped[2];
    std::int64_t block, blocks;
    std::byte* out;
    const std::byte* residual;
    std::int64_t out_step, residual_step;
    std::int64_t left;
  };

  static bool joined(const ConvArgs& a) { return !a.transposed && a.dilation[1] == 1; }
  // Vectors of weights whose inputs follow each other.
  static std::int64_t run_length(const ConvArgs& a) {
    return pixel_bytes(a) / 4 * (joined(a) ? a.kernel[1] : 1);
  }
  static std::int64_t runs(const ConvArgs& a) {  // of a block of outputs
    return std::int64_t{a.kernel[0]} * (joined(a) ? 1 : a.kernel[1]);
  }
  static std::int64_t blocks(const ConvArgs& a) { return (a.out.shape[3] + kBlock - 1) / kBlock; }
  // If a run's last vectors do not fill a tile, they are copied and extended by zeros.
  static bool has_tails(const ConvArgs& a) {
    return run_length(a) > kBlock && run_length(a) % kBlock != 0;
  }
  static std::int64_t tails_bytes(const ConvArgs& a) {
    return has_tails(a) ? blocks(a) * runs(a) * kTileBytes : 0;
  }
  void copy_tails();
  void configure(std::int64_t rows);
  template <int P, int N>
  void step(const Stretches& stretches, const Phase& phase, std::int64_t stride,
            std::int64_t second, std::int64_t block, Pending next);
  void finish_pixels(std::int64_t count);

  const ConvArgs& a_;
  Finish finish_;
  Unit unit_;
  std::byte* tails_;
  std::int32_t* sums_;  // of two steps in turn
  int turn_ = 0;
  std::int64_t rows_ = 0;  // of the tiles as they are configured
  Pending pending_ = {};
};

template <class Unit, class Finish>
void MatrixConvolution<Unit, Finish>::pack(const std::byte* from, std::int64_t pixels,
                                           std::byte* to) const {
  const std::int64_t channels = a_.in.shape[3], bytes = pixel_bytes(a_), stride = a_.in.stride[2];
  if (stride == channels && channels == bytes) {
    __builtin_memcpy(to, from, static_cast<std::size_t>(pixels * bytes));
    return;
  }
  for (std::int64_t i = 0; i < pixels; ++i, from += stride, to += bytes) {
    __builtin_memset(to + bytes - 4, 0, 4);
    __builtin_memcpy(to, from, static_cast<std::size_t>(channels));
  }
}

template <class Unit, class Finish>
void MatrixConvolution<Unit, Finish>::copy_tails() {
  if (!has_tails(a_)) return;
  const std::int64_t length = run_length(a_), whole = length / kBlock * kBlock;
  const auto* from = reinterpret_cast<const std::byte*>(a_.weight) + whole * 64;
  const std::int64_t bytes = (length - whole) * 64, count = blocks(a_) * runs(a_);
  for (std::int64_t i = 0; i < count; ++i) {
    __builtin_memcpy(tails_ + i * kTileBytes, from + i * length * 64,
                     static_cast<std::size_t>(bytes));
    __builtin_memset(tails_ + i * kTileBytes + bytes, 0,
                     static_cast<std::size_t>(kTileBytes - bytes));
  }
}

template <class Unit, class Finish>
void MatrixConvolution<Unit, Finish>::configure(std::int64_t rows) {
  if (rows == rows_) return;
  finish_pixels(kAll);
  const std::int64_t length = run_length(a_);
  unit_.configure(static_cast<std::int32_t>(rows),
                  static_cast<std::int32_t>(4 * (length < kBlock ? length : kBlock)));
  rows_ = rows;
}

template <class Unit, class Finish>
void MatrixConvolution<Unit, Finish>::row(const Phase& phase, const ConvRow& row,
                                          std::int64_t first, std::int64_t last) {
  // Tiles of equal height instead of a lower last one: a product takes as many cycles as rows.
  const std::int64_t columns = phase.x.count, tiles = (columns + kBlock - 1) / kBlock;
  const std::int64_t rows = (columns + tiles - 1) / tiles;
  configure(rows);
  const std::int64_t pixel = pixel_bytes(a_), stride = phase.x.in_step * pixel;
  const std::int64_t until = 2 * last < blocks(a_) ? 2 * last : blocks(a_);
  Pending next{};
  next.out = row.out;
  next.residual = row.residual;
  next.out_step = a_.out.stride[2] * phase.x.out_step;
  next.residual_step = a_.residual.stride[2] * phase.x.out_step;
  for (std::int64_t block = 2 * first; block < until; block += 2) {
    next.block = block;
    next.blocks = until - block < 2 ? 1 : 2;
    for (std::int64_t tile = 0; tile < tiles; tile += 2) {
      next.tiles = tiles - tile < 2 ? 1 : 2;
      next.left = 0;
      for (std::int64_t i = 0; i < next.tiles; ++i) {
        const std::int64_t wanted = (tile + i) * rows, most = columns - rows;
        next.first[i] = wanted < most ? wanted : most;
        next.skipped[i] = wanted - next.first[i];
        next.left += rows - next.skipped[i];
      }
      next.pixel = next.skipped[0];
      const Stretches stretches(a_, phase, row, next.first[0], pixel, pixel / 4);
      const std::int64_t second = (next.first[1] - next.first[0]) * stride;
      const auto run = [&]<int P, int N>() {
        step<P, N>(stretches, phase, stride, second, block, next);
      };
      if (next.tiles == 2) {
        next.blocks == 2 ? run.template operator()<2, 2>() : run.template operator()<2, 1>();
      } else {
        next.blocks == 2 ? run.template operator()<1, 2>() : run.template operator()<1, 1>();
      }
    }
  }
}

// Multiplies P tiles of pixels by N blocks of outputs, and requantises the previous step meanwhile.
template <class Unit, class Finish>
template <int P, int N>
void MatrixConvolution<Unit, Finish>::step(const Stretches& stretches, const Phase& phase,
                                           std::int64_t stride, std::int64_t second,
                                           std::int64_t block, Pending next) {
  Unit& unit = unit_;
  const std::int64_t length = run_length(a_), whole = length < kBlock ? 1 : length / kBlock;
  const bool tail = has_tails(a_);
  const std::int64_t block_bytes = runs(a_) * length * 64, tail_block = runs(a_) * kTileBytes;
  const auto* weights = reinterpret_cast<const std::byte*>(a_.weight) + block * block_bytes;
  const std::byte* tails = tails_ + block * tail_block;
  const std::int64_t products = phase.y.taps * std::int64_t{stretches.per_row} * (whole + tail);
  const std::int64_t at_once = products == 0 ? 0 : (pending_.left + products - 1) / products;

  unit.template zero<0>();
  if constexpr (N == 2) unit.template zero<1>();
  if constexpr (P == 2) unit.template zero<2>();
  if constexpr (P == 2 && N == 2) unit.template zero<3>();
  const auto multiply = [&](const std::byte* in, const std::byte* w, std::int64_t other) {
    unit.template load<4>(in, stride);
    unit.template load<6>(w, 64);
    unit.template multiply<0, 4, 6>();
    if constexpr (N == 2) {
      unit.template load<7>(w + other, 64);
      unit.template multiply<1, 4, 7>();
    }
    if constexpr (P == 2) {
      unit.template load<5>(in + second, stride);
      unit.template multiply<2, 5, 6>();
      if constexpr (N == 2) unit.template multiply<3, 5, 7>();
    }
    finish_pixels(at_once);
  };
  for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
    for (std::int32_t kx = 0; kx < stretches.per_row; ++kx) {
      const std::byte* in = stretches.input(ky, kx);
      const std::int64_t tap = stretches.tap(ky, kx);
      const std::int64_t run = joined(a_) ? tap / a_.kernel[1] : tap;
      const std::byte* w = weights + run * length * 64;
      for (std::int64_t k = 0; k < whole; ++k) {
        multiply(in + k * 64, w + k * kTileBytes, block_bytes);
      }
      if (tail) multiply(in + whole * 64, tails + run * kTileBytes, tail_block);
    }
  }
  finish_pixels(kAll);

  std::int32_t* sums = sums_ + turn_ * (kSumsBytes / 4);
  turn_ ^= 1;
  constexpr std::int64_t kRow = kOutputs * 4;
  unit.template store<0>(sums, kRow);
  if constexpr (N == 2) unit.template store<1>(sums + kBlock, kRow);
  if constexpr (P == 2) unit.template store<2>(sums + kBlock * kOutputs, kRow);
  if constexpr (P == 2 && N == 2) unit.template store<3>(sums + kBlock * kOutputs + kBlock, kRow);
  pending_ = next;
  pending_.sums = sums;
}

// Requantises the next `count` pixels of the previous step.
template <class Unit, class Finish>
void MatrixConvolution<Unit, Finish>::finish_pixels(std::int64_t count) {
  Pending& p = pending_;
  for (; count > 0 && p.left > 0; --count, --p.left) {
    if (p.pixel == rows_) p.pixel = p.skipped[++p.tile];
    const std::int64_t column = p.first[p.tile] + p.pixel;
    finish_.pixel(p.sums + (p.tile * kBlock + p.pixel) * kOutputs, p.block, p.blocks,
                  p.out + column * p.out_step,
                  p.residual == nullptr ? nullptr : p.residual + column * p.residual_step);
    ++p.pixel;
  }
}

inline bool fits_matrix(const ConvArgs& a) {
  return a.in.type == Type::int8 && a.weight_layout == WeightLayout::blocked &&
         a.kernel[0] <= kMaxTaps;
}

}  // namespace
}  // namespace horizon
