// The driver of a convolution: the loop over phases, images and rows, and the packed rows. It is
// for instruction sets that have no driver of their own.
//
// Set(args, scratch) computes rows from packed ones:
//   kOutputs                    outputs that one unit of work computes at least
//   scratch_bytes(args)         for its constants, at the start of the scratch
//   pixel_bytes(args)           of a packed pixel
//   pack(from, pixels, to)      pixels of the input, one after the other
//   row(phase, row, first, last)  units first .. last - 1 of kOutputs outputs of one output row
//   flush()                     where a set puts work off: the rest of it, at the end
//   note_bytes(args), note(packed, pixels, notes)
//                               where a set takes notes of packed rows
//   kOutside                    where a packed zero is not 0: its byte
// Packed columns outside the input are zeros, as are the 64 bytes after the last column.
#pragma once

#include "kernels/conv_plan.h"
#include "kernels/parts.h"

namespace horizon {
namespace {

constexpr int kMaxTaps = 64;  // rows of a kernel

// One output row of a phase for one image.
struct ConvRow {
  const std::byte* packed[kMaxTaps];  // the rows of its taps, at column x.lowest()
  const std::byte* notes[kMaxTaps];   // of these rows
  std::byte* out;                     // output pixel x.out_first
  const std::byte* residual;          // null where there is none
};

template <class Set>
constexpr bool kTakesNotes = requires(const ConvArgs& a) {
  Set::note_bytes(a);
};

// The byte of a packed zero.
template <class Set>
constexpr int packed_zero() {
  if constexpr (requires { Set::kOutside; }) {
    return Set::kOutside;
  } else {
    return 0;
  }
}

// Of a packed row without its notes, which come after it.
template <class Set>
std::int64_t packed_row_bytes(const ConvArgs& a) {
  std::int64_t longest = 0;
  for (std::int32_t i = 0; i < phase_count(a); ++i) {
    const std::int64_t span = make_phase(a, i).x.span();
    if (span > longest) longest = span;
  }
  // Kernels may read a vector from the last element on, and from where the row ends.
  return round_up(longest * Set::pixel_bytes(a) + 64, 64);
}

template <class Set>
std::int64_t noted_row_bytes(const ConvArgs& a) {
  std::int64_t bytes = packed_row_bytes<Set>(a);
  if constexpr (kTakesNotes<Set>) bytes += Set::note_bytes(a);
  return bytes;
}

template <class Set>
std::size_t convolution_scratch(const ConvArgs& a) {
  return static_cast<std::size_t>(round_up(Set::scratch_bytes(a), 64) +
                                  a.kernel[0] * noted_row_bytes<Set>(a));
}

// Packs columns lowest .. lowest + span - 1 of an input row.
template <class Set>
void pack_input_row(const ConvArgs& a, const Set& set, const Axis& x, std::int32_t image,
                    std::int32_t y, std::byte* to) {
  const std::int64_t span = x.span(), lowest = x.lowest(), width = a.in.shape[2];
  const std::int64_t bytes = Set::pixel_bytes(a);
  std::int64_t begin = lowest < 0 ? -lowest : 0;                     // first packed column inside
  std::int64_t end = width - lowest < span ? width - lowest : span;  // one past the last
  if (y < 0 || y >= a.in.shape[1] || begin >= end) begin = end = span;
  constexpr int kZero = packed_zero<Set>();
  __builtin_memset(to, kZero, static_cast<std::size_t>(begin * bytes));
  __builtin_memset(to + end * bytes, kZero, static_cast<std::size_t>((span - end) * bytes + 64));
  if (begin == end) return;
  set.pack(pixel(a.in, image, y, lowest + begin), end - begin, to + begin * bytes);
}

template <class Set>
void convolve(const ConvArgs& a, const Part& part) {
  const std::int64_t groups = (a.out.shape[3] + Set::kOutputs - 1) / Set::kOutputs;
  const std::int64_t images = a.in.shape[0], row_bytes = noted_row_bytes<Set>(a);
  const std::int64_t notes_at = packed_row_bytes<Set>(a);
  std::byte* rows = part.scratch + round_up(Set::scratch_bytes(a), 64);
  std::int64_t units = 0;
  for (std::int32_t i = 0; i < phase_count(a); ++i) units += make_phase(a, i).y.count;
  const Range mine = share(units * images * groups, part);
  if (mine.begin == mine.end) return;
  Set set(a, part.scratch);
  std::int64_t unit = 0;  // of the row that comes next
  for (std::int32_t index = 0; index < phase_count(a); ++index) {
    const Phase phase = make_phase(a, index);
    for (std::int32_t image = 0; image < images; ++image) {
      RowCache<kMaxTaps> cache;
      cache.clear(phase.y.taps);
      for (std::int32_t j = 0; j < phase.y.count; ++j, unit += groups) {
        const std::int64_t first = mine.begin > unit ? mine.begin - unit : 0;
        const std::int64_t last = mine.end < unit + groups ? mine.end - unit : groups;
        if (first >= last || phase.x.count == 0) continue;
        ConvRow row;
        const std::int32_t top = phase.y.in_first + j * phase.y.in_step;
        for (std::int32_t k = 0; k < phase.y.taps; ++k) {
          bool fresh;
          const std::int32_t y = top + k * phase.y.tap_step;
          std::byte* packed = rows + cache.find(y, top, phase.y.tap_step, fresh) * row_bytes;
          if (fresh) {
            pack_input_row(a, set, phase.x, image, y, packed);
            if constexpr (kTakesNotes<Set>) set.note(packed, phase.x.span(), packed + notes_at);
          }
          row.packed[k] = packed;
          row.notes[k] = packed + notes_at;
        }
        const std::int64_t y = phase.y.out_first + std::int64_t{j} * phase.y.out_step;
        row.out = pixel(a.out, image, y, phase.x.out_first);
        row.residual =
            a.residual.data == nullptr ? nullptr : pixel(a.residual, image, y, phase.x.out_first);
        set.row(phase, row, first, last);
      }
    }
  }
  if constexpr (requires { set.flush(); }) set.flush();
}

// Runs of packed rows whose weights are contiguous: all taps of a kernel row at once, unless the
// convolution is dilated or transposed.
struct Stretches {
  const ConvArgs& a;
  const Phase& phase;
  const ConvRow& row;
  std::int64_t offset;       // where the first output pixel begins
  std::int64_t pixel_bytes;  // packed
  std::int32_t per_row;
  std::int64_t length;  // steps

  // From output pixel `column` on; `groups` are the steps of one tap.
  Stretches(const ConvArgs& args, const Phase& p, const ConvRow& r, std::int64_t column,
            std::int64_t bytes, std::int64_t groups)
      : a(args), phase(p), row(r), pixel_bytes(bytes) {
    const bool joined = p.x.tap_step == 1 && p.x.kernel_step == 1 && p.x.taps > 0;
    offset = (p.x.in_first - p.x.lowest() + column * p.x.in_step) * bytes;
    per_row = joined ? 1 : p.x.taps;
    length = joined ? groups * p.x.taps : groups;
  }

  // The place of the first weight's tap in the kernel.
  std::int64_t tap(std::int32_t ky, std::int32_t kx) const {
    return std::int64_t{phase.y.kernel_first + ky * phase.y.kernel_step} * a.kernel[1] +
           phase.x.kernel_first + kx * phase.x.kernel_step;
  }
  const std::byte* input(std::int32_t ky, std::int32_t kx) const {
    return row.packed[ky] + offset + std::int64_t{kx} * phase.x.tap_step * pixel_bytes;
  }
};

}  // namespace
}  // namespace horizon
