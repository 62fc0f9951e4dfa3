// The code that all fast warps share: the four taps of each output pixel.
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include "kernels/elements.h"
#include "kernels/parts.h"

namespace horizon {
namespace {

// Taps in the order (y0, x0), (y0, x0 + 1), (y0 + 1, x0), (y0 + 1, x0 + 1). A row or column outside
// the map has the weight 0, and the address of one inside.
struct WarpTaps {
  const std::byte* data[4];
  std::int32_t down[2], across[2];  // in steps of 2^-F, together 2^F where both are inside
};

struct WarpAxis {
  std::int64_t at[2];  // bytes
  std::int32_t weight[2];
};

inline WarpAxis warp_axis(std::int64_t place, std::int32_t bits, std::int64_t size,
                          std::int64_t stride) {
  const std::int64_t first = place >> bits;
  const std::int32_t one = std::int32_t{1} << bits;
  const auto fraction = static_cast<std::int32_t>(place & (one - 1));
  WarpAxis axis = {{first * stride, (first + 1) * stride}, {one - fraction, fraction}};
  if (first < 0 || first >= size) axis.at[0] = axis.weight[0] = 0;
  if (first + 1 < 0 || first + 1 >= size) axis.at[1] = axis.weight[1] = 0;
  return axis;
}

// Calls blend(taps, out) for each output pixel of the part.
template <class Blend>
void for_each_warped(const WarpArgs& args, const Part& part, Blend blend) {
  const Tensor& feature = args.feature;
  const std::int32_t bits = args.fraction_bits;
  for_each_run(
      args.out, part, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
        const std::byte* image = feature.data + n * feature.stride[0];
        const std::byte* offset = pixel(args.offset, n, y, x);
        std::byte* out = pixel(args.out, n, y, x);
        for (; x < end; ++x, offset += args.offset.stride[2], out += args.out.stride[2]) {
          const auto* step = reinterpret_cast<const std::int16_t*>(offset);
          const auto moved = [&](int component, std::int64_t from) {
            return (from << bits) +
                   round_shift(std::int64_t{step[component]} * args.table.multiplier,
                               args.table.shift, -32768, 32767);
          };
          const WarpAxis column =
              warp_axis(moved(0, args.origin[1] + x), bits, feature.shape[2], feature.stride[2]);
          const WarpAxis row =
              warp_axis(moved(1, args.origin[0] + y), bits, feature.shape[1], feature.stride[1]);
          blend(WarpTaps{{image + row.at[0] + column.at[0], image + row.at[0] + column.at[1],
                          image + row.at[1] + column.at[0], image + row.at[1] + column.at[1]},
                         {row.weight[0], row.weight[1]},
                         {column.weight[0], column.weight[1]}},
                out);
        }
      });
}

// (sum + 2^(2F-1)) >> 2F.
inline std::int32_t warp_half(std::int32_t bits) {
  return bits == 0 ? 0 : std::int32_t{1} << (2 * bits - 1);
}

// The blend of channels first .. last - 1, one at a time.
inline void blend_elements(const WarpTaps& taps, Type type, std::int32_t bits, std::int64_t first,
                           std::int64_t last, std::byte* out) {
  const std::int64_t size = type == Type::int8 ? 1 : 2;
  for (std::int64_t c = first; c < last; ++c) {
    std::int32_t sum = warp_half(bits);
    for (int i = 0; i < 4; ++i) {
      sum += taps.down[i / 2] * taps.across[i % 2] * read_element(taps.data[i] + c * size, type);
    }
    write_element(out + c * size, type, sum >> (2 * bits));
  }
}

// Calls step(c) for vectors of channels; the last may overlap the previous one. If there are fewer
// channels than lanes, blends them one at a time.
template <std::int64_t kChannels, class Step>
inline void for_each_vector(const WarpTaps& taps, Type type, std::int32_t bits,
                            std::int64_t channels, std::byte* out, Step step) {
  if (channels < kChannels) return blend_elements(taps, type, bits, 0, channels, out);
  for (std::int64_t c = 0; c < channels; c += kChannels) {
    step(c + kChannels <= channels ? c : channels - kChannels);
  }
}

struct EachWarped {
  template <class Blend>
  void operator()(const WarpArgs& args, const Part& part, Blend blend) const {
    for_each_warped(args, part, blend);
  }
};

// Bytes blends int8 features, Words int16; half is 2^(2F-1) and shift 2F, as the two want them.
// walk(args, part, blend) does what for_each_warped does.
template <class Bytes, class Words, class Half, class Shift, class Walk = EachWarped>
void warp_by_type(const WarpArgs& args, const Part& part, Half half, Shift shift, Walk walk = {}) {
  const std::int64_t channels = args.feature.shape[3];
  if (args.feature.type == Type::int8) {
    walk(args, part, Bytes{channels, args.fraction_bits, half, shift});
  } else {
    walk(args, part, Words{channels, args.fraction_bits, half, shift});
  }
}

}  // namespace
}  // namespace horizon
