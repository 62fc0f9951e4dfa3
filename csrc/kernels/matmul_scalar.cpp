// Matrix product in plain C++.
#include "kernels/elements.h"
#include "kernels/matmul_matrix.h"
#include "kernels/parts.h"
#include "kernels/sets.h"

namespace horizon {

std::size_t scalar::matmul_scratch(const MatMulArgs&) { return 0; }

void scalar::matmul(const MatMulArgs& args, Part part) {
  const std::int64_t groups = groups_of(args), channels = args.b.shape[3] / groups;
  const std::int64_t outputs = args.out.shape[3] / groups, inputs = args.a.shape[3] / groups;
  for_each_run(args.out, part,
               [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
                 for (; x < end; ++x) {
                   const std::byte* a = pixel(args.a, n, y, x);
                   std::byte* out = pixel(args.out, n, y, x);
                   for (std::int64_t channel = 0; channel < args.out.shape[3]; ++channel) {
                     const std::int64_t g = channel / outputs, o = channel % outputs;
                     std::uint32_t acc = 0;
                     for (std::int64_t i = 0; i < inputs; ++i) {
                       const std::int64_t j = args.transposed ? o : i, c = args.transposed ? i : o;
                       const std::byte* first = a + (g * inputs + i) * args.a.stride[3];
                       const std::byte* second =
                           pixel_of_b(args, n, j) + (g * channels + c) * args.b.stride[3];
                       acc += static_cast<std::uint32_t>(read_element(first, args.a.type)) *
                              static_cast<std::uint32_t>(read_element(second, args.b.type));
                     }
                     write_element(out + channel * args.out.stride[3], args.out.type,
                                   requantize(acc, args.table, 0, args.lo, args.hi, false));
                   }
                 }
               });
}

}  // namespace horizon
