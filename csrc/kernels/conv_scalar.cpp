// Convolution and transposed convolution in plain C++.
#include "kernels/elements.h"
#include "kernels/parts.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

// The weights of one output and one tap: groups of four inputs, `step` bytes apart.
struct Weights {
  const std::int8_t* data;
  std::int64_t step;
};

Weights weights_of(const ConvArgs& args, std::int64_t o, std::int64_t ky, std::int64_t kx) {
  const std::int64_t channels = args.in.shape[3];
  if (args.weight_layout == WeightLayout::rows) {
    const std::int64_t padded = (channels + 63) / 64 * 64;
    return {args.weight + ((o * args.kernel[0] + ky) * args.kernel[1] + kx) * padded, 4};
  }
  const std::int64_t tap = (o / 16 * args.kernel[0] + ky) * args.kernel[1] + kx;
  return {args.weight + tap * ((channels + 3) / 4) * 64 + o % 16 * 4, 64};
}

template <class T>
std::uint32_t dot(const std::byte* x, const Weights& w, std::int64_t channels) {
  const T* values = reinterpret_cast<const T*>(x);
  std::uint32_t acc = 0;
  for (std::int64_t i = 0; i < channels; ++i) {
    acc += static_cast<std::uint32_t>(values[i] * w.data[i / 4 * w.step + i % 4]);
  }
  return acc;
}

// The weights [outputs / 64][taps][64] of one output, one input each.
template <class T>
std::uint32_t product(const ConvArgs& args, const std::byte* x, std::int64_t o, std::int64_t ky,
                      std::int64_t kx) {
  const std::int64_t taps = std::int64_t{args.kernel[0]} * args.kernel[1];
  const std::int64_t tap = o / 64 * taps + ky * args.kernel[1] + kx;
  return static_cast<std::uint32_t>(reinterpret_cast<const T*>(x)[o] *
                                    args.weight[tap * 64 + o % 64]);
}

// The input's row (axis 0) or column (axis 1) that tap k contributes to place `at` of the output;
// -1 if there is none or if it is outside the input.
std::int64_t source(const ConvArgs& args, int axis, std::int64_t at, std::int64_t k) {
  const std::int64_t stride = args.stride[axis], pad = args.pad[axis];
  const std::int64_t size = args.in.shape[1 + axis];
  std::int64_t place = 0;
  if (args.transposed) {
    const std::int64_t spread = at + pad - k;
    if (spread < 0 || spread % stride != 0) return -1;
    place = spread / stride;
  } else {
    place = at * stride - pad + k * args.dilation[axis];
  }
  return place >= 0 && place < size ? place : -1;
}

std::uint32_t accumulate(const ConvArgs& args, std::int64_t n, std::int64_t y, std::int64_t x,
                         std::int64_t o) {
  std::uint32_t acc = 0;
  for (std::int64_t ky = 0; ky < args.kernel[0]; ++ky) {
    const std::int64_t row = source(args, 0, y, ky);
    if (row < 0) continue;
    for (std::int64_t kx = 0; kx < args.kernel[1]; ++kx) {
      const std::int64_t column = source(args, 1, x, kx);
      if (column < 0) continue;
      const std::byte* in = pixel(args.in, n, row, column);
      if (args.weight_layout == WeightLayout::depthwise) {
        acc += args.in.type == Type::int8 ? product<std::int8_t>(args, in, o, ky, kx)
                                          : product<std::int16_t>(args, in, o, ky, kx);
        continue;
      }
      const Weights w = weights_of(args, o, ky, kx);
      acc += args.in.type == Type::int8 ? dot<std::int8_t>(in, w, args.in.shape[3])
                                        : dot<std::int16_t>(in, w, args.in.shape[3]);
    }
  }
  return acc;
}

}  // namespace

std::size_t scalar::conv_scratch(const ConvArgs&) { return 0; }

void scalar::conv(const ConvArgs& args, Part part) {
  for_each_run(
      args.out, part, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
        for (; x < end; ++x) {
          std::byte* out = pixel(args.out, n, y, x);
          for (std::int64_t o = 0; o < args.out.shape[3]; ++o) {
            std::int32_t residual = 0;
            if (args.residual.data != nullptr) {
              const std::byte* at = pixel(args.residual, n, y, x) + o * args.residual.stride[3];
              residual = read_element(at, args.residual.type);
            }
            const std::uint32_t acc = accumulate(args, n, y, x, o);
            const std::int32_t value =
                requantize(acc, args.table[o], residual, args.lo, args.hi, args.two_slopes);
            write_element(out + o * args.out.stride[3], args.out.type, value);
          }
        }
      });
}

}  // namespace horizon
