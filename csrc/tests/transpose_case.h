// Random exchanges of pixels and channels.
#pragma once

#include "tests/kernel_cases.h"

namespace horizon {

inline Case transpose_case(Random& random) {
  auto a = std::make_shared<TransposeArgs>();
  const int batch = pick(random, {1, 1, 2}), groups = pick(random, {1, 1, 2, 3});
  const int height = side(random, 5), width = side(random, 20);
  const int rows = side(random, 6), columns = side(random, 30);
  const Type type = any_type(random);
  const Box in =
      make_box(random, type, {batch, height, width, groups * rows * columns}, chance(random, 50));
  const Box out =
      make_box(random, type, {batch, rows, columns, groups * height * width}, chance(random, 50));
  fill(random, in);
  a->in = in.tensor;
  return make_case("transpose in " + in.text(), a, out, &Kernels::transpose, nullptr, in);
}

}  // namespace horizon
