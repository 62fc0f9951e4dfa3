// The code that lookups of all instruction sets share: vectors of elements.
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include "kernels/elements.h"
#include "kernels/parts.h"
#include "kernels/sets.h"

namespace horizon {
namespace {

constexpr std::int64_t kHalf = 128;  // entries below that of the integer 0

// Looks up contiguous elements. A Table has kLanes and look(to, from) for that many elements and,
// if kMasked, look(to, from, lanes) for fewer.
template <class Table, class T>
void look_up_run(const Table& table, const T* entries, std::byte* to, const std::byte* from,
                 std::int64_t count) {
  constexpr std::int64_t kLanes = Table::kLanes, kBytes = sizeof(T);
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) table.look(to + i * kBytes, from + i);
  if (i == count) return;
  if constexpr (Table::kMasked) {
    table.look(to + i * kBytes, from + i, count - i);
  } else if (count >= kLanes) {
    table.look(to + (count - kLanes) * kBytes, from + count - kLanes);
  } else {
    const auto* in = reinterpret_cast<const std::int8_t*>(from);
    for (auto* out = reinterpret_cast<T*>(to); i < count; ++i) out[i] = entries[in[i] + kHalf];
  }
}

// Whole rows at once if neither operand has gaps between its pixels; else pixel by pixel.
template <class Table, class T>
void look_up_rows(const LookupArgs& args, const Part& part) {
  const auto* entries = reinterpret_cast<const T*>(args.table);
  const Table table(args.table);
  const std::int64_t channels = args.out.shape[3];
  const bool joined = args.in.stride[2] == channels &&
                      args.out.stride[2] == channels * static_cast<std::int64_t>(sizeof(T));
  for_each_run(args.out, part,
               [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
                 const std::int64_t pixels = joined ? end - x : 1;
                 for (; x < end; x += pixels) {
                   look_up_run(table, entries, pixel(args.out, n, y, x), pixel(args.in, n, y, x),
                               pixels * channels);
                 }
               });
}

// The operator with an instruction set's tables for int8 and int16.
template <class Bytes, class Words>
void look_up(const LookupArgs& args, const Part& part) {
  if (args.out.type == Type::int8) return look_up_rows<Bytes, std::int8_t>(args, part);
  look_up_rows<Words, std::int16_t>(args, part);
}

}  // namespace
}  // namespace horizon
