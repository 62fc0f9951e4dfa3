// Rescale and add with NEON: 4 elements at a time, products and sums in int64.
#if defined(__aarch64__)

#include "kernels/neon.h"
#include "kernels/requantize_neon.h"
#include "kernels/rescale_plan.h"
#include "kernels/scalar.h"

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
  const int32x4_t lo = vdupq_n_s32(least), hi = vdupq_n_s32(most);
  for_each_vector<kLanes>(
      out, a, b, same, table, part,
      [](const Channel* channels, std::int64_t lanes) { return scale_of(channels, lanes, false); },
      [&](const Scale4& scale, std::byte* to, const std::byte* first, const std::byte* second,
          std::int64_t lanes) {
        const int32x4_t x = load4(first, a.type, lanes);
        int32x4_t y;
        if constexpr (kAdd) {
          y = requantize4(x, load4(second, b.type, lanes), scale, lo, hi);
        } else {
          y = requantize4(x, scale, lo, hi);
        }
        store4(to, out.type, y, lanes);
      });
}

// Parts of vectors take longer than elements by themselves.
bool few(const Tensor& out, const Tensor& a, const Tensor& b) {
  return out.shape[3] < kLanes && !all_joined(out, a, b);
}

}  // namespace

void rescale_neon(const RescaleArgs& args, Part part) {
  if (few(args.out, args.in, args.in)) return rescale_scalar(args, part);
  const Channel* table = args.table_count == 1 ? nullptr : args.table;
  all<false>(args.out, args.in, args.in, scale_of(args.table, 1, true), table, args.lo, args.hi,
             part);
}

void add_neon(const AddArgs& args, Part part) {
  if (few(args.out, args.a, args.b)) return add_scalar(args, part);
  all<true>(args.out, args.a, args.b, scale_of(&args.table, 1, true), nullptr, args.lo, args.hi,
            part);
}

}  // namespace horizon

#endif
