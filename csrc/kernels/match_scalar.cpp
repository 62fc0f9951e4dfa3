// Correlation and warp in plain C++.
#include "kernels/elements.h"
#include "kernels/parts.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

template <class A, class B>
std::uint32_t dot(const std::byte* a, const std::byte* b, std::int64_t channels) {
  const A* first = reinterpret_cast<const A*>(a);
  const B* second = reinterpret_cast<const B*>(b);
  std::uint32_t acc = 0;
  for (std::int64_t c = 0; c < channels; ++c) {
    acc += static_cast<std::uint32_t>(first[c]) * static_cast<std::uint32_t>(second[c]);
  }
  return acc;
}

std::uint32_t correlate(const CorrelationArgs& args, const std::byte* a, const std::byte* b) {
  const std::int64_t channels = args.a.shape[3];
  if (args.a.type == Type::int8) {
    return args.b.type == Type::int8 ? dot<std::int8_t, std::int8_t>(a, b, channels)
                                     : dot<std::int8_t, std::int16_t>(a, b, channels);
  }
  return args.b.type == Type::int8 ? dot<std::int16_t, std::int8_t>(a, b, channels)
                                   : dot<std::int16_t, std::int16_t>(a, b, channels);
}

bool inside(const Tensor& tensor, std::int64_t y, std::int64_t x) {
  return y >= 0 && y < tensor.shape[1] && x >= 0 && x < tensor.shape[2];
}

// One tap of the four: where it lies, and its weight of 2F bits.
struct Tap {
  const std::byte* data;
  std::int32_t weight;
};

}  // namespace

std::size_t scalar::correlation_scratch(const CorrelationArgs&) { return 0; }

void scalar::correlation(const CorrelationArgs& args, Part part) {
  const std::int64_t side = 2 * args.reach + 1;
  for_each_run(args.out, part,
               [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
                 for (; x < end; ++x) {
                   const std::byte* a = pixel(args.a, n, y, x);
                   std::byte* out = pixel(args.out, n, y, x);
                   for (std::int64_t d = 0; d < side * side; ++d) {
                     const std::int64_t row = y + d / side - args.pad[0],
                                        column = x + d % side - args.pad[1];
                     std::uint32_t acc = 0;
                     if (inside(args.b, row, column))
                       acc = correlate(args, a, pixel(args.b, n, row, column));
                     const std::int32_t value =
                         requantize(acc, args.table, 0, args.lo, args.hi, args.two_slopes);
                     write_element(out + d * args.out.stride[3], args.out.type, value);
                   }
                 }
               });
}

void scalar::warp(const WarpArgs& args, Part part) {
  const Tensor& feature = args.feature;
  const std::int32_t bits = args.fraction_bits, one = 1 << bits;
  const std::int32_t half = bits == 0 ? 0 : 1 << (2 * bits - 1);
  for_each_run(
      args.out, part, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
        for (; x < end; ++x) {
          std::int64_t place[2];  // y, x in steps of 2^-F pixels
          for (int axis = 0; axis < 2; ++axis) {
            const std::byte* at = pixel(args.offset, n, y, x) + (1 - axis) * args.offset.stride[3];
            const std::int64_t step =
                std::int64_t{read_element(at, Type::int16)} * args.table.multiplier;
            place[axis] = ((args.origin[axis] + (axis == 0 ? y : x)) << bits) +
                          round_shift(step, args.table.shift, -32768, 32767);
          }
          Tap taps[4];
          for (int i = 0; i < 4; ++i) {
            const std::int64_t below = i / 2, right = i % 2;
            const auto down = static_cast<std::int32_t>(place[0] & (one - 1));
            const auto across = static_cast<std::int32_t>(place[1] & (one - 1));
            const std::int64_t row = (place[0] >> bits) + below,
                               column = (place[1] >> bits) + right;
            const std::int32_t weight =
                (below ? down : one - down) * (right ? across : one - across);
            const bool read = inside(feature, row, column);
            taps[i] = {read ? pixel(feature, n, row, column) : feature.data, read ? weight : 0};
          }
          std::byte* out = pixel(args.out, n, y, x);
          for (std::int64_t c = 0; c < feature.shape[3]; ++c) {
            std::int32_t sum = half;  // the weights' sum is 2^(2F): it fits
            for (const Tap& tap : taps) {
              sum += tap.weight * read_element(tap.data + c * feature.stride[3], feature.type);
            }
            write_element(out + c * args.out.stride[3], args.out.type, sum >> (2 * bits));
          }
        }
      });
}

}  // namespace horizon
