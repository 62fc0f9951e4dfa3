// The code that all fast correlations share: how rows are packed, kept and visited.
//
// The lanes are pixels. A row is packed as [group of channels][pixel][4 bytes], with four int8 or
// two int16 channels in a group. A vector of a's pixels can then be multiplied by the vector of b's
// pixels that are dx further right, without a sum across lanes. Rows of b are packed once and kept
// for the 2r+1 rows of a that need them. Each vector of b serves up to Set::kRows rows of a.
//
// Besides the members that correlation_tile.h requires, Set has
//   kLanes, kChannels, kRows   pixels of a vector, channels of a group, rows of a at once
//   kOutside                   what bytes of b are xored with when they are packed
//   prepare(...)               the accumulators' first values, where kOutside is not 0
//   pack, store                replace those of CorrelationBytes where faster ways exist
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include "kernels/correlation_tile.h"
#include "kernels/elements.h"
#include "kernels/parts.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

inline std::int64_t padded(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Sizes, and the places in the scratch.
template <class Set>
struct CorrelationPlan {
  std::int64_t side, groups, blocks, a_step, b_step, slots;
  std::int64_t a_row, b_slot, start_row, result_row;
  std::int64_t start_at, b_at, keys_at, results_at, bytes;

  explicit CorrelationPlan(const CorrelationArgs& args) {
    side = 2 * std::int64_t{args.reach} + 1;
    groups = (args.a.shape[3] + Set::kChannels - 1) / Set::kChannels;
    blocks = (args.a.shape[2] + kBlock - 1) / kBlock;
    a_step = blocks * kBlock * 4;
    b_step = padded(((blocks + 1) * kBlock + side - 1) * 4, 64);
    slots = side - 1 + Set::kRows;
    a_row = groups * a_step;
    b_slot = groups * b_step;
    start_row = blocks * kBlock;
    result_row = side * side * kBlock * (args.out.type == Type::int8 ? 1 : 4);
    start_at = Set::kRows * a_row;
    b_at = start_at + padded(Set::kRows * start_row * 4, 64);
    results_at = b_at + slots * b_slot;
    keys_at = results_at + padded(Set::kRows * result_row, 64);
    bytes = keys_at + slots * static_cast<std::int64_t>(sizeof(std::int64_t));
  }
};

// The `side` displacements of one row of b, as many at once as the registers hold.
template <class Set, int R>
void tiles_of_row(const typename Set::Scale& scale, CorrelationTile tile, std::int64_t side) {
  const std::int64_t element = tile.narrow ? 1 : 4;
  const auto take = [&]<int kCount>() {
    for (; side >= kCount; side -= kCount) {
      correlation_tile<Set, R, kCount>(scale, tile);
      tile.b += kCount * 4;
      tile.out += kCount * kBlock * element;
    }
  };
  take.template operator()<9>();
  take.template operator()<7>();
  take.template operator()<5>();
  take.template operator()<3>();
  take.template operator()<1>();
}

// Row `y` of b from column -pad on; everything outside b is 0.
template <class Set>
void pack_b(const CorrelationArgs& args, const CorrelationPlan<Set>& plan, std::int64_t n,
            std::int64_t y, std::byte* to) {
  __builtin_memset(to, Set::kOutside, static_cast<std::size_t>(plan.b_slot));
  if (y < 0 || y >= args.b.shape[1]) return;
  const std::int64_t pad = args.pad[1], columns = plan.blocks * kBlock + plan.side - 1;
  const std::int64_t first = pad > 0 ? 0 : -pad;
  const std::int64_t left = columns - pad < args.b.shape[2] ? columns - pad : args.b.shape[2];
  if (left <= first) return;
  Set::template pack<Set::kOutside>(args.b, pixel(args.b, n, y, first), left - first,
                                    to + (first + pad) * 4, plan.b_step);
}

// One block of `rows` rows: all displacements, then the stores.
template <class Set>
void correlate_block(const CorrelationArgs& args, const CorrelationPlan<Set>& plan,
                     const typename Set::Scale& scale, std::byte* scratch, std::int64_t n,
                     std::int64_t y, std::int64_t rows, std::int64_t block) {
  std::byte* results = scratch + plan.results_at;
  const bool narrow = args.out.type == Type::int8;
  const std::int64_t element = narrow ? 1 : 4;
  const std::int64_t column = block * kBlock;
  for (std::int64_t j = 0; j < rows + plan.side - 1; ++j) {
    const std::int64_t first = j < plan.side ? 0 : j - plan.side + 1;
    const std::int64_t last = j < rows ? j : rows - 1;
    const std::int64_t slot = (y + j) % plan.slots;
    CorrelationTile tile;
    tile.a_row = plan.a_row;
    tile.a_step = plan.a_step;
    tile.b_step = plan.b_step;
    tile.groups = plan.groups;
    tile.start_row = plan.start_row;
    tile.out_row = plan.result_row - plan.side * kBlock * element;
    tile.narrow = narrow;
    for (std::int64_t lane = 0; lane < kBlock; lane += Set::kLanes) {
      tile.a = scratch + first * plan.a_row + (column + lane) * 4;
      tile.b = scratch + plan.b_at + slot * plan.b_slot + (column + lane) * 4;
      tile.start = reinterpret_cast<const std::int32_t*>(scratch + plan.start_at) +
                   first * plan.start_row + column + lane;
      tile.out =
          results + first * plan.result_row + ((j - first) * plan.side * kBlock + lane) * element;
      if constexpr (Set::kRows == 3) {
        if (last - first == 2) tiles_of_row<Set, 3>(scale, tile, plan.side);
        if (last - first == 1) tiles_of_row<Set, 2>(scale, tile, plan.side);
      }
      if (last == first) tiles_of_row<Set, 1>(scale, tile, plan.side);
    }
  }
  const std::int64_t left = args.out.shape[2] - column;
  const std::int64_t pixels = left < kBlock ? left : kBlock;
  for (std::int64_t r = 0; r < rows; ++r) {
    std::byte* out = pixel(args.out, n, y + r, column);
    const std::byte* result = results + r * plan.result_row;
    if (narrow) {
      Set::store(result, plan.side * plan.side, out, args.out.stride[2], pixels);
      continue;
    }
    const auto* values = reinterpret_cast<const std::int32_t*>(result);
    for (std::int64_t p = 0; p < pixels; ++p, out += args.out.stride[2]) {
      for (std::int64_t d = 0; d < plan.side * plan.side; ++d) {
        write_element(out + d * args.out.stride[3], args.out.type, values[d * kBlock + p]);
      }
    }
  }
}

// The blocks of all row groups, shared among the parts.
template <class Set>
void correlate(const CorrelationArgs& args, const Part& part) {
  const CorrelationPlan<Set> plan(args);
  const typename Set::Scale scale(args);
  std::byte* scratch = part.scratch;
  auto* keys = reinterpret_cast<std::int64_t*>(scratch + plan.keys_at);
  for (std::int64_t i = 0; i < plan.slots; ++i) keys[i] = -1;
  const std::int64_t height = args.out.shape[1], width = args.out.shape[2];
  const std::int64_t row_groups = (height + Set::kRows - 1) / Set::kRows;
  const Range range = share(args.out.shape[0] * row_groups * plan.blocks, part);
  for (std::int64_t at = range.begin; at < range.end;) {
    const std::int64_t group = at / plan.blocks, block = at % plan.blocks;
    const std::int64_t n = group / row_groups, y = group % row_groups * Set::kRows;
    const std::int64_t rows = height - y < Set::kRows ? height - y : Set::kRows;
    const std::int64_t left = range.end - at;
    const std::int64_t end = plan.blocks - block < left ? plan.blocks : block + left;
    const std::int64_t first = block * kBlock;
    const std::int64_t last = end * kBlock < width ? end * kBlock : width;
    __builtin_memset(scratch, 0, static_cast<std::size_t>(rows * plan.a_row));
    for (std::int64_t r = 0; r < rows; ++r) {
      std::byte* to = scratch + r * plan.a_row + first * 4;
      Set::template pack<0>(args.a, pixel(args.a, n, y + r, first), last - first, to, plan.a_step);
      if constexpr (Set::kOutside != 0) {
        Set::prepare(
            to, plan.a_step, plan.groups, end - block,
            reinterpret_cast<std::int32_t*>(scratch + plan.start_at) + r * plan.start_row + first);
      }
    }
    for (std::int64_t j = 0; j < rows + plan.side - 1; ++j) {
      const std::int64_t slot = (y + j) % plan.slots;
      const std::int64_t key = n * (height + plan.side) + y + j;
      if (keys[slot] == key) continue;
      keys[slot] = key;
      pack_b(args, plan, n, y + j - args.pad[0], scratch + plan.b_at + slot * plan.b_slot);
    }
    for (std::int64_t i = block; i < end; ++i) {
      correlate_block(args, plan, scale, scratch, n, y, rows, i);
    }
    at += end - block;
  }
}

inline bool fits_correlation(const CorrelationArgs& args) {
  return args.a.type == Type::int8 && args.b.type == Type::int8;
}

template <class Set>
std::size_t correlation_scratch(const CorrelationArgs& args) {
  if (!fits_correlation(args)) return scalar::correlation_scratch(args);
  return static_cast<std::size_t>(CorrelationPlan<Set>(args).bytes);
}

template <template <bool> class Set>
void correlation(const CorrelationArgs& args, const Part& part) {
  if (!fits_correlation(args)) return scalar::correlation(args, part);
  return args.two_slopes ? correlate<Set<true>>(args, part) : correlate<Set<false>>(args, part);
}

}  // namespace
}  // namespace horizon
