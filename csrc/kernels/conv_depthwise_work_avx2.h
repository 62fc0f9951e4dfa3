// Depthwise convolution of int8 with vectors of 256 bits: 32 channels of a pixel at a time, from
// interleaved rows (conv_depthwise_plan.h).
//
// Interleaving puts channels 4 g .. 4 g + 3 of either half of a vector into vector g of 4.
// Saturated packing restores the order of the sums. The constants are kept in the interleaved
// order.
//
// Dot, the multiplying instruction, has
//   kOffset                  what is added to inputs when they are interleaved: 0 or 128
//   kSigns                   whether it matters that no input is negative
//   add<kSigned>(acc, x, w)  adds four products to each sum
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/conv_depthwise_plan.h"
#include "kernels/conv_words_avx2.h"
#include "kernels/requantize_lean_avx2.h"

namespace horizon {
namespace {

constexpr std::int64_t kVector = 32;  // bytes, and channels of a block
constexpr int kQuarters = 4;          // vectors of interleaved rows
constexpr std::int64_t kColumn = kQuarters * kVector;

// `count` bytes, at most 32, and zeros.
inline __m256i load_bytes(const std::byte* from, std::int64_t count) {
  if (count == 32) return load_vector(from);
  if (count == 16) {
    return _mm256_zextsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  alignas(32) std::byte bytes[32] = {};
  __builtin_memcpy(bytes, from, static_cast<std::size_t>(count));
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(bytes));
}

inline void store_bytes(std::byte* to, __m256i value, std::int64_t count) {
  if (count == 32) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), value);
  } else if (count == 16) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(value));
  } else {
    alignas(32) std::byte bytes[32];
    _mm256_store_si256(reinterpret_cast<__m256i*>(bytes), value);
    __builtin_memcpy(to, bytes, static_cast<std::size_t>(count));
  }
}

// Four rows of 32 bytes, byte by byte, to 4 vectors.
inline void interleave(const __m256i (&row)[4], void* to) {
  const __m256i low = _mm256_unpacklo_epi8(row[0], row[1]);
  const __m256i high = _mm256_unpackhi_epi8(row[0], row[1]);
  const __m256i lower = _mm256_unpacklo_epi8(row[2], row[3]);
  const __m256i higher = _mm256_unpackhi_epi8(row[2], row[3]);
  __m256i* out = static_cast<__m256i*>(to);
  _mm256_store_si256(out, _mm256_unpacklo_epi16(low, lower));
  _mm256_store_si256(out + 1, _mm256_unpackhi_epi16(low, lower));
  _mm256_store_si256(out + 2, _mm256_unpacklo_epi16(high, higher));
  _mm256_store_si256(out + 3, _mm256_unpackhi_epi16(high, higher));
}

// The constants of 32 channels in the order of interleaved vectors.
struct Constants32 {
  LeanConstants<32> lean;
  std::int32_t start[32];  // -kOffset sum w
};

// The channels from `first` on of a layer.
template <class Dot>
struct DepthwiseBytes {
  const ConvArgs& a;
  const Plan& plan;
  const std::int64_t first, channels;
  Constants32& constants;
  std::int8_t* weights;  // [rows][quads][kernel columns][4 vectors]
  std::uint8_t* inputs;  // [quads][slots][4 vectors]

  static std::int64_t blocks(const ConvArgs& a) { return (a.out.shape[3] + kVector - 1) / kVector; }
  static std::int64_t block_bytes(const Plan& plan) {
    return static_cast<std::int64_t>(sizeof(Constants32)) + plan.rows * plan.taps * kColumn;
  }
  static std::int64_t scratch_bytes(const ConvArgs& a) {
    const Plan plan(a);
    return blocks(a) * block_bytes(plan) + plan.quads * kMostSlots * kColumn;
  }

  DepthwiseBytes(const ConvArgs& args, const Plan& of, std::byte* scratch, std::int64_t block)
      : a(args),
        plan(of),
        first(block * kVector),
        channels(args.out.shape[3] - first < kVector ? args.out.shape[3] - first : kVector),
        constants(*reinterpret_cast<Constants32*>(scratch + block * block_bytes(of))),
        weights(reinterpret_cast<std::int8_t*>(&constants + 1)),
        inputs(reinterpret_cast<std::uint8_t*>(scratch + blocks(args) * block_bytes(of))) {}

  // Output pixels whose inputs are interleaved at once.
  std::int64_t pixels_at_once() const {
    const std::int64_t reach = std::int64_t{a.kernel[1] - 1} * a.dilation[1];
    return (kMostSlots - 1 - reach) / a.stride[1] + 1;
  }

  void prepare() const;
  bool interleave_rows(std::int32_t image, std::int64_t top, std::int64_t left,
                       std::int64_t slots) const;
  template <class Finish>
  void rows(std::int32_t image, std::int64_t y, const Finish& finish) const;
};

// Weights, interleaved for each output row that shares inputs, and constants.
template <class Dot>
void DepthwiseBytes<Dot>::prepare() const {
  const std::int64_t kernel_taps = std::int64_t{a.kernel[0]} * a.kernel[1];
  const std::int8_t* from =
      a.weight + first / kWeightBlock * kernel_taps * kWeightBlock + first % kWeightBlock;
  std::int8_t* to = weights;
  for (int row = 0; row < plan.rows; ++row) {
    for (int quad = 0; quad < plan.quads; ++quad) {
      for (std::int64_t kx = 0; kx < a.kernel[1]; ++kx, to += kColumn) {
        __m256i four[4];
        for (int i = 0; i < 4; ++i) {
          const std::int64_t ky = 4 * quad + i - row;
          const bool inside = ky >= 0 && ky < a.kernel[0];
          four[i] = inside ? load_vector(from + (ky * a.kernel[1] + kx) * kWeightBlock)
                           : _mm256_setzero_si256();
        }
        interleave(four, to);
      }
    }
  }
  for (int i = 0; i < kVector; ++i) {
    // The i-th of the order: quarter i / 8, half i / 4 % 2.
    const std::int64_t channel = i / 4 % 2 * 16 + i / 8 * 4 + i % 4;
    std::uint32_t sum = 0;
    for (std::int64_t tap = 0; tap < kernel_taps && Dot::kOffset != 0; ++tap) {
      sum += static_cast<std::uint32_t>(from[tap * kWeightBlock + channel]);
    }
    constants.start[i] = static_cast<std::int32_t>(0 - Dot::kOffset * sum);
    constants.lean.set(i, a, first + channel);
  }
}

// Input columns left .. left + slots - 1; row `top` of the input is the first. Returns whether one
// of them may be negative.
template <class Dot>
bool DepthwiseBytes<Dot>::interleave_rows(std::int32_t image, std::int64_t top, std::int64_t left,
                                          std::int64_t slots) const {
  const __m256i offset = _mm256_set1_epi8(static_cast<char>(Dot::kOffset));
  const std::int64_t count = plan.rows + a.kernel[0] - 1, width = a.in.shape[2];
  __m256i all = _mm256_setzero_si256();
  for (int quad = 0; quad < plan.quads; ++quad) {
    const std::byte* row[4];
    for (int i = 0; i < 4; ++i) {
      const std::int64_t place = 4 * quad + i, y = top + place * a.dilation[0];
      const bool inside = place < count && y >= 0 && y < a.in.shape[1];
      row[i] = inside ? pixel(a.in, image, y, 0) + first : nullptr;
    }
    std::uint8_t* to = inputs + quad * kMostSlots * kColumn;
    for (std::int64_t x = left; x < left + slots; ++x, to += kColumn) {
      __m256i four[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        four[i] = row[i] != nullptr && x >= 0 && x < width
                      ? load_bytes(row[i] + x * a.in.stride[2], channels)
                      : _mm256_setzero_si256();
        if constexpr (Dot::kSigns) all = _mm256_or_si256(all, four[i]);
        if constexpr (Dot::kOffset != 0) four[i] = _mm256_xor_si256(four[i], offset);
      }
      interleave(four, to);
    }
  }
  return _mm256_movemask_epi8(all) != 0;
}

// Output rows y .. y + plan.rows - 1, those that there are.
template <class Dot>
template <class Finish>
void DepthwiseBytes<Dot>::rows(std::int32_t image, std::int64_t y, const Finish& finish) const {
  const std::int64_t width = a.out.shape[2], at_once = pixels_at_once();
  const std::int64_t left_rows = a.out.shape[1] - y;
  const std::int64_t count = left_rows < plan.rows ? left_rows : plan.rows;
  for (std::int64_t begin = 0; begin < width; begin += at_once) {
    const std::int64_t some = width - begin < at_once ? width - begin : at_once;
    const std::int64_t slots =
        (some - 1) * a.stride[1] + std::int64_t{a.kernel[1] - 1} * a.dilation[1] + 1;
    const bool negative =
        interleave_rows(image, y * a.stride[0] - a.pad[0], begin * a.stride[1] - a.pad[1], slots);
    for (std::int64_t row = 0; row < count; ++row) {
      const std::int8_t* w = weights + row * plan.taps * kColumn;
      std::byte* out = pixel(a.out, image, y + row, begin) + first * a.out.stride[3];
      const std::byte* residual =
          a.residual.data == nullptr ? nullptr : pixel(a.residual, image, y + row, begin);
      const auto next = [&]<int P>(std::int64_t x) {
        const std::uint8_t* in = inputs + x * a.stride[1] * kColumn;
        std::byte* to = out + x * a.out.stride[2];
        const std::byte* second =
            residual == nullptr ? nullptr : residual + x * a.residual.stride[2];
        negative ? finish.template pixels<P, true>(*this, in, w, to, second)
                 : finish.template pixels<P, false>(*this, in, w, to, second);
      };
      std::int64_t x = 0;
      for (; x + 2 <= some; x += 2) next.template operator()<2>(x);
      if (x < some) next.template operator()<1>(x);
    }
  }
}

}  // namespace
}  // namespace horizon

#endif
