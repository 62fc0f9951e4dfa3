// Requantisation of 4 integers with NEON, in int64 (fixed_point.md, "Requantise").
#pragma once

#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels/elements.h"

namespace horizon {
namespace {

// 4 channels, or 4 times the same one.
struct Scale4 {
  int32x4_t multiplier, residual_multiplier;
  int64x2_t offset[2];  // bias M + 2^(shift-1)
  int64x2_t shift[2];   // negative: to the right
};

inline Scale4 make_scale4(const Channel (&channels)[4]) {
  std::int32_t multiplier[4], residual_multiplier[4];
  std::int64_t offset[4], shift[4];
  for (int i = 0; i < 4; ++i) {
    const Channel& c = channels[i];
    multiplier[i] = c.multiplier;
    residual_multiplier[i] = c.residual_multiplier;
    offset[i] = std::int64_t{c.bias} * c.multiplier + (std::int64_t{1} << (c.shift - 1));
    shift[i] = -std::int64_t{c.shift};
  }
  return {vld1q_s32(multiplier),
          vld1q_s32(residual_multiplier),
          {vld1q_s64(offset), vld1q_s64(offset + 2)},
          {vld1q_s64(shift), vld1q_s64(shift + 2)}};
}

// The same for two slopes.
struct SlopedScale4 {
  int32x4_t bias, multiplier, negative_multiplier, residual_multiplier,
      negative_residual_multiplier;
  int64x2_t half[2];
  int64x2_t shift[2];
};

inline SlopedScale4 make_sloped_scale4(const Channel (&channels)[4]) {
  std::int32_t values[5][4];
  std::int64_t half[4], shift[4];
  for (int i = 0; i < 4; ++i) {
    const Channel& c = channels[i];
    values[0][i] = c.bias;
    values[1][i] = c.multiplier;
    values[2][i] = c.negative_multiplier;
    values[3][i] = c.residual_multiplier;
    values[4][i] = c.negative_residual_multiplier;
    half[i] = std::int64_t{1} << (c.shift - 1);
    shift[i] = -std::int64_t{c.shift};
  }
  return {vld1q_s32(values[0]),
          vld1q_s32(values[1]),
          vld1q_s32(values[2]),
          vld1q_s32(values[3]),
          vld1q_s32(values[4]),
          {vld1q_s64(half), vld1q_s64(half + 2)},
          {vld1q_s64(shift), vld1q_s64(shift + 2)}};
}

// Narrowing saturates, so the limits can be applied after it.
template <class Scale>
inline int32x4_t finish4(int64x2_t low, int64x2_t high, const Scale& scale, int32x4_t lo,
                         int32x4_t hi) {
  const int32x4_t y = vcombine_s32(vqmovn_s64(vshlq_s64(low, scale.shift[0])),
                                   vqmovn_s64(vshlq_s64(high, scale.shift[1])));
  return vminq_s32(vmaxq_s32(y, lo), hi);
}

inline int32x4_t requantize4(int32x4_t acc, const Scale4& scale, int32x4_t lo, int32x4_t hi) {
  return finish4(vmlal_s32(scale.offset[0], vget_low_s32(acc), vget_low_s32(scale.multiplier)),
                 vmlal_high_s32(scale.offset[1], acc, scale.multiplier), scale, lo, hi);
}

inline int32x4_t requantize4(int32x4_t acc, int32x4_t residual, const Scale4& scale, int32x4_t lo,
                             int32x4_t hi) {
  int64x2_t low = vmlal_s32(scale.offset[0], vget_low_s32(acc), vget_low_s32(scale.multiplier));
  int64x2_t high = vmlal_high_s32(scale.offset[1], acc, scale.multiplier);
  low = vmlal_s32(low, vget_low_s32(residual), vget_low_s32(scale.residual_multiplier));
  high = vmlal_high_s32(high, residual, scale.residual_multiplier);
  return finish4(low, high, scale, lo, hi);
}

// Of channels by_sign.
inline int32x4_t requantize4(int32x4_t acc, const SlopedScale4& scale, int32x4_t lo, int32x4_t hi) {
  const int32x4_t sum = vaddq_s32(acc, scale.bias);
  const int32x4_t multiplier =
      vbslq_s32(vcltzq_s32(sum), scale.negative_multiplier, scale.multiplier);
  return finish4(vmlal_s32(scale.half[0], vget_low_s32(sum), vget_low_s32(multiplier)),
                 vmlal_high_s32(scale.half[1], sum, multiplier), scale, lo, hi);
}

// a where it is not negative, otherwise b.
inline int64x2_t select2(int64x2_t a, int64x2_t b) { return vbslq_s64(vcltzq_s64(a), b, a); }

inline int32x4_t requantize4(int32x4_t acc, int32x4_t residual, const SlopedScale4& scale,
                             int32x4_t lo, int32x4_t hi) {
  const int32x4_t sum = vaddq_s32(acc, scale.bias);
  const auto low = [&](int32x4_t multiplier, int32x4_t residual_multiplier) {
    return vmlal_s32(vmull_s32(vget_low_s32(sum), vget_low_s32(multiplier)), vget_low_s32(residual),
                     vget_low_s32(residual_multiplier));
  };
  const auto high = [&](int32x4_t multiplier, int32x4_t residual_multiplier) {
    return vmlal_high_s32(vmull_high_s32(sum, multiplier), residual, residual_multiplier);
  };
  const int64x2_t lower =
      select2(low(scale.multiplier, scale.residual_multiplier),
              low(scale.negative_multiplier, scale.negative_residual_multiplier));
  const int64x2_t upper =
      select2(high(scale.multiplier, scale.residual_multiplier),
              high(scale.negative_multiplier, scale.negative_residual_multiplier));
  return finish4(vaddq_s64(lower, scale.half[0]), vaddq_s64(upper, scale.half[1]), scale, lo, hi);
}

// The first `count` lanes to memory as the elements that their type says.
inline void store4(std::byte* to, Type type, int32x4_t value, std::int64_t count) {
  std::byte bytes[16];
  std::int64_t size = 4;
  if (type == Type::int32) {
    vst1q_s32(reinterpret_cast<std::int32_t*>(bytes), value);
  } else {
    const int16x4_t words = vmovn_s32(value);
    size = 2;
    if (type == Type::int16) {
      vst1_s16(reinterpret_cast<std::int16_t*>(bytes), words);
    } else {
      vst1_s8(reinterpret_cast<std::int8_t*>(bytes), vmovn_s16(vcombine_s16(words, words)));
      size = 1;
    }
  }
  if (count == 4 && size == 1) {
    __builtin_memcpy(to, bytes, 4);
  } else {
    __builtin_memcpy(to, bytes, static_cast<std::size_t>(count * size));
  }
}

// 4 elements from memory, or the first `count` and zeros.
inline int32x4_t load4(const std::byte* from, Type type, std::int64_t count) {
  const std::int64_t size = type == Type::int32 ? 4 : type == Type::int16 ? 2 : 1;
  std::byte bytes[16] = {};
  if (count == 4 && size == 1) {
    __builtin_memcpy(bytes, from, 4);
  } else {
    __builtin_memcpy(bytes, from, static_cast<std::size_t>(count * size));
  }
  if (type == Type::int32) return vld1q_s32(reinterpret_cast<const std::int32_t*>(bytes));
  if (type == Type::int16) {
    return vmovl_s16(vld1_s16(reinterpret_cast<const std::int16_t*>(bytes)));
  }
  const int8x8_t values = vld1_s8(reinterpret_cast<const std::int8_t*>(bytes));
  return vmovl_s16(vget_low_s16(vmovl_s8(values)));
}

}  // namespace
}  // namespace horizon

#endif
