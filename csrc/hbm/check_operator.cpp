#include "hbm/check_operator.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <vector>

#include "hbm/check_require.h"
#include "hbm/check_resize.h"
#include "hbm/check_view.h"
#include "hbm/invalid_program.h"
#include "hbm/weight_sums.h"

namespace horizon {
namespace {

void check_limits(const InstructionRecord& i) {
  require_signed(i.out, "out");
  const int bits = 8 * static_cast<int>(size_of(i.out.type));
  const std::int64_t low = -(std::int64_t{1} << (bits - 1)), high = -low - 1;
  if (i.lo < low || i.lo > i.hi || i.hi > high) {
    refuse(text_of("limits ", i.lo, "..", i.hi),
           text_of("lo <= hi in ", low, "..", high, ", the range of ", name_of(i.out.type)));
  }
}

// A multiplier of negative values. Its magnitude is at most `largest`, which is 0 if it is unused.
void check_negative(std::int32_t value, std::int32_t largest, const char* name, std::uint32_t c) {
  if (value < -largest || value > largest) {
    refuse(text_of("channel ", c, ": negative ", name, " ", value),
           largest != 0 ? "-2^24..2^24" : "0, it has no use");
  }
}

void check_table_place(const InstructionRecord& i, std::uint64_t entry_bytes,
                       std::span<const std::byte> constants) {
  const std::uint64_t bytes = i.table_count * entry_bytes;
  if (i.table % sizeof(Channel) != 0 || i.table > constants.size() ||
      bytes > constants.size() - i.table) {
    refuse(text_of("a table of ", bytes, " bytes at ", i.table),
           text_of("a multiple of ", sizeof(Channel), " inside the ", constants.size(),
                   " bytes of constants"));
  }
}

void check_table(const InstructionRecord& i, std::span<const std::byte> constants) {
  const std::uint32_t channels = i.out.shape[3];
  const bool per_channel = i.opcode == Opcode::conv;
  const bool either = i.opcode == Opcode::rescale, average = i.opcode == Opcode::avg_pool;
  if (!average && i.table_count != (per_channel ? channels : 1) &&
      !(either && i.table_count == channels)) {
    refuse(text_of("a table of ", i.table_count, " channels"), per_channel ? text_of(channels)
                                                               : either ? text_of("1 or ", channels)
                                                                        : "1");
  }
  if (i.table_count == 0) refuse("a table of 0 entries", "at least 1");
  check_table_place(i, sizeof(Channel), constants);
  const bool residual = i.opcode == Opcode::add || (per_channel && i.b.space != Space::none);
  for (std::uint32_t c = 0; c < i.table_count; ++c) {
    const Channel channel = channel_of(i, constants, c);
    if (channel.multiplier < 0 || channel.multiplier > kLargestMultiplier) {
      refuse(text_of("channel ", c, ": multiplier ", channel.multiplier), "0..2^24");
    }
    if (channel.residual_multiplier < 0 ||
        channel.residual_multiplier > (residual ? kLargestMultiplier : 0)) {
      refuse(text_of("channel ", c, ": residual multiplier ", channel.residual_multiplier),
             residual ? "0..2^24" : "0, there is no second summand");
    }
    if (channel.shift < 1 || channel.shift > kLargestShift) {
      refuse(text_of("channel ", c, ": shift ", channel.shift), text_of("1..", kLargestShift));
    }
    if (channel.bias != 0 && !per_channel) {
      refuse(text_of("channel ", c, ": bias ", channel.bias), "0, only convolutions have one");
    }
    const std::int32_t negative = i.two_slopes == 1 ? kLargestMultiplier : 0;
    check_negative(channel.negative_multiplier, negative, "multiplier", c);
    check_negative(channel.negative_residual_multiplier, residual ? negative : 0,
                   "residual multiplier", c);
    if (channel.count != 0 && !(average && i.table_count > 1)) {
      refuse(text_of("channel ", c, ": count ", channel.count), "0, it has no use");
    }
    if (channel.zero != 0) {
      refuse(text_of("channel ", c, ": a reserved field that is not 0"), "0");
    }
  }
}

void check_conv(const InstructionRecord& i) {
  require_narrow(i.a, "a");
  check_sides(i.out, "out");
  check_sides(i.a, "a");
  require_range(i.kernel, "kernel", 1, kLargestStep);
  require_range(i.stride, "stride", 1, kLargestStep);
  require_range(i.dilation, "dilation", 1, kLargestStep);
  require_range(i.pad, "pad", -kLargestPad, kLargestPad);
  if (i.transposed != 0 && i.transposed != 1)
    refuse(text_of("transposed ", i.transposed), "0 or 1");
  if (i.transposed == 1) require_range(i.dilation, "dilation, transposed,", 1, 1);
  if (i.weight_layout != WeightLayout::blocked && i.weight_layout != WeightLayout::rows &&
      i.weight_layout != WeightLayout::depthwise) {
    refuse(text_of("weight layout ", static_cast<int>(i.weight_layout)), "0, 1 or 2");
  }
  if (i.weight_layout == WeightLayout::depthwise) {
    if (i.transposed != 0) refuse("depthwise weights, transposed", "not transposed");
    if (i.out.shape[3] != i.a.shape[3]) {
      refuse(text_of("depthwise weights for ", i.a.shape[3], " inputs and ", i.out.shape[3],
                     " outputs"),
             "as many outputs as inputs");
    }
  }
  if (i.weight_layout == WeightLayout::rows) {
    if (i.a.type != Type::int8) {
      refuse(text_of("weights in rows for ", name_of(i.a.type)), "int8, or blocked weights");
    }
    if (i.out.shape[3] > kRowsOutputs) {
      refuse(text_of("weights in rows for ", i.out.shape[3], " outputs"),
             text_of("at most ", kRowsOutputs, ", or blocked weights"));
    }
  }
  if (i.out.shape[0] != i.a.shape[0]) {
    refuse(text_of("out: batch ", i.out.shape[0]), text_of("that of a, ", i.a.shape[0]));
  }
  if (i.b.space != Space::none) {
    check_operand(i.b, "b");
    require_narrow(i.b, "b");
    require_shape(i.b, "b", i.out);
  }
  if (i.weight.space != Space::constant && i.weight.space != Space::sram) {
    refuse(text_of("weight: in ", name_of(i.weight.space)), "constant or sram");
  }
  if (i.weight.type != Type::int8) refuse(text_of("weight: ", name_of(i.weight.type)), "int8");
  require_shape(i.weight, "weight", 1, 1, 1, packed_bytes(weight_shape(i)));
  if (i.weight.stride[3] != 1) refuse(text_of("weight: stride ", i.weight.stride[3]), "1");
  if (i.weight.offset % kAlignment != 0) {
    refuse(text_of("weight: offset ", i.weight.offset), text_of("a multiple of ", kAlignment));
  }
}

void require_type_of_a(const InstructionRecord& i) {
  if (i.out.type != i.a.type) {
    refuse(text_of("out: ", name_of(i.out.type)), text_of("the type of a, ", name_of(i.a.type)));
  }
}

// Maps whose elements are multiplied and summed.
void check_factors(const InstructionRecord& i) {
  check_operand(i.b, "b");
  require_narrow(i.a, "a");
  require_narrow(i.b, "b");
  check_sides(i.a, "a");
  check_sides(i.b, "b");
  check_sides(i.out, "out");
}

// A sum of so many products of an element of `a` and one of `b`.
void check_sum(const InstructionRecord& i, std::uint64_t summands) {
  const std::uint64_t bound = summands * largest_of(i.a.type) * largest_of(i.b.type);
  if (bound >= kAccumulatorLimit) {
    refuse(text_of("an accumulator that can reach ", bound),
           text_of("less than ", kAccumulatorLimit));
  }
}

void check_correlation(const InstructionRecord& i) {
  check_factors(i);
  require_range({i.reach, i.reach}, "reach", 0, kLargestStep);
  require_range(i.pad, "pad", -kLargestPad, kLargestPad);
  const std::uint64_t side = 2 * static_cast<std::uint64_t>(i.reach) + 1;
  require_shape(i.out, "out", i.a.shape[0], i.a.shape[1], i.a.shape[2], side * side);
  require_shape(i.b, "b", i.a.shape[0], i.b.shape[1], i.b.shape[2], i.a.shape[3]);
  check_sum(i, i.a.shape[3]);
}

void check_warp(const InstructionRecord& i) {
  check_operand(i.b, "b");
  require_narrow(i.a, "a");
  require_type_of_a(i);
  if (i.b.type != Type::int16) refuse(text_of("b: ", name_of(i.b.type)), "int16");
  check_sides(i.a, "a");
  check_sides(i.out, "out");
  const std::uint32_t height = i.a.shape[1], width = i.a.shape[2];
  require_shape(i.out, "out", i.a.shape[0], i.out.shape[1], i.out.shape[2], i.a.shape[3]);
  require_shape(i.b, "b", i.out.shape[0], i.out.shape[1], i.out.shape[2], 2);
  // Fixed point, "warp": clamp(15 - ceil(log2(max(H, W) + 1)), 0, 8).
  const int bits = std::clamp(15 - static_cast<int>(std::bit_width(std::max(height, width))), 0,
                              kMostFractionBits);
  if (i.fraction_bits != bits) {
    refuse(text_of("fraction bits ", i.fraction_bits),
           text_of(bits, " for a map of ", height, "x", width));
  }
  for (int axis = 0; axis < 2; ++axis) {
    const std::int64_t first = i.origin[axis];
    if (first < 0 || first + i.out.shape[1 + axis] > i.a.shape[1 + axis]) {
      refuse(text_of("origin ", first, ", out ", shape_of(i.out)),
             text_of("an output inside the map of ", height, "x", width));
    }
  }
}

void check_elementwise(const InstructionRecord& i) {
  require_signed(i.a, "a");
  require_shape(i.a, "a", i.out);
  if (i.opcode == Opcode::add) {
    check_operand(i.b, "b");
    require_signed(i.b, "b");
    require_shape(i.b, "b", i.out);
  }
}

// The table's bytes are inside the constants. Any entry is a valid value of the output's type.
void check_lookup(const InstructionRecord& i, std::span<const std::byte> constants) {
  if (i.a.type != Type::int8) refuse(text_of("a: ", name_of(i.a.type)), "int8");
  require_narrow(i.out, "out");
  require_shape(i.a, "a", i.out);
  if (i.table_count != kLookupEntries) {
    refuse(text_of("a table of ", i.table_count, " entries"), text_of(kLookupEntries));
  }
  check_table_place(i, static_cast<std::uint64_t>(size_of(i.out.type)), constants);
}

void check_mul(const InstructionRecord& i) {
  check_operand(i.b, "b");
  require_narrow(i.a, "a");
  require_narrow(i.b, "b");
  require_shape(i.a, "a", i.out);
  for (int axis = 0; axis < 4; ++axis) {
    if (i.b.shape[axis] != 1 && i.b.shape[axis] != i.out.shape[axis]) {
      refuse(text_of("b: shape ", shape_of(i.b)),
             text_of("sides of 1 or those of out, ", shape_of(i.out)));
    }
  }
}

void check_matmul(const InstructionRecord& i) {
  check_factors(i);
  require_range({i.transposed, i.transposed}, "transposed", 0, 1);
  require_shape(i.out, "out", i.a.shape[0], i.a.shape[1], i.a.shape[2], i.out.shape[3]);
  require_shape(i.b, "b", i.a.shape[0], i.b.shape[1], i.b.shape[2],
                i.transposed != 0 ? i.a.shape[3] : i.out.shape[3]);
  const std::uint64_t pixels = std::uint64_t{i.b.shape[1]} * i.b.shape[2];
  const std::uint64_t channels = i.transposed != 0 ? i.out.shape[3] : i.a.shape[3];
  const std::uint64_t groups = channels / pixels;
  if (groups * pixels != channels || groups == 0 || i.b.shape[3] % groups != 0) {
    refuse(text_of(channels, " channels of ", i.transposed != 0 ? "out" : "a", " for b of ",
                   shape_of(i.b)),
           text_of(pixels, " for each of some equal groups of b's channels"));
  }
  check_sum(i, i.a.shape[3] / groups);
}

void check_transpose(const InstructionRecord& i) {
  require_signed(i.a, "a");
  require_type_of_a(i);
  check_sides(i.a, "a");
  check_sides(i.out, "out");
  const std::uint64_t pixels = std::uint64_t{i.a.shape[1]} * i.a.shape[2];
  const std::uint64_t made = std::uint64_t{i.out.shape[1]} * i.out.shape[2];
  const std::uint64_t groups = i.out.shape[3] / pixels;
  if (i.out.shape[0] != i.a.shape[0] || groups == 0 || groups * pixels != i.out.shape[3] ||
      i.a.shape[3] % groups != 0 || i.a.shape[3] / groups != made) {
    refuse(text_of("out of ", shape_of(i.out), " for a of ", shape_of(i.a)),
           text_of("one batch, ", pixels, " channels of out and ", made,
                   " of a for each of equal groups"));
  }
}

// Every window of a pooling has an element of `a`.
void check_windows(const InstructionRecord& i) {
  check_sides(i.a, "a");
  check_sides(i.out, "out");
  require_shape(i.out, "out", i.a.shape[0], i.out.shape[1], i.out.shape[2], i.a.shape[3]);
  require_range(i.kernel, "kernel", 1, kLargestStep);
  require_range(i.stride, "stride", 1, kLargestStep);
  require_range(i.pad, "pad", -kLargestPad, kLargestPad);
  for (int axis = 0; axis < 2; ++axis) {
    // Later windows begin later, so it is enough to check that the first one does not end before
    // the map and the last one does not begin behind it.
    const std::int64_t first_end = std::int64_t{i.kernel[axis]} - i.pad[axis];
    const std::int64_t last_begin =
        (std::int64_t{i.out.shape[1 + axis]} - 1) * i.stride[axis] - i.pad[axis];
    if (first_end <= 0 || last_begin >= i.a.shape[1 + axis]) {
      refuse(text_of("a window without an element of a in axis ", 1 + axis),
             "at least one in each window");
    }
  }
}

void check_max_pool(const InstructionRecord& i) {
  require_signed(i.a, "a");
  require_type_of_a(i);
  check_windows(i);
}

void check_avg_pool(const InstructionRecord& i) {
  require_narrow(i.a, "a");
  check_windows(i);
  require_range(i.margin, "margin", 0, kLargestStep);
  std::uint64_t bound = largest_of(i.a.type);
  for (int axis = 0; axis < 2; ++axis) {
    bound *= std::min(static_cast<std::uint32_t>(i.kernel[axis]), i.a.shape[1 + axis]);
  }
  if (bound >= kAccumulatorLimit) {
    refuse(text_of("a sum that can reach ", bound), text_of("less than ", kAccumulatorLimit));
  }
}

// found[n]: whether a window has n rows (axis 0) or columns (axis 1) in `a` and its margin.
std::vector<bool> window_sides(const InstructionRecord& i, int axis) {
  std::vector<bool> found(static_cast<std::size_t>(i.kernel[axis]) + 1);
  const std::int64_t margin = i.margin[axis], end = i.a.shape[1 + axis] + margin;
  for (std::int64_t place = 0; place < i.out.shape[1 + axis]; ++place) {
    const std::int64_t first = place * i.stride[axis] - i.pad[axis];
    const std::int64_t last = std::min(first + i.kernel[axis], end);
    found[static_cast<std::size_t>(last - std::max(first, -margin))] = true;
  }
  return found;
}

// Either one entry serves all windows, or each number of elements has an entry of its own.
void check_counts(const InstructionRecord& i, std::span<const std::byte> constants) {
  if (i.table_count == 1) return require_range(i.margin, "margin with one entry", 0, 0);
  std::vector<std::int32_t> counts;
  for (std::uint32_t c = 0; c < i.table_count; ++c) {
    const std::int32_t count = channel_of(i, constants, c).count;
    const std::int32_t least = counts.empty() ? 1 : counts.back() + 1;
    if (count < least || count > kLargestStep * kLargestStep) {
      refuse(text_of("entry ", c, ": count ", count),
             text_of(least, "..", kLargestStep * kLargestStep, ", ascending"));
    }
    counts.push_back(count);
  }
  const std::vector<bool> rows = window_sides(i, 0), columns = window_sides(i, 1);
  for (std::size_t height = 1; height < rows.size(); ++height) {
    for (std::size_t width = 1; rows[height] && width < columns.size(); ++width) {
      const auto count = static_cast<std::int32_t>(height * width);
      if (columns[width] && !std::binary_search(counts.begin(), counts.end(), count)) {
        refuse(text_of("a window of ", height, "x", width, " elements"),
               text_of("an entry of the table for ", count));
      }
    }
  }
}

}  // namespace

void check_operator(const InstructionRecord& i, std::span<const std::byte> constants) {
  check_operand(i.out, "out");
  check_operand(i.a, "a");
  if (i.opcode == Opcode::conv) {
    check_conv(i);
  } else if (i.opcode == Opcode::correlation) {
    check_correlation(i);
  } else if (i.opcode == Opcode::warp) {
    check_warp(i);
  } else if (i.opcode == Opcode::mul) {
    check_mul(i);
  } else if (i.opcode == Opcode::matmul) {
    check_matmul(i);
  } else if (i.opcode == Opcode::transpose) {
    return check_transpose(i);  // neither limits nor a table
  } else if (i.opcode == Opcode::max_pool) {
    return check_max_pool(i);  // neither limits nor a table
  } else if (i.opcode == Opcode::avg_pool) {
    check_avg_pool(i);
  } else if (i.opcode == Opcode::resize) {
    return check_resize(i);
  } else if (i.opcode == Opcode::lookup) {
    return check_lookup(i, constants);
  } else {
    check_elementwise(i);
  }
  if (i.opcode != Opcode::warp) check_limits(i);
  if (i.two_slopes != 0 && i.two_slopes != 1) {
    refuse(text_of("two slopes ", i.two_slopes), "0 or 1");
  }
  check_table(i, constants);
  if (i.opcode == Opcode::avg_pool) check_counts(i, constants);
}

Channel channel_of(const InstructionRecord& i, std::span<const std::byte> constants,
                   std::uint32_t channel) {
  Channel result;
  const std::uint64_t place = i.table + std::uint64_t{channel} * sizeof(Channel);
  std::memcpy(&result, constants.data() + place, sizeof(Channel));
  return result;
}

}  // namespace horizon
