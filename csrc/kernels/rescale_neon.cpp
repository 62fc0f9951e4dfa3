// Rescale and add with NEON: 4 elements at a time, products and sums in int64.
#if defined(__aarch64__)

#include "kernels/neon.h"
#include "kernels/requantize_neon.h"
#include "kernels/rescale_plan.h"

namespace horizon {
namespace {

constexpr std::int64_t kLanes = 4;

// The first `count` channels of a table, or the same one for all lanes; biases are not used.
Scale4 scale_of(const Channel* table, std::int64_t count, bool same) {
  Channel four[kLanes];
  for (std::int64_t i = 0; i < kLanes; ++i) {
    four[i] = i < count || same ? table[same ? 0 : i] : Channel{0, 0, 0, 1};
    four[i].bias = 0;
  }
  return make_scale4(four);
}

// With a table each channel has its own ratio, else all have `same`.
template <bool kAdd>
void all(const Tensor& out, const Tensor& a, const Tensor& b, const Scale4& same,
         const Channel* table, std::int32_t least, std::int32_t most, const Part& part) {
  const std::int64_t out_bytes = element_bytes(out.type);
  const std::int64_t a_bytes = element_bytes(a.type), b_bytes = element_bytes(b.type);
  const int32x4_t lo = vdupq_n_s32(least), hi = vdupq_n_s32(most);
  for_each_stretch(
      out, a, b, table == nullptr, part,
      [&](std::byte* to, const std::byte* first, const std::byte* second, std::int64_t count) {
        for (std::int64_t i = 0; i < count; i += kLanes) {
          const std::int64_t lanes = count - i < kLanes ? count - i : kLanes;
          const Scale4 scale = table == nullptr ? same : scale_of(table + i, lanes, false);
          const int32x4_t x = load4(first + i * a_bytes, a.type, lanes);
          int32x4_t y;
          if constexpr (kAdd) {
            y = requantize4(x, load4(second + i * b_bytes, b.type, lanes), scale, lo, hi);
          } else {
            y = requantize4(x, scale, lo, hi);
          }
          store4(to + i * out_bytes, out.type, y, lanes);
        }
      });
}

}  // namespace

void rescale_neon(const RescaleArgs& args, Part part) {
  const Channel* table = args.table_count == 1 ? nullptr : args.table;
  all<false>(args.out, args.in, args.in, scale_of(args.table, 1, true), table, args.lo, args.hi,
             part);
}

void add_neon(const AddArgs& args, Part part) {
  all<true>(args.out, args.a, args.b, scale_of(&args.table, 1, true), nullptr, args.lo, args.hi,
            part);
}

}  // namespace horizon

#endif
