// Random lookups, and their definition.
#pragma once

#include "tests/kernel_cases.h"

namespace horizon {

inline void naive_lookup(const LookupArgs& a, const Tensor& out) {
  const std::int64_t size = size_of(out.type);
  for (int n = 0; n < out.shape[0]; ++n) {
    for (int y = 0; y < out.shape[1]; ++y) {
      for (int x = 0; x < out.shape[2]; ++x) {
        for (int c = 0; c < out.shape[3]; ++c) {
          const auto at = [&](const Tensor& t) {
            return t.data + n * t.stride[0] + y * t.stride[1] + x * t.stride[2] + c * t.stride[3];
          };
          const int value = *reinterpret_cast<const std::int8_t*>(at(a.in));
          std::memcpy(at(out), a.table + (value + 128) * size, static_cast<std::size_t>(size));
        }
      }
    }
  }
}

inline Case lookup_case(Random& random) {
  auto a = std::make_shared<LookupArgs>();
  const int shape[4] = {pick(random, {1, 1, 2}), side(random, 6), side(random, 40),
                        any_channels(random)};
  const Type type = narrow_type(random, 40);
  const Box in = make_box(random, Type::int8, shape, chance(random, 50));
  const Box out = make_box(random, type, shape, chance(random, 50));
  fill(random, in);
  const Box table = make_box(random, type, {1, 1, 1, 256}, false);
  fill(random, table);
  a->in = in.tensor;
  a->table = table.tensor.data;
  Case result = make_case("lookup in " + in.text(), a, out, &Kernels::lookup, nullptr, in, table);
  result.naive = [a](const Tensor& to) { naive_lookup(*a, to); };
  return result;
}

}  // namespace horizon
