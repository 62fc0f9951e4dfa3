// Convolution with NEON, int8 inputs with the dot product extension, int16 inputs without.
//
// A dot product multiplies the weights of 4 inputs, for 4 outputs, by these 4 inputs of a pixel,
// which are one lane of 16 bytes. The sums of 4 pixels by 16 outputs stay in registers.
#if defined(__aarch64__)

#include <type_traits>

#include "kernels/conv_depthwise.h"
#include "kernels/conv_tiles.h"
#include "kernels/requantize_neon.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

int8x16_t load_vector(const std::byte* from) {
  return vld1q_s8(reinterpret_cast<const std::int8_t*>(from));
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
    for (int p = 0; p < P; ++p) x[p] = load_vector(in + p * step);
    dot_group<P, 0>(acc, x, w);
    dot_group<P, 1>(acc, x, w);
    dot_group<P, 2>(acc, x, w);
    dot_group<P, 3>(acc, x, w);
  }
  if (length == 0) return;
  int8x16_t x[P];  // packed rows have room for the bytes beyond
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) x[p] = load_vector(in + p * step);
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

// What both types of inputs share.
template <int kBytes, bool kSlopes>
struct Neon {
  using Vector = int32x4_t;
  using Scale = std::conditional_t<kSlopes, SlopedScale4, Scale4>;
  static constexpr int kLanes = 4, kInputBytes = kBytes, kPixels = 4;
  static constexpr int row_pixels(int) { return kPixels; }
  static constexpr Channel kUnused = {0, 0, 0, 1};

  static Scale make_scale(const Channel (&four)[4]) {
    if constexpr (kSlopes) {
      return make_sloped_scale4(four);
    } else {
      return make_scale4(four);
    }
  }
  static constexpr bool fits(const Scale&) { return true; }
  static Vector all(std::int32_t value) { return vdupq_n_s32(value); }
  template <class... Operands>
  static Vector requantize(const Operands&... operands) {
    return requantize4(operands...);
  }
  static Vector load(const std::byte* from, Type type, std::int64_t count) {
    return load4(from, type, count);
  }
  static void store(std::byte* to, Type type, Vector value, std::int64_t count) {
    store4(to, type, value, count);
  }

  static void pack_channels(const std::int16_t* from, std::int16_t* to) {
    __builtin_memcpy(to, from, 32);
  }
  static void pack_pair(const std::int16_t* first, const std::int16_t* second, std::int16_t* to) {
    __builtin_memcpy(to, first, 32);
    __builtin_memcpy(to + 16, second, 32);
  }
  static void multiply_pair(Vector (&acc)[4], const std::int16_t* first, const std::int16_t* second,
                            const std::int16_t* w) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const int16x8_t a = vld1q_s16(first + 8 * half), b = vld1q_s16(second + 8 * half);
      const int16x8_t of_a = vld1q_s16(w + 8 * half), of_b = vld1q_s16(w + 16 + 8 * half);
      Vector& low = acc[2 * half];
      Vector& high = acc[2 * half + 1];
      low = vmlal_s16(low, vget_low_s16(a), vget_low_s16(of_a));
      low = vmlal_s16(low, vget_low_s16(b), vget_low_s16(of_b));
      high = vmlal_high_s16(vmlal_high_s16(high, a, of_a), b, of_b);
    }
  }

  template <bool kBlocked>
  static void pack(const ConvArgs& a, std::int64_t channels, const std::byte* from,
                   std::int64_t pixels, std::byte* to) {
    const std::int64_t bytes = a.in.shape[3] * kBytes, packed = channels * kBytes;
    if (a.in.stride[2] == bytes && bytes == packed) {
      __builtin_memcpy(to, from, static_cast<std::size_t>(pixels * bytes));
      return;
    }
    for (std::int64_t x = 0; x < pixels; ++x, from += a.in.stride[2], to += packed) {
      __builtin_memcpy(to, from, static_cast<std::size_t>(bytes));
      __builtin_memset(to + bytes, 0, static_cast<std::size_t>(packed - bytes));
    }
  }

  template <int P>
  static void multiply(Vector (&acc)[P][4], const std::int8_t* w, const std::byte* in,
                       std::int64_t step, std::int64_t length) {
    if constexpr (kBytes == 1) {
      multiply_bytes<P>(acc, w, in, step, length);
    } else {
      multiply_words<P>(acc, w, in, step, length);
    }
  }

  // int8 inputs only.
  template <int P, int O>
  static void multiply_rows(Vector (&acc)[P][O], const std::int8_t* w, std::int64_t output_bytes,
                            const std::byte* in, std::int64_t step, std::int64_t channels) {
    for (std::int64_t k = 0; k < channels; k += 16) {
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) {
        const int8x16_t x = load_vector(in + p * step + k);
#pragma GCC unroll 4
        for (int o = 0; o < O; ++o) {
          acc[p][o] = vdotq_s32(acc[p][o], x, vld1q_s8(w + o * output_bytes + k));
        }
      }
    }
  }

  template <int O>
  static void finish_rows(const Tiles<Neon, false>& c, const Vector (&acc)[O], std::byte* out,
                          const std::byte* residual) {
    std::int32_t sums[4] = {};
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o) sums[o] = vaddvq_s32(acc[o]);
    c.finish(vld1q_s32(sums), 0, out, residual);
  }
};

template <bool kSlopes>
using Bytes = Neon<1, kSlopes>;
template <bool kSlopes>
using Words = Neon<2, kSlopes>;

}  // namespace

std::size_t neon::conv_scratch(const ConvArgs& a) {
  return fits_depthwise(a) ? depthwise_scratch<Words>(a) : tiles_scratch<Bytes, Words>(a);
}

void neon::conv(const ConvArgs& a, Part part) {
  fits_depthwise(a) ? convolve_depthwise<Words>(a, part) : convolve_tiles<Bytes, Words>(a, part);
}

}  // namespace horizon

#endif
