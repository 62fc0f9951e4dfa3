// Depthwise convolution of int8 with vectors of 256 bits; how it works stands in
// conv_depthwise_work_avx2.h.
#pragma once

#if defined(__x86_64__)

#include "kernels/conv_depthwise_finish_avx2.h"

namespace horizon {
namespace {

inline bool fits_depthwise_bytes(const ConvArgs& a) {
  return a.weight_layout == WeightLayout::depthwise && a.in.type == Type::int8 && !a.any_weight &&
         a.kernel[0] <= kMostRows && a.kernel[1] <= kMostColumns &&
         (a.kernel[1] - 1) * a.dilation[1] < kMostSlots;
}

// The constants of FullFinish come first.
template <class Set>
std::int64_t finish_bytes(const ConvArgs& a) {
  return LeanFinish::fits(a) ? 0 : round_up(Tiles<Set, true>::scratch_bytes(a), 64);
}

template <class Dot, class Finish>
void convolve_rows(const ConvArgs& a, const Part& part, std::byte* scratch, const Finish& finish) {
  const Plan plan(a);
  const std::int64_t groups = (a.out.shape[1] + plan.rows - 1) / plan.rows;
  const auto prepare = [&](std::int64_t block) {
    DepthwiseBytes<Dot>(a, plan, scratch, block).prepare();
  };
  const auto rows = [&](std::int64_t block, std::int64_t from, std::int64_t to) {
    const DepthwiseBytes<Dot> some(a, plan, scratch, block);
    for (std::int64_t unit = from; unit < to; ++unit) {
      some.rows(static_cast<std::int32_t>(unit / groups), unit % groups * plan.rows, finish);
    }
  };
  by_blocks(a, plan, DepthwiseBytes<Dot>::blocks(a), part, prepare, rows);
}

// The whole operator.
template <class Dot>
std::size_t depthwise_bytes_scratch(const ConvArgs& a) {
  const std::int64_t finish =
      a.two_slopes ? finish_bytes<Avx2<true>>(a) : finish_bytes<Avx2<false>>(a);
  return static_cast<std::size_t>(finish + DepthwiseBytes<Dot>::scratch_bytes(a));
}

template <class Dot>
void convolve_depthwise_bytes(const ConvArgs& a, const Part& part) {
  if (LeanFinish::fits(a)) return convolve_rows<Dot>(a, part, part.scratch, LeanFinish(a));
  const auto full = [&]<class Set>() {
    std::byte* rest = part.scratch + finish_bytes<Set>(a);
    convolve_rows<Dot>(a, part, rest, FullFinish<Set>(a, part.scratch));
  };
  a.two_slopes ? full.template operator()<Avx2<true>>() : full.template operator()<Avx2<false>>();
}

}  // namespace
}  // namespace horizon

#endif
