// Random matrix products, and their definition.
#pragma once

#include "tests/kernel_cases.h"

namespace horizon {

inline void naive_matmul(const MatMulArgs& a, const Tensor& out, std::int64_t groups) {
  const std::int64_t width = a.b.shape[2], pixels = a.b.shape[1] * width;
  const std::int64_t channels = a.b.shape[3] / groups;
  for (std::int64_t at = 0; at < pixels_of(out) * out.shape[3]; ++at) {
    const std::int64_t to = at % out.shape[3], x = at / out.shape[3] % out.shape[2];
    const std::int64_t row = at / out.shape[3] / out.shape[2];
    const std::int64_t n = row / out.shape[1], y = row % out.shape[1];
    const auto product = [&](std::int64_t from, std::int64_t j, std::int64_t c) {
      const std::byte* second = pixel(a.b, n, j / width, j % width) + c * a.b.stride[3];
      return std::int64_t{read_element(pixel(a.a, n, y, x) + from * a.a.stride[3], a.a.type)} *
             read_element(second, a.b.type);
    };
    std::int64_t sum = 0;
    if (a.transposed) {
      const std::int64_t first = to / pixels * channels, j = to % pixels;
      for (std::int64_t c = 0; c < channels; ++c) sum += product(first + c, j, first + c);
    } else {
      const std::int64_t first = to / channels * pixels;
      for (std::int64_t j = 0; j < pixels; ++j) sum += product(first + j, j, to);
    }
    write_element(pixel(out, n, y, x) + to * out.stride[3], out.type,
                  round_shift(sum * a.table.multiplier, a.table.shift, a.lo, a.hi));
  }
}

inline Case matmul_case(Random& random) {
  auto a = std::make_shared<MatMulArgs>();
  a->transposed = chance(random, 50);
  const int batch = pick(random, {1, 1, 2}), groups = pick(random, {1, 1, 1, 2, 3});
  const int height = side(random, 6), width = side(random, 20);
  const int rows = side(random, 6), columns = side(random, 12);
  const int channels = groups * any_channels(random), places = groups * rows * columns;
  const Box first =
      make_box(random, narrow_type(random, 20),
               {batch, height, width, a->transposed ? channels : places}, chance(random, 50));
  const Box second = make_box(random, narrow_type(random, 10), {batch, rows, columns, channels},
                              chance(random, 50));
  const Box out =
      make_box(random, any_type(random), {batch, height, width, a->transposed ? places : channels},
               chance(random, 50));
  fill(random, first);
  fill(random, second);
  int bits = 14;
  for (const Box* box : {&first, &second}) {
    if (box->tensor.type == Type::int16) bits += 8;
  }
  const int summands = first.tensor.shape[3] / groups;
  if (bits > 22 || (bits > 14 && summands > 32)) {  // so that sums stay below 2^28
    for (const Box* box : {&first, &second}) {
      std::memset(box->memory->data(), static_cast<int>(random() % 2), box->memory->size());
    }
  }
  a->a = first.tensor;
  a->b = second.tensor;
  limits_of(random, out.tensor.type, a->lo, a->hi);
  a->table = make_channel(random, bits + 2, out.tensor.type, 0);
  a->table.residual_multiplier = 0;
  const std::string text =
      "matmul a " + first.text() + " b " + second.text() + (a->transposed ? " transposed" : "");
  Case result = make_case(text, a, out, &Kernels::matmul, &Kernels::matmul_scratch, first, second);
  result.naive = [a, groups](const Tensor& to) { naive_matmul(*a, to, groups); };
  return result;
}

}  // namespace horizon
