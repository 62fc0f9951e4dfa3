// The product of two tensors, for all instruction sets: vectors of elements.
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include "kernels/rescale_plan.h"

namespace horizon {
namespace {

// Along which sides b has different values.
struct Factors {
  Tensor b;
  bool one_for_pixel, one_for_row;
  bool whole_rows;  // vectors can run through whole rows

  explicit Factors(const MulArgs& args) : b(spread(args.b)) {
    const std::int64_t channels = args.out.shape[3];
    one_for_pixel = b.shape[3] == 1;
    one_for_row = b.stride[2] == 0;
    const bool each = b.shape[3] == channels && b.stride[2] == channels * element_bytes(b.type);
    whole_rows = pixels_joined(args.out) && pixels_joined(args.a) &&
                 (each || (one_for_pixel && one_for_row));
  }
};

// Calls step(out, a, factor, lanes) for vectors of up to kLanes elements; `factor` is a vector of
// b.
//
// If rows of `out` and `a` have no gaps, and b has one value per row or no gaps either, vectors run
// through whole rows. Otherwise a vector holds channels of one pixel. A value of b that all pixels
// of a row share is then loaded once per vector of channels; a value that all channels of a pixel
// share is loaded once per pixel.
template <class Set, class Step>
void for_each_factor(const MulArgs& args, const Factors& factors, const Part& part, Step step) {
  constexpr std::int64_t kLanes = Set::kLanes;
  const Tensor &out = args.out, &a = args.a, &b = factors.b;
  const std::int64_t channels = out.shape[3];
  const std::int64_t out_bytes = element_bytes(out.type);
  const std::int64_t a_bytes = element_bytes(a.type), b_bytes = element_bytes(b.type);
  // Vectors through `count` elements that lie side by side.
  const auto through = [&](std::byte* to, const std::byte* from, std::int64_t count, auto factor) {
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      step(to + i * out_bytes, from + i * a_bytes, factor(i, kLanes), kLanes);
    }
    if (i < count) step(to + i * out_bytes, from + i * a_bytes, factor(i, count - i), count - i);
  };
  for_each_run(out, part, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
    std::byte* to = pixel(out, n, y, x);
    const std::byte* first = pixel(a, n, y, x);
    const std::byte* second = pixel(b, n, y, x);
    const std::int64_t pixels = end - x;
    const auto loaded = [&](std::int64_t i, std::int64_t lanes) {
      return Set::load(second + i * b_bytes, b.type, lanes);
    };
    if (factors.whole_rows && !(factors.one_for_pixel && factors.one_for_row)) {
      through(to, first, pixels * channels, loaded);
    } else if (factors.one_for_pixel) {
      // As one pixel of many channels, where all pixels have the same factor.
      const std::int64_t count = factors.whole_rows ? 1 : pixels;
      for (std::int64_t k = 0; k < count; ++k) {
        const auto factor = Set::same(read_element(second + k * b.stride[2], b.type));
        through(to + k * out.stride[2], first + k * a.stride[2], pixels / count * channels,
                [&](std::int64_t, std::int64_t) { return factor; });
      }
    } else {
      for (std::int64_t c = 0; c < channels; c += kLanes) {
        const std::int64_t lanes = channels - c < kLanes ? channels - c : kLanes;
        auto factor = loaded(c, lanes);
        for (std::int64_t k = 0; k < pixels; ++k) {
          if (!factors.one_for_row) {
            factor = Set::load(second + k * b.stride[2] + c * b_bytes, b.type, lanes);
          }
          step(to + k * out.stride[2] + c * out_bytes, first + k * a.stride[2] + c * a_bytes,
               factor, lanes);
        }
      }
    }
  });
}

// A Set of rescale_plan.h that also has
//   times(a, b), same(value)    products of values of int16; one value in all lanes
template <class Set>
void mul(const MulArgs& args, const Part& part) {
  const Factors factors(args);
  // Without masks, a partly filled vector takes longer than single elements.
  if (!Set::kMasked && args.out.shape[3] < Set::kLanes && !factors.whole_rows) {
    return scalar::mul(args, part);
  }
  const auto ratios = Set::ratios(args.table);
  const typename Set::Limits limits{args.lo, args.hi};
  for_each_factor<Set>(
      args, factors, part,
      [&](std::byte* to, const std::byte* from, const auto& factor, std::int64_t lanes) {
        const auto product = Set::times(Set::load(from, args.a.type, lanes), factor);
        Set::store(to, args.out.type, Set::template scale<false>(ratios, limits, product, product),
                   lanes);
      });
}

}  // namespace
}  // namespace horizon
