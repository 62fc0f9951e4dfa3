// The code that rescale and add of all instruction sets share: vectors of elements.
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include "kernels/elements.h"
#include "kernels/parts.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

inline bool pixels_joined(const Tensor& tensor) {
  return tensor.stride[2] == tensor.shape[3] * element_bytes(tensor.type);
}

inline bool all_joined(const Tensor& out, const Tensor& a, const Tensor& b) {
  return pixels_joined(out) && pixels_joined(a) && pixels_joined(b);
}

// Calls step(ratios, out, a, b, lanes) for vectors of up to kLanes elements.
//
// If all channels have one ratio, `same`, and no operand has gaps between its pixels, vectors run
// through whole rows. Otherwise a vector holds channels of one pixel; with a table, make(channels,
// lanes) is called once for all pixels of a row.
template <std::int64_t kLanes, class Ratios, class Make, class Step>
void for_each_vector(const Tensor& out, const Tensor& a, const Tensor& b, const Ratios& same,
                     const Channel* table, const Part& part, Make make, Step step) {
  const std::int64_t out_bytes = element_bytes(out.type);
  const std::int64_t a_bytes = element_bytes(a.type), b_bytes = element_bytes(b.type);
  for_each_run(out, part, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
    std::byte* to = pixel(out, n, y, x);
    const std::byte* first = pixel(a, n, y, x);
    const std::byte* second = pixel(b, n, y, x);
    const std::int64_t channels = out.shape[3];
    if (table == nullptr && all_joined(out, a, b)) {
      const std::int64_t elements = (end - x) * channels, whole = elements / kLanes * kLanes;
      for (std::int64_t i = 0; i < whole; i += kLanes) {
        step(same, to + i * out_bytes, first + i * a_bytes, second + i * b_bytes, kLanes);
      }
      if (whole < elements) {
        step(same, to + whole * out_bytes, first + whole * a_bytes, second + whole * b_bytes,
             elements - whole);
      }
      return;
    }
    for (std::int64_t c = 0; c < channels; c += kLanes) {
      const std::int64_t lanes = channels - c < kLanes ? channels - c : kLanes;
      const Ratios ratios = table == nullptr ? same : make(table + c, lanes);
      for (std::int64_t k = 0; k < end - x; ++k) {
        step(ratios, to + k * out.stride[2] + c * out_bytes, first + k * a.stride[2] + c * a_bytes,
             second + k * b.stride[2] + c * b_bytes, lanes);
      }
    }
  });
}

// The operators for a Set, for one or two slopes, of static members:
//   kLanes, kMasked             int32 lanes of a Vector; whether fewer of them take no longer
//   Ratios, Limits(lo, hi)      the arithmetic of kLanes channels; the least and largest result
//   ratios(channels, lanes)     of the first `lanes` channels of a table, whose biases do not count
//   ratios(channel)             the same for all lanes
//   load(from, type, lanes), store(to, type, value, lanes)
//   scale<kAdd>(ratios, limits, a, b)    requantises a, or a and b
template <class Set, bool kAdd>
void rescale_vectors(const Tensor& out, const Tensor& a, const Tensor& b, const Channel& same,
                     const Channel* table, const typename Set::Limits& limits, const Part& part) {
  using Ratios = typename Set::Ratios;
  for_each_vector<Set::kLanes>(
      out, a, b, Set::ratios(same), table, part,
      [](const Channel* channels, std::int64_t lanes) { return Set::ratios(channels, lanes); },
      [&](const Ratios& ratios, std::byte* to, const std::byte* first, const std::byte* second,
          std::int64_t lanes) {
        const auto x = Set::load(first, a.type, lanes);
        const auto z = kAdd ? Set::load(second, b.type, lanes) : x;
        Set::store(to, out.type, Set::template scale<kAdd>(ratios, limits, x, z), lanes);
      });
}

// Without masks, a partly filled vector takes longer than single elements.
template <class Set>
bool better_scalar(const Tensor& out, const Tensor& a, const Tensor& b) {
  return !Set::kMasked && out.shape[3] < Set::kLanes && !all_joined(out, a, b);
}

template <template <bool> class Set>
void rescale(const RescaleArgs& args, const Part& part) {
  if (better_scalar<Set<false>>(args.out, args.in, args.in)) return scalar::rescale(args, part);
  const auto with = [&]<class S>() {
    const Channel* table = args.table_count == 1 ? nullptr : args.table;
    rescale_vectors<S, false>(args.out, args.in, args.in, args.table[0], table, {args.lo, args.hi},
                              part);
  };
  return args.two_slopes ? with.template operator()<Set<true>>()
                         : with.template operator()<Set<false>>();
}

template <template <bool> class Set>
void add(const AddArgs& args, const Part& part) {
  if (better_scalar<Set<false>>(args.out, args.a, args.b)) return scalar::add(args, part);
  const auto with = [&]<class S>() {
    rescale_vectors<S, true>(args.out, args.a, args.b, args.table, nullptr, {args.lo, args.hi},
                             part);
  };
  return args.two_slopes ? with.template operator()<Set<true>>()
                         : with.template operator()<Set<false>>();
}

}  // namespace
}  // namespace horizon
