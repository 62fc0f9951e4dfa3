// Average pooling in plain C++.
#include "kernels/elements.h"
#include "kernels/parts.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

// Taps of a window that begins at `first`, from `lowest` to `highest`.
std::int32_t taps_within(std::int64_t first, std::int64_t kernel, std::int64_t lowest,
                         std::int64_t highest) {
  std::int32_t taps = 0;
  for (std::int64_t at = first; at < first + kernel; ++at) taps += at >= lowest && at <= highest;
  return taps;
}

const Channel& entry_of(const AvgPoolArgs& a, std::int64_t top, std::int64_t left) {
  if (a.table_count == 1) return a.table[0];
  const std::int32_t rows =
      taps_within(top, a.kernel[0], -a.margin[0], a.in.shape[1] - 1 + a.margin[0]);
  const std::int32_t columns =
      taps_within(left, a.kernel[1], -a.margin[1], a.in.shape[2] - 1 + a.margin[1]);
  const Channel* entry = a.table;
  while (entry->count != rows * columns) ++entry;
  return *entry;
}

}  // namespace

std::size_t scalar::avg_pool_scratch(const AvgPoolArgs&) { return 0; }

void scalar::avg_pool(const AvgPoolArgs& args, Part part) {
  const auto sum = [&](std::int64_t n, std::int64_t top, std::int64_t left, std::int64_t c) {
    std::int64_t result = 0;
    for (std::int64_t row = top; row < top + args.kernel[0]; ++row) {
      for (std::int64_t column = left; column < left + args.kernel[1]; ++column) {
        if (row < 0 || row >= args.in.shape[1] || column < 0 || column >= args.in.shape[2])
          continue;
        const std::byte* at = pixel(args.in, n, row, column) + c * args.in.stride[3];
        result += read_element(at, args.in.type);
      }
    }
    return result;
  };
  for_each_run(args.out, part,
               [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
                 const std::int64_t top = y * args.stride[0] - args.pad[0];
                 for (; x < end; ++x) {
                   const std::int64_t left = x * args.stride[1] - args.pad[1];
                   const Channel& entry = entry_of(args, top, left);
                   std::byte* out = pixel(args.out, n, y, x);
                   for (std::int64_t c = 0; c < args.out.shape[3]; ++c) {
                     const std::int64_t scaled = sum(n, top, left, c) * entry.multiplier;
                     write_element(out + c * args.out.stride[3], args.out.type,
                                   round_shift(scaled, entry.shift, args.lo, args.hi));
                   }
                 }
               });
}

}  // namespace horizon
