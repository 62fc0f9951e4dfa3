// Convolution with NEON, int8 inputs with the dot product extension, int16 inputs without.
//
// blocked weights: lanes are outputs; 4 pixels by 16 outputs stay in registers. A dot product
//   multiplies 4 inputs of 4 outputs with the same 4 inputs of a pixel, a lane of 16 bytes.
// rows weights (few outputs): lanes are input channels, summed across at the end.
#if defined(__aarch64__)

#include "kernels/conv_driver.h"
#include "kernels/neon.h"
#include "kernels/requantize_neon.h"
#include "kernels/scalar.h"

namespace horizon {
namespace {

constexpr int kPixels = 4;

int8x16_t load(const std::byte* from) {
  return vld1q_s8(reinterpret_cast<const std::int8_t*>(from));
}

struct Neon {
  static constexpr std::int64_t kOutputs = 16;
  const ConvArgs& a;
  Scale4* scales;
  int32x4_t lo, hi;
  bool blocked;
  std::int64_t element;   // bytes
  std::int64_t channels;  // of a packed pixel

  static bool is_blocked(const ConvArgs& a) { return a.weight_layout == WeightLayout::blocked; }
  static std::int64_t input_bytes(const ConvArgs& a) { return a.in.type == Type::int8 ? 1 : 2; }
  static std::int64_t packed_channels(const ConvArgs& a) {
    return round_up(a.in.shape[3], is_blocked(a) ? 4 : 16);
  }
  static std::int64_t pixel_bytes(const ConvArgs& a) { return input_bytes(a) * packed_channels(a); }
  static std::int64_t scratch_bytes(const ConvArgs& a) {
    return round_up(a.out.shape[3], kOutputs) / 4 * static_cast<std::int64_t>(sizeof(Scale4));
  }

  Neon(const ConvArgs& args, std::byte* scratch)
      : a(args),
        scales(reinterpret_cast<Scale4*>(scratch)),
        lo(vdupq_n_s32(args.lo)),
        hi(vdupq_n_s32(args.hi)),
        blocked(is_blocked(args)),
        element(input_bytes(args)),
        channels(packed_channels(args)) {
    const std::int64_t outputs = a.out.shape[3];
    for (std::int64_t o = 0; o < outputs; o += 4) {
      Channel four[4];
      for (int i = 0; i < 4; ++i) {
        four[i] = o + i < outputs ? a.table[o + i] : Channel{0, 0, 0, 1};
      }
      scales[o / 4] = make_scale4(four);
    }
  }

  void pack(const std::byte* from, std::int64_t pixels, std::byte* to) const;
  void row(const Phase& phase, const ConvRow& row, std::int64_t first, std::int64_t last) const;
  void finish(int32x4_t acc, std::int64_t o, std::byte* out, const std::byte* residual) const;
};

void Neon::pack(const std::byte* from, std::int64_t pixels, std::byte* to) const {
  const std::int64_t bytes = a.in.shape[3] * element, packed = channels * element;
  if (a.in.stride[2] == bytes && bytes == packed) {
    __builtin_memcpy(to, from, static_cast<std::size_t>(pixels * bytes));
    return;
  }
  for (std::int64_t x = 0; x < pixels; ++x, from += a.in.stride[2], to += packed) {
    __builtin_memcpy(to, from, static_cast<std::size_t>(bytes));
    __builtin_memset(to + bytes, 0, static_cast<std::size_t>(packed - bytes));
  }
}

// Outputs o .. o + 3, or those that there are, of the pixel at `out`.
void Neon::finish(int32x4_t acc, std::int64_t o, std::byte* out, const std::byte* residual) const {
  const std::int64_t left = a.out.shape[3] - o, count = left < 4 ? left : 4;
  if (count <= 0) return;
  const Scale4& scale = scales[o / 4];
  int32x4_t y;
  if (residual == nullptr) {
    y = requantize4(acc, scale, lo, hi);
  } else {
    const std::int64_t size = a.residual.type == Type::int16 ? 2 : 1;
    y = requantize4(acc, load4(residual + o * size, a.residual.type, count), scale, lo, hi);
  }
  const std::int64_t size = a.out.type == Type::int32 ? 4 : a.out.type == Type::int16 ? 2 : 1;
  store4(out + o * size, a.out.type, y, count);
}

// 16 outputs of a group of 4 inputs: lane `kLane` of each pixel's 16 bytes.
template <int P, int kLane>
inline void dot_group(int32x4_t (&acc)[P][4], const int8x16_t (&x)[P], const std::int8_t* w) {
#pragma GCC unroll 4
  for (int n = 0; n < 4; ++n) {
    const int8x16_t weight = vld1q_s8(w + 64 * kLane + 16 * n);
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) acc[p][n] = vdotq_laneq_s32(acc[p][n], weight, x[p], kLane);
  }
}

template <int P>
inline void multiply_bytes(int32x4_t (&acc)[P][4], const std::int8_t* w, const std::byte* in,
                           std::int64_t step, std::int64_t length) {
  for (; length >= 4; length -= 4, w += 256, in += 16) {
    int8x16_t x[P];
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) x[p] = load(in + p * step);
    dot_group<P, 0>(acc, x, w);
    dot_group<P, 1>(acc, x, w);
    dot_group<P, 2>(acc, x, w);
    dot_group<P, 3>(acc, x, w);
  }
  if (length == 0) return;
  int8x16_t x[P];  // packed rows have room for the bytes beyond
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) x[p] = load(in + p * step);
  dot_group<P, 0>(acc, x, w);
  if (length > 1) dot_group<P, 1>(acc, x, w);
  if (length > 2) dot_group<P, 2>(acc, x, w);
}

// 16 outputs of input `kLane` of a group.
template <int P, int kLane>
inline void multiply_input(int32x4_t (&acc)[P][4], const int16x4_t (&x)[P], int8x16_t weight) {
  const int16x8_t low = vmovl_s8(vget_low_s8(weight)), high = vmovl_high_s8(weight);
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) {
    acc[p][0] = vmlal_lane_s16(acc[p][0], vget_low_s16(low), x[p], kLane);
    acc[p][1] = vmlal_high_lane_s16(acc[p][1], low, x[p], kLane);
    acc[p][2] = vmlal_lane_s16(acc[p][2], vget_low_s16(high), x[p], kLane);
    acc[p][3] = vmlal_high_lane_s16(acc[p][3], high, x[p], kLane);
  }
}

template <int P>
inline void multiply_words(int32x4_t (&acc)[P][4], const std::int8_t* w, const std::byte* in,
                           std::int64_t step, std::int64_t length) {
  for (; length > 0; --length, w += 64, in += 8) {
    int16x4_t x[P];
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      x[p] = vld1_s16(reinterpret_cast<const std::int16_t*>(in + p * step));
    }
    const int8x16x4_t weight = vld4q_s8(w);  // val[i]: input i of 16 outputs
    multiply_input<P, 0>(acc, x, weight.val[0]);
    multiply_input<P, 1>(acc, x, weight.val[1]);
    multiply_input<P, 2>(acc, x, weight.val[2]);
    multiply_input<P, 3>(acc, x, weight.val[3]);
  }
}

// P pixels from column `column` on, 16 outputs from 16 `block` on.
template <int P, bool kBytes>
__attribute__((noinline)) void blocked_tile(const Neon& c, const Phase& phase, const ConvRow& row,
                                            std::int64_t column, std::int64_t block) {
  const ConvArgs& a = c.a;
  const std::int64_t groups = c.channels / 4, pixel_bytes = c.channels * c.element;
  const std::int64_t step = phase.x.in_step * pixel_bytes;
  const std::int8_t* weights = a.weight + block * a.kernel[0] * a.kernel[1] * groups * 64;
  int32x4_t acc[P][4];
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) {
    acc[p][0] = acc[p][1] = acc[p][2] = acc[p][3] = vdupq_n_s32(0);
  }
  const Stretches stretches(a, phase, row, column, pixel_bytes, groups);
  for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
    for (std::int32_t kx = 0; kx < stretches.per_row; ++kx) {
      const std::int8_t* w = weights + stretches.tap(ky, kx) * groups * 64;
      const std::byte* in = stretches.input(ky, kx);
      if constexpr (kBytes) {
        multiply_bytes<P>(acc, w, in, step, stretches.length);
      } else {
        multiply_words<P>(acc, w, in, step, stretches.length);
      }
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) {
    std::byte* out = row.out + (column + p) * a.out.stride[2] * phase.x.out_step;
    const std::byte* residual =
        row.residual == nullptr
            ? nullptr
            : row.residual + (column + p) * a.residual.stride[2] * phase.x.out_step;
#pragma GCC unroll 4
    for (int n = 0; n < 4; ++n) c.finish(acc[p][n], 16 * block + 4 * n, out, residual);
  }
}

// P pixels x O outputs for weights in rows.
template <int P, int O>
__attribute__((noinline)) void rows_tile(const Neon& c, const Phase& phase, const ConvRow& row,
                                         std::int64_t column) {
  const ConvArgs& a = c.a;
  const std::int64_t step = phase.x.in_step * c.channels;
  const std::int64_t weight_pixel = round_up(a.in.shape[3], 64);
  const std::int64_t output_bytes = std::int64_t{a.kernel[0]} * a.kernel[1] * weight_pixel;
  int32x4_t acc[P][O];
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o) acc[p][o] = vdupq_n_s32(0);
  }
  const std::int64_t offset =
      (phase.x.in_first - phase.x.lowest() + column * phase.x.in_step) * c.channels;
  for (std::int32_t ky = 0; ky < phase.y.taps; ++ky) {
    const std::int64_t kernel_row =
        std::int64_t{phase.y.kernel_first + ky * phase.y.kernel_step} * a.kernel[1];
    for (std::int32_t kx = 0; kx < phase.x.taps; ++kx) {
      const std::int64_t tap = kernel_row + phase.x.kernel_first + kx * phase.x.kernel_step;
      const std::int8_t* w = a.weight + tap * weight_pixel;
      const std::byte* in =
          row.packed[ky] + offset + std::int64_t{kx} * phase.x.tap_step * c.channels;
      for (std::int64_t k = 0; k < c.channels; k += 16) {
#pragma GCC unroll 4
        for (int p = 0; p < P; ++p) {
          const int8x16_t x = load(in + p * step + k);
#pragma GCC unroll 4
          for (int o = 0; o < O; ++o) {
            acc[p][o] = vdotq_s32(acc[p][o], x, vld1q_s8(w + o * output_bytes + k));
          }
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) {
    std::int32_t sums[4] = {};
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o) sums[o] = vaddvq_s32(acc[p][o]);
    std::byte* out = row.out + (column + p) * a.out.stride[2] * phase.x.out_step;
    const std::byte* residual =
        row.residual == nullptr
            ? nullptr
            : row.residual + (column + p) * a.residual.stride[2] * phase.x.out_step;
    c.finish(vld1q_s32(sums), 0, out, residual);
  }
}

template <int O>
void rows_row(const Neon& c, const Phase& phase, const ConvRow& row) {
  std::int64_t column = 0;
  for (; column + kPixels <= phase.x.count; column += kPixels) {
    rows_tile<kPixels, O>(c, phase, row, column);
  }
  for (; column < phase.x.count; ++column) rows_tile<1, O>(c, phase, row, column);
}

template <bool kBytes>
void blocked_row(const Neon& c, const Phase& phase, const ConvRow& row, std::int64_t first,
                 std::int64_t last) {
  constexpr decltype(&blocked_tile<1, kBytes>) kTiles[kPixels] = {
      blocked_tile<1, kBytes>, blocked_tile<2, kBytes>, blocked_tile<3, kBytes>,
      blocked_tile<4, kBytes>};
  for (std::int64_t block = first; block < last; ++block) {
    for (std::int64_t column = 0; column < phase.x.count; column += kPixels) {
      const std::int64_t left = phase.x.count - column;
      kTiles[(left < kPixels ? left : kPixels) - 1](c, phase, row, column, block);
    }
  }
}

void Neon::row(const Phase& phase, const ConvRow& row, std::int64_t first,
               std::int64_t last) const {
  if (!blocked) {
    constexpr decltype(&rows_row<1>) kRows[] = {rows_row<1>, rows_row<2>, rows_row<3>, rows_row<4>};
    kRows[a.out.shape[3] - 1](*this, phase, row);
  } else if (element == 1) {
    blocked_row<true>(*this, phase, row, first, last);
  } else {
    blocked_row<false>(*this, phase, row, first, last);
  }
}

bool fast(const ConvArgs& a) {
  const bool rows = a.out.shape[3] <= 4 && a.in.type == Type::int8;
  return a.kernel[0] <= kMaxTaps && (Neon::is_blocked(a) || rows);
}

}  // namespace

std::size_t conv_scratch_neon(const ConvArgs& a) {
  return fast(a) ? convolution_scratch<Neon>(a) : conv_scratch_scalar(a);
}

void conv_neon(const ConvArgs& a, Part part) {
  fast(a) ? convolve<Neon>(a, part) : conv_scalar(a, part);
}

}  // namespace horizon

#endif
