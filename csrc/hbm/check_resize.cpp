#include "hbm/check_resize.h"

#include <algorithm>
#include <cstdint>

#include "hbm/check_require.h"

namespace horizon {
namespace {

// The places of the whole input that an output pixel reads along an axis.
struct Source {
  std::int64_t first, last;
};

Source source_of(const InstructionRecord& i, int axis, std::int64_t pixel) {
  const std::int64_t place = i.step[axis] * pixel + i.offset[axis], divisor = i.divisor[axis];
  const std::int64_t down = place / divisor - (place % divisor < 0 ? 1 : 0);
  const std::int64_t end = std::int64_t{i.last[axis]} << i.fraction_bits;
  const std::int64_t first = std::clamp<std::int64_t>(down, 0, end) >> i.fraction_bits;
  // Without fraction bits (nearest), the neighbour is not read.
  const std::int64_t next = i.fraction_bits == 0 ? first : first + 1;
  return {first, std::min<std::int64_t>(next, i.last[axis])};
}

}  // namespace

void check_resize(const InstructionRecord& i) {
  require_narrow(i.a, "a");
  if (i.out.type != i.a.type) {
    refuse(text_of("out: ", name_of(i.out.type)), text_of("the type of a, ", name_of(i.a.type)));
  }
  check_sides(i.a, "a");
  check_sides(i.out, "out");
  require_shape(i.out, "out", i.a.shape[0], i.out.shape[1], i.out.shape[2], i.a.shape[3]);
  if (i.fraction_bits != 0 && i.fraction_bits != kMostFractionBits) {
    refuse(text_of("fraction bits ", i.fraction_bits), text_of("0 or ", kMostFractionBits));
  }
  constexpr auto kSide = static_cast<std::int32_t>(kLargestSide);
  require_range(i.step, "step", 0, kLargestSpan);
  require_range(i.offset, "offset", -kLargestSpan, kLargestSpan);
  require_range(i.divisor, "divisor", 1, kLargestSpan);
  require_range(i.last, "last", 0, kSide - 1);
  require_range(i.origin, "origin", 0, kSide);
  require_range(i.pad, "pad", -kLargestPad, 0);
  for (int axis = 0; axis < 2; ++axis) {
    // Later pixels read later places.
    const std::int64_t first = i.origin[axis], end = first + i.out.shape[1 + axis];
    const std::int64_t lowest = source_of(i, axis, first).first + i.pad[axis];
    const std::int64_t highest = source_of(i, axis, end - 1).last + i.pad[axis];
    if (lowest < 0 || highest >= i.a.shape[1 + axis]) {
      refuse(text_of("it reads ", lowest, "..", highest, " of a in axis ", 1 + axis),
             text_of("0..", i.a.shape[1 + axis] - 1));
    }
  }
}

}  // namespace horizon
