// Exchange of pixels and channels: some channels of a pixel of `in` at a time, so that what one
// cache line holds is written while it is there.
#include "kernels/elements.h"
#include "kernels/parts.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

constexpr std::int64_t kChannels = 16;  // that are read together, and pixels that are written

template <class T>
void transpose_as(const TransposeArgs& args, const Part& part) {
  const std::int64_t columns = args.out.shape[2], made = args.out.shape[1] * columns;
  const std::int64_t width = args.in.shape[2], pixels = args.in.shape[1] * width;
  const std::int64_t groups = args.out.shape[3] / pixels;
  const Range range = share(args.out.shape[0] * made, part);
  for (std::int64_t first = range.begin; first < range.end;) {
    const std::int64_t n = first / made, channel = first % made;
    std::int64_t count = range.end - first < kChannels ? range.end - first : kChannels;
    if (count > made - channel) count = made - channel;
    std::byte* to[kChannels];
    for (std::int64_t i = 0; i < count; ++i) {
      to[i] = pixel(args.out, n, (channel + i) / columns, (channel + i) % columns);
    }
    for (std::int64_t g = 0; g < groups; ++g) {
      for (std::int64_t p = 0; p < pixels; ++p) {
        const auto* from = reinterpret_cast<const T*>(pixel(args.in, n, p / width, p % width)) +
                           g * made + channel;
        for (std::int64_t i = 0; i < count; ++i) {
          reinterpret_cast<T*>(to[i])[g * pixels + p] = from[i];
        }
      }
    }
    first += count;
  }
}

}  // namespace

void HORIZON_SET::transpose(const TransposeArgs& args, Part part) {
  const std::int64_t size = element_bytes(args.out.type);
  if (size == 1) return transpose_as<std::int8_t>(args, part);
  size == 2 ? transpose_as<std::int16_t>(args, part) : transpose_as<std::int32_t>(args, part);
}

}  // namespace horizon
