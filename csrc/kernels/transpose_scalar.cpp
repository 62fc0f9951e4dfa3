// Exchange of pixels and channels in plain C++.
#include "kernels/elements.h"
#include "kernels/parts.h"
#include "kernels/sets.h"

namespace horizon {

void scalar::transpose(const TransposeArgs& args, Part part) {
  const std::int64_t columns = args.out.shape[2], made = args.out.shape[1] * columns;
  const std::int64_t width = args.in.shape[2], pixels = args.in.shape[1] * width;
  for_each_run(args.out, part,
               [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
                 for (; x < end; ++x) {
                   std::byte* out = pixel(args.out, n, y, x);
                   for (std::int64_t channel = 0; channel < args.out.shape[3]; ++channel) {
                     const std::int64_t group = channel / pixels, p = channel % pixels;
                     const std::byte* in = pixel(args.in, n, p / width, p % width) +
                                           (group * made + y * columns + x) * args.in.stride[3];
                     write_element(out + channel * args.out.stride[3], args.out.type,
                                   read_element(in, args.in.type));
                   }
                 }
               });
}

}  // namespace horizon
