// Random resizings, and their definition.
#pragma once

#include "tests/kernel_cases.h"

namespace horizon {

// The real place, rounded down to 2^-F, as fractions of exact integers; for comparison.
inline std::int64_t naive_place(const ResizeArgs& a, int axis, std::int64_t at) {
  const std::int64_t above = a.step[axis] * (a.origin[axis] + at) + a.offset[axis];
  std::int64_t place = 0;
  const std::int64_t highest = std::int64_t{a.last[axis]} << a.fraction_bits;
  while (place < highest && (place + 1) * a.divisor[axis] <= above) ++place;
  return place;
}

inline void naive_resize(const ResizeArgs& a, const Tensor& out) {
  const std::int64_t size = size_of(out.type), one = std::int64_t{1} << a.fraction_bits;
  const auto at = [&](const Tensor& t, std::int64_t n, std::int64_t y, std::int64_t x) {
    return t.data + n * t.stride[0] + y * t.stride[1] + x * t.stride[2];
  };
  for (int n = 0; n < out.shape[0]; ++n) {
    for (int y = 0; y < out.shape[1]; ++y) {
      const std::int64_t down = naive_place(a, 0, y);
      for (int x = 0; x < out.shape[2]; ++x) {
        const std::int64_t across = naive_place(a, 1, x);
        for (int c = 0; c < out.shape[3]; ++c) {
          std::int64_t sum = 0;
          // every element of the input with its weight, a triangle around the place
          for (std::int64_t row = down / one; row <= down / one + 1 && row <= a.last[0]; ++row) {
            for (std::int64_t column = across / one;
                 column <= across / one + 1 && column <= a.last[1]; ++column) {
              const std::int64_t weight =
                  (one - std::abs(row * one - down)) * (one - std::abs(column * one - across));
              if (weight == 0) continue;
              const std::byte* from = at(a.in, n, row + a.pad[0], column + a.pad[1]) + c * size;
              sum +=
                  weight * (out.type == Type::int8 ? *reinterpret_cast<const std::int8_t*>(from)
                                                   : *reinterpret_cast<const std::int16_t*>(from));
            }
          }
          const std::int64_t value = (sum + (one * one >> 1)) >> (2 * a.fraction_bits);
          std::memcpy(at(out, n, y, x) + c * size, &value, static_cast<std::size_t>(size));
        }
      }
    }
  }
}

// One axis: whole factors up or down, each convention; returns the output's whole size.
inline int resize_axis(Random& random, ResizeArgs& a, int axis, int in, bool corners) {
  const bool up = chance(random, 60);
  const int factor = up ? pick(random, {1, 2, 2, 3, 4, 5, 8}) : between(random, 1, in < 4 ? in : 4);
  const int u = up ? factor : 1, d = up ? 1 : factor, out = in * u / d;
  a.last[axis] = in - 1;
  if (a.fraction_bits == 0 && !corners) {
    a.step[axis] = d, a.offset[axis] = 0, a.divisor[axis] = u;
  } else if (a.fraction_bits == 0) {  // nearest-exact
    a.step[axis] = 2 * d, a.offset[axis] = d, a.divisor[axis] = 2 * u;
  } else if (!corners) {
    const int one = 1 << a.fraction_bits;
    a.step[axis] = 2 * one * d, a.offset[axis] = one * (d - u) + u, a.divisor[axis] = 2 * u;
  } else if (out == 1) {
    a.step[axis] = 0, a.offset[axis] = 0, a.divisor[axis] = 1;
  } else {
    a.step[axis] = (2 << a.fraction_bits) * (in - 1);
    a.offset[axis] = out - 1, a.divisor[axis] = 2 * (out - 1);
  }
  return out;
}

inline Case resize_case(Random& random) {
  auto a = std::make_shared<ResizeArgs>();
  a->fraction_bits = chance(random, 65) ? 8 : 0;
  const bool corners = chance(random, 40);
  const int batch = pick(random, {1, 1, 2}), channels = any_channels(random);
  int in_part[2], out_part[2];
  for (int i = 0; i < 2; ++i) {
    const int in = side(random, i == 0 ? 8 : chance(random, 10) ? 90 : 20);
    const int out = resize_axis(random, *a, i, in, corners);
    // a tile: some outputs, and the part of the input that they read, or more
    a->origin[i] = chance(random, 50) ? 0 : between(random, 0, out - 1);
    out_part[i] = chance(random, 50) ? out - a->origin[i] : between(random, 1, out - a->origin[i]);
    const auto first = static_cast<int>(naive_place(*a, i, 0) >> a->fraction_bits);
    auto last = static_cast<int>(naive_place(*a, i, out_part[i] - 1) >> a->fraction_bits);
    if (last < in - 1) ++last;
    const int from = chance(random, 50) ? first : between(random, 0, first);
    const int until = chance(random, 50) ? last : between(random, last, in - 1);
    a->pad[i] = -from;
    in_part[i] = until - from + 1;
  }
  const Type type = narrow_type(random, 40);
  const Box in =
      make_box(random, type, {batch, in_part[0], in_part[1], channels}, chance(random, 50));
  const Box out =
      make_box(random, type, {batch, out_part[0], out_part[1], channels}, chance(random, 50));
  fill(random, in);
  a->in = in.tensor;
  const std::string text = "resize in " + in.text() + " bits " + std::to_string(a->fraction_bits) +
                           pair("step", a->step) + pair("offset", a->offset) +
                           pair("divisor", a->divisor) + pair("last", a->last) +
                           pair("origin", a->origin) + pair("pad", a->pad);
  Case result = make_case(text, a, out, &Kernels::resize, &Kernels::resize_scratch, in);
  result.naive = [a](const Tensor& to) { naive_resize(*a, to); };
  return result;
}

}  // namespace horizon
