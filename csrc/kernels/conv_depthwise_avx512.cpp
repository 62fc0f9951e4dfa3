// Depthwise convolution with AVX-512 VNNI, int8 inputs. How it works stands
// in conv_depthwise_work_avx512.h.
#if defined(__x86_64__)

// GCC 12 takes the undefined lanes in its own header for uninitialised variables.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include "kernels/conv_depthwise_avx512.h"

#include "kernels/conv_depthwise_finish_avx512.h"

namespace horizon {
namespace {

// Output rows y .. y + plan.rows - 1, those that there are.
template <int F>
template <class Finish>
void Depthwise<F>::rows(std::int32_t image, std::int64_t y, const Finish& finish) const {
  const std::int64_t width = a.out.shape[2], vectors = (width + F - 1) / F;
  const std::int64_t left = a.out.shape[1] - y, count = left < plan.rows ? left : plan.rows;
  for (std::int64_t begin = 0; begin < vectors; begin += slots.vectors) {
    const std::int64_t some = vectors - begin < slots.vectors ? vectors - begin : slots.vectors;
    interleave_rows(image, y * a.stride[0] - a.pad[0], begin, some);
    for (std::int64_t row = 0; row < count; ++row) {
      const std::int8_t* weights = scratch.weights + row * plan.taps * kColumn;
      const std::uint8_t* inputs[kMostRows / 4 * kMostColumns];
      for (std::int64_t tap = 0; tap < plan.taps; ++tap) {
        const std::int64_t quad = tap / a.kernel[1], kx = tap % a.kernel[1];
        inputs[tap] = scratch.inputs + (quad * kMostSlots + kx * slots.tap) * kColumn;
      }
      std::int64_t x = begin * F;
      std::byte* out = pixel(a.out, image, y + row, x) + first * a.out.stride[3];
      const std::byte* residual =
          a.residual.data == nullptr ? nullptr : pixel(a.residual, image, y + row, x);
      const auto next = [&]<int P>() {
        if (plan.taps == 3) {
          finish.template vectors<P, 3>(*this, inputs, weights, out, residual, width - x);
        } else {
          finish.template vectors<P, 0>(*this, inputs, weights, out, residual, width - x);
        }
        for (std::int64_t tap = 0; tap < plan.taps; ++tap) inputs[tap] += P * slots.step * kColumn;
        x += P * F;
        out += P * F * a.out.stride[2];
        if (residual != nullptr) residual += P * F * a.residual.stride[2];
      };
      std::int64_t v = 0;
      for (; v + 4 <= some; v += 4) next.template operator()<4>();
      for (; v < some; ++v) next.template operator()<1>();
    }
  }
}

// Calls run.operator()<F>(first channel) for a block of channels.
template <class Run>
void with_block(const ConvArgs& a, std::int64_t block, Run run) {
  const std::int64_t left = a.out.shape[3] - block * kBlock;
  if (left > 32) {
    run.template operator()<1>();
  } else if (left > 16) {
    run.template operator()<2>();
  } else {
    run.template operator()<4>();
  }
}

template <class Finish>
void convolve_depthwise(const ConvArgs& a, const Part& part, const Finish& finish) {
  const Plan plan(a);
  const std::int64_t groups = (a.out.shape[1] + plan.rows - 1) / plan.rows;
  const auto prepare = [&](std::int64_t block) {
    with_block(a, block, [&]<int F>() {
      Depthwise<F>(a, plan, Scratch(a, plan, part.scratch, block), block * kBlock).prepare();
    });
  };
  const auto rows = [&](std::int64_t block, std::int64_t from, std::int64_t to) {
    with_block(a, block, [&]<int F>() {
      const Scratch scratch(a, plan, part.scratch, block);
      const Depthwise<F> some(a, plan, scratch, block * kBlock);
      for (std::int64_t unit = from; unit < to; ++unit) {
        some.rows(static_cast<std::int32_t>(unit / groups), unit % groups * plan.rows, finish);
      }
    });
  };
  by_blocks(a, plan, Scratch::blocks(a), part, prepare, rows);
}

}  // namespace

bool avx512::conv_fits_depthwise(const ConvArgs& a) {
  return a.weight_layout == WeightLayout::depthwise && a.in.type == Type::int8 &&
         a.kernel[0] <= kMostRows && a.kernel[1] <= kMostColumns;
}

std::size_t avx512::conv_depthwise_scratch(const ConvArgs& a) {
  return static_cast<std::size_t>(Scratch::bytes(a));
}

void avx512::conv_depthwise(const ConvArgs& a, const Part& part) {
  if (Lean::fits(a)) return convolve_depthwise(a, part, Lean(a));
  if (a.two_slopes) return convolve_depthwise(a, part, Full<SlopedRatios>(a, part.scratch));
  return convolve_depthwise(a, part, Full<Ratios>(a, part.scratch));
}

}  // namespace horizon

#endif
