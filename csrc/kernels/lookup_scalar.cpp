// Lookups in plain C++.
#include "kernels/elements.h"
#include "kernels/parts.h"
#include "kernels/sets.h"

namespace horizon {

void scalar::lookup(const LookupArgs& args, Part part) {
  const Type type = args.out.type;
  for_each_run(
      args.out, part, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
        for (; x < end; ++x) {
          const std::byte* in = pixel(args.in, n, y, x);
          std::byte* out = pixel(args.out, n, y, x);
          for (std::int64_t c = 0; c < args.out.shape[3]; ++c) {
            const std::int32_t entry = read_element(in + c * args.in.stride[3], Type::int8) + 128;
            write_element(out + c * args.out.stride[3], type,
                          read_element(args.table + entry * element_bytes(type), type));
          }
        }
      });
}

}  // namespace horizon
