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

// Narrowing saturates, so that the limits may follow it.
inline int32x4_t finish4(int64x2_t low, int64x2_t high, const Scale4& scale, int32x4_t lo,
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
