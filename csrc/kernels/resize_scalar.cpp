// Resizing in plain C++.
#include "kernels/elements.h"
#include "kernels/parts.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

// What an output row or column reads: two of the whole input's, and the weight of the second.
struct Place {
  std::int64_t first, second, weight;
};

Place place_of(const ResizeArgs& args, int axis, std::int64_t at) {
  const std::int64_t divisor = args.divisor[axis], last = args.last[axis];
  const std::int64_t whole = args.step[axis] * (args.origin[axis] + at) + args.offset[axis];
  std::int64_t place = whole / divisor;
  if (whole % divisor < 0) --place;  // floor
  const std::int64_t highest = last << args.fraction_bits;
  place = place < 0 ? 0 : place > highest ? highest : place;
  const std::int64_t first = place >> args.fraction_bits;
  return {first, first < last ? first + 1 : last,
          place & ((std::int64_t{1} << args.fraction_bits) - 1)};
}

}  // namespace

std::size_t scalar::resize_scratch(const ResizeArgs&) { return 0; }

void scalar::resize(const ResizeArgs& args, Part part) {
  const std::int32_t bits = args.fraction_bits;
  const std::int64_t one = std::int64_t{1} << bits, half = one * one >> 1;
  for_each_run(
      args.out, part, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
        const Place down = place_of(args, 0, y);
        for (; x < end; ++x) {
          const Place across = place_of(args, 1, x);
          const std::byte* taps[4];
          for (int i = 0; i < 4; ++i) {
            taps[i] = pixel(args.in, n, (i / 2 == 0 ? down.first : down.second) + args.pad[0],
                            (i % 2 == 0 ? across.first : across.second) + args.pad[1]);
          }
          std::byte* out = pixel(args.out, n, y, x);
          for (std::int64_t c = 0; c < args.out.shape[3]; ++c) {
            std::int64_t sum = half;
            for (int i = 0; i < 4; ++i) {
              const std::int64_t weight = (i / 2 == 0 ? one - down.weight : down.weight) *
                                          (i % 2 == 0 ? one - across.weight : across.weight);
              sum += weight * read_element(taps[i] + c * args.in.stride[3], args.in.type);
            }
            write_element(out + c * args.out.stride[3], args.out.type,
                          static_cast<std::int32_t>(sum >> (2 * bits)));
          }
        }
      });
}

}  // namespace horizon
