// Random max poolings, and their definition.
#pragma once

#include "tests/kernel_cases.h"

namespace horizon {

// What the definition says, to be compared with all sets.
inline void naive_max_pool(const PoolArgs& a, const Tensor& out) {
  const auto elements = [](const Tensor& t, std::int64_t n, std::int64_t y, std::int64_t x) {
    return t.data + n * t.stride[0] + y * t.stride[1] + x * t.stride[2];
  };
  const auto value = [&](const std::byte* at) -> std::int64_t {
    if (out.type == Type::int8) return reinterpret_cast<const std::int8_t*>(at)[0];
    if (out.type == Type::int16) return reinterpret_cast<const std::int16_t*>(at)[0];
    return reinterpret_cast<const std::int32_t*>(at)[0];
  };
  const std::int64_t size = size_of(out.type);
  for (int n = 0; n < out.shape[0]; ++n) {
    for (int y = 0; y < out.shape[1]; ++y) {
      for (int x = 0; x < out.shape[2]; ++x) {
        for (int c = 0; c < out.shape[3]; ++c) {
          const std::byte* most = nullptr;
          for (int row = 0; row < a.in.shape[1]; ++row) {
            for (int column = 0; column < a.in.shape[2]; ++column) {
              const int ky = row - (y * a.stride[0] - a.pad[0]);
              const int kx = column - (x * a.stride[1] - a.pad[1]);
              if (ky < 0 || ky >= a.kernel[0] || kx < 0 || kx >= a.kernel[1]) continue;
              const std::byte* at = elements(a.in, n, row, column) + c * size;
              if (most == nullptr || value(at) > value(most)) most = at;
            }
          }
          std::memcpy(elements(out, n, y, x) + c * size, most, static_cast<std::size_t>(size));
        }
      }
    }
  }
}

inline Case max_pool_case(Random& random) {
  auto a = std::make_shared<PoolArgs>();
  const int batch = pick(random, {1, 1, 2}), channels = any_channels(random);
  int in_side[2], out_side[2];
  for (int i = 0; i < 2; ++i) {
    a->kernel[i] = chance(random, 5) ? between(random, 6, 14) : between(random, 1, 5);
    a->stride[i] = pick(random, {1, 1, 2, 2, 3, 4});
    in_side[i] = side(random, i == 0 ? 9 : chance(random, 20) ? 300 : 20);
    // the first window may begin in front of the input or, in a tile, behind its first element
    a->pad[i] = between(random, -3, a->kernel[i] - 1);
    if (-a->pad[i] >= in_side[i]) a->pad[i] = 0;
    const int longest = (in_side[i] - 1 + a->pad[i]) / a->stride[i] + 1;
    out_side[i] = chance(random, 50) ? longest : between(random, 1, longest);
  }
  const Type type = static_cast<Type>(pick(random, {0, 0, 1, 2}));
  const Box in =
      make_box(random, type, {batch, in_side[0], in_side[1], channels}, chance(random, 50));
  const Box out =
      make_box(random, type, {batch, out_side[0], out_side[1], channels}, chance(random, 50));
  fill(random, in);
  a->in = in.tensor;
  const std::string text = "max_pool in " + in.text() + pair("kernel", a->kernel) +
                           pair("stride", a->stride) + pair("pad", a->pad);
  Case result = make_case(text, a, out, &Kernels::max_pool, &Kernels::max_pool_scratch, in);
  result.naive = [a](const Tensor& to) { naive_max_pool(*a, to); };
  return result;
}

}  // namespace horizon
