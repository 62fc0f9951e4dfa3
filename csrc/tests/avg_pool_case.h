// Random average poolings, and their definition.
#pragma once

#include <algorithm>
#include <set>
#include <vector>

#include "tests/kernel_cases.h"

namespace horizon {

// Taps of a window, from `first` on, that lie within the input and `margin` around it.
inline int counted_taps(int first, int kernel, int side, int margin) {
  int count = 0;
  for (int k = 0; k < kernel; ++k) {
    count += first + k >= -margin && first + k < side + margin ? 1 : 0;
  }
  return count;
}

// What the definition says, to be compared with all sets.
inline void naive_avg_pool(const AvgPoolArgs& a, const Tensor& out) {
  for (int n = 0; n < out.shape[0]; ++n) {
    for (int y = 0; y < out.shape[1]; ++y) {
      for (int x = 0; x < out.shape[2]; ++x) {
        const int top = y * a.stride[0] - a.pad[0], left = x * a.stride[1] - a.pad[1];
        const int count = counted_taps(top, a.kernel[0], a.in.shape[1], a.margin[0]) *
                          counted_taps(left, a.kernel[1], a.in.shape[2], a.margin[1]);
        Channel channel = a.table[0];
        for (int i = 0; i < a.table_count; ++i) {
          if (a.table_count > 1 && a.table[i].count == count) channel = a.table[i];
        }
        for (int c = 0; c < out.shape[3]; ++c) {
          std::int64_t sum = 0;
          for (int row = std::max(top, 0); row < a.in.shape[1] && row < top + a.kernel[0]; ++row) {
            for (int at = std::max(left, 0); at < a.in.shape[2] && at < left + a.kernel[1]; ++at) {
              const std::byte* place = a.in.data + n * a.in.stride[0] + row * a.in.stride[1] +
                                       at * a.in.stride[2] + c * a.in.stride[3];
              sum += a.in.type == Type::int8 ? *reinterpret_cast<const std::int8_t*>(place)
                                             : *reinterpret_cast<const std::int16_t*>(place);
            }
          }
          // floor(product / 2^shift + 1/2), without a shift of a negative number
          const __int128 unit = static_cast<__int128>(1) << channel.shift;
          const __int128 twice = static_cast<__int128>(sum) * channel.multiplier * 2 + unit;
          __int128 result = twice / (2 * unit);
          if (twice < 0 && twice % (2 * unit) != 0) --result;
          result = result < a.lo ? a.lo : result > a.hi ? a.hi : result;
          const auto value = static_cast<std::int32_t>(result);
          std::memcpy(out.data + n * out.stride[0] + y * out.stride[1] + x * out.stride[2] +
                          c * out.stride[3],
                      &value, size_of(out.type));  // little-endian
        }
      }
    }
  }
}

inline Case avg_pool_case(Random& random) {
  auto a = std::make_shared<AvgPoolArgs>();
  const int batch = pick(random, {1, 1, 2}), channels = any_channels(random);
  const bool whole = chance(random, 15);
  int in_side[2], out_side[2];
  for (int i = 0; i < 2; ++i) {
    a->kernel[i] = chance(random, 5) ? between(random, 6, 20) : between(random, 1, 5);
    a->stride[i] = pick(random, {1, 1, 2, 2, 3, 4});
    in_side[i] = side(random, i == 0 ? 9 : chance(random, 20) ? 300 : 20);
    if (whole && in_side[i] <= 256) a->kernel[i] = a->stride[i] = in_side[i];
    // the first window may begin in front of the input or, in a tile, behind its first element
    a->pad[i] = whole ? 0 : between(random, -3, a->kernel[i] - 1);
    if (-a->pad[i] >= in_side[i]) a->pad[i] = 0;
    a->margin[i] = pick(random, {0, 0, 1, 3});
    const int longest = (in_side[i] - 1 + a->pad[i]) / a->stride[i] + 1;
    out_side[i] = whole ? 1 : chance(random, 50) ? longest : between(random, 1, longest);
  }
  const Box in = make_box(random, narrow_type(random, 35),
                          {batch, in_side[0], in_side[1], channels}, chance(random, 50));
  const Box out = make_box(random, any_type(random), {batch, out_side[0], out_side[1], channels},
                           chance(random, 50));
  fill(random, in);
  a->in = in.tensor;
  limits_of(random, out.tensor.type, a->lo, a->hi);
  std::set<int> counts;
  for (int y = 0; y < out_side[0]; ++y) {
    for (int x = 0; x < out_side[1]; ++x) {
      const int top = y * a->stride[0] - a->pad[0], left = x * a->stride[1] - a->pad[1];
      counts.insert(counted_taps(top, a->kernel[0], in_side[0], a->margin[0]) *
                    counted_taps(left, a->kernel[1], in_side[1], a->margin[1]));
    }
  }
  const auto table = std::make_shared<std::vector<Channel>>();
  int bits = in.tensor.type == Type::int8 ? 7 : 15;
  for (int k = a->kernel[0] * a->kernel[1]; k > 1; k /= 4) ++bits;
  const bool several = chance(random, 60);
  for (const int count : counts) {
    Channel channel = make_channel(random, bits, out.tensor.type, 0);
    channel.residual_multiplier = channel.negative_multiplier = 0;
    channel.negative_residual_multiplier = 0;
    channel.count = several && counts.size() > 1 ? count : 0;
    table->push_back(channel);
    if (!several) break;
  }
  a->table = table->data();
  a->table_count = static_cast<std::int32_t>(table->size());
  const std::string text = "avg_pool in " + in.text() + pair("kernel", a->kernel) +
                           pair("stride", a->stride) + pair("pad", a->pad) +
                           pair("margin", a->margin) + " entries " + std::to_string(a->table_count);
  Case result = make_case(text, a, out, &Kernels::avg_pool, &Kernels::avg_pool_scratch, in, table);
  result.naive = [a](const Tensor& to) { naive_avg_pool(*a, to); };
  return result;
}

}  // namespace horizon
