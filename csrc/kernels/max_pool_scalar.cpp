// Max pooling in plain C++.
#include "kernels/elements.h"
#include "kernels/parts.h"
#include "kernels/sets.h"

namespace horizon {

std::size_t scalar::max_pool_scratch(const PoolArgs&) { return 0; }

void scalar::max_pool(const PoolArgs& args, Part part) {
  const Type type = args.in.type;
  const auto largest = [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c) {
    std::int32_t result = INT32_MIN;
    for (std::int64_t ky = 0; ky < args.kernel[0]; ++ky) {
      for (std::int64_t kx = 0; kx < args.kernel[1]; ++kx) {
        const std::int64_t row = y * args.stride[0] - args.pad[0] + ky;
        const std::int64_t column = x * args.stride[1] - args.pad[1] + kx;
        if (row < 0 || row >= args.in.shape[1] || column < 0 || column >= args.in.shape[2])
          continue;
        const std::byte* at = pixel(args.in, n, row, column) + c * args.in.stride[3];
        const std::int32_t value = read_element(at, type);
        if (value > result) result = value;
      }
    }
    return result;
  };
  for_each_run(args.out, part,
               [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
                 for (; x < end; ++x) {
                   std::byte* out = pixel(args.out, n, y, x);
                   for (std::int64_t c = 0; c < args.out.shape[3]; ++c) {
                     write_element(out + c * args.out.stride[3], type, largest(n, y, x, c));
                   }
                 }
               });
}

}  // namespace horizon
