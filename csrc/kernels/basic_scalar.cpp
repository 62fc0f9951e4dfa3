// Rescale, add, mul and copy in plain C++.
#include "kernels/elements.h"
#include "kernels/parts.h"
#include "kernels/sets.h"

namespace horizon {

void scalar::rescale(const RescaleArgs& args, Part part) {
  for_each_run(
      args.out, part, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
        for (; x < end; ++x) {
          const std::byte* in = pixel(args.in, n, y, x);
          std::byte* out = pixel(args.out, n, y, x);
          for (std::int64_t c = 0; c < args.out.shape[3]; ++c) {
            const Channel& channel = args.table[args.table_count == 1 ? 0 : c];
            const std::int64_t value = read_element(in + c * args.in.stride[3], args.in.type);
            const std::int64_t sum = weighted(channel, value, 0, args.two_slopes);
            write_element(out + c * args.out.stride[3], args.out.type,
                          round_shift(sum, channel.shift, args.lo, args.hi));
          }
        }
      });
}

void scalar::add(const AddArgs& args, Part part) {
  for_each_run(
      args.out, part, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
        for (; x < end; ++x) {
          const std::byte* a = pixel(args.a, n, y, x);
          const std::byte* b = pixel(args.b, n, y, x);
          std::byte* out = pixel(args.out, n, y, x);
          for (std::int64_t c = 0; c < args.out.shape[3]; ++c) {
            const std::int64_t first = read_element(a + c * args.a.stride[3], args.a.type);
            const std::int64_t second = read_element(b + c * args.b.stride[3], args.b.type);
            const std::int64_t sum = weighted(args.table, first, second, args.two_slopes);
            write_element(out + c * args.out.stride[3], args.out.type,
                          round_shift(sum, args.table.shift, args.lo, args.hi));
          }
        }
      });
}

void scalar::mul(const MulArgs& args, Part part) {
  const Tensor b = spread(args.b);
  for_each_run(
      args.out, part, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
        for (; x < end; ++x) {
          const std::byte* first = pixel(args.a, n, y, x);
          const std::byte* second = pixel(b, n, y, x);
          std::byte* out = pixel(args.out, n, y, x);
          for (std::int64_t c = 0; c < args.out.shape[3]; ++c) {
            const std::int64_t product =
                std::int64_t{read_element(first + c * args.a.stride[3], args.a.type)} *
                read_element(second + c * b.stride[3], b.type);
            write_element(
                out + c * args.out.stride[3], args.out.type,
                round_shift(product * args.table.multiplier, args.table.shift, args.lo, args.hi));
          }
        }
      });
}

void scalar::copy(const CopyArgs& args, Part part) {
  const std::int32_t zero_point =
      args.in.type == Type::uint8 && args.out.type == Type::int8 ? 128 : 0;
  // Parts are made of elements, not pixels: weights are copied as one pixel of many channels.
  const std::int64_t channels = args.out.shape[3];
  const Range range = share(pixels_of(args.out) * channels, part);
  for (std::int64_t at = range.begin; at < range.end; ++at) {
    const std::int64_t c = at % channels, x = at / channels % args.out.shape[2];
    const std::int64_t row = at / channels / args.out.shape[2];
    const std::int64_t n = row / args.out.shape[1], y = row % args.out.shape[1];
    const std::byte* in = pixel(args.in, n, y, x) + c * args.in.stride[3];
    std::byte* out = pixel(args.out, n, y, x) + c * args.out.stride[3];
    write_element(out, args.out.type, read_element(in, args.in.type) - zero_point);
  }
}

}  // namespace horizon
