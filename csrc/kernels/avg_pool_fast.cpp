// Average pooling: sums of windows into a line, which is then requantised as by a rescale.
//
// The sum of a window is the sum of its columns' sums; overlapping windows share these. Small
// windows and windows that do not overlap are summed directly. Up to 256 int8 elements are summed
// in 16 bits. If rows have no gaps, vectors run through whole lines, so few channels cost nothing
// extra.
#include "kernels/elements.h"
#include "kernels/parts.h"
#include "kernels/pool_window.h"
#include "kernels/sets.h"
#include "kernels/vectors.h"

namespace horizon {
namespace {

constexpr std::int64_t kElements = 4096;  // of a line, unless one window has more
constexpr std::int64_t kWide = 16;        // channels that are worth vectors of their own
constexpr std::int64_t kInWords = 256;    // elements of int8 whose sum fits 16 bits
constexpr std::int64_t kSplit = 32;       // channels at least that a part has for itself

// out[i] = sum of in[i + row + column] over all rows and columns. In, Sum and Out are as wide or
// wider, in this order; Sum has room for `most` rows.
template <class In, class Sum, class Out>
void add_up(Out* out, const std::byte* in, Taps rows, Taps columns, std::int64_t most,
            std::int64_t elements) {
  constexpr auto kIn = static_cast<std::int64_t>(sizeof(In));
  constexpr auto kOut = static_cast<std::int64_t>(sizeof(Out));
  for_each_vector<Out, 4>(elements * kOut, [=]<int kWidth, int kCount>(std::int64_t at) {
    using I = AsMany<In, Out, kWidth>;
    using A = AsMany<Sum, Out, kWidth>;
    using O = typename VectorOf<Out, kWidth>::type;
    constexpr std::int64_t kLanes = kWidth / kOut;
    const std::byte* row = in + at / kOut * kIn;
    O total[kCount] = {};
    for (std::int64_t r = 0; r < rows.count;) {
      const std::int64_t stop = rows.count - r < most ? rows.count : r + most;
      A sum[kCount] = {};
      for (; r < stop; ++r, row += rows.step) {
        const std::byte* place = row;
        for (std::int64_t c = 0; c < columns.count; ++c, place += columns.step) {
#pragma GCC unroll 4
          for (int i = 0; i < kCount; ++i) {
            const A next = converted<A>(load_as<I>(place + i * kLanes * kIn));
            sum[i] = static_cast<A>(sum[i] + next);
          }
        }
      }
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i) {
        total[i] = static_cast<O>(total[i] + converted<O>(sum[i]));
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) {
      store_as(reinterpret_cast<std::byte*>(out) + at + i * kWidth, total[i]);
    }
  });
}

struct Average {
  const AvgPoolArgs& a;
  std::int64_t channels;
  bool at_once;
  std::int64_t piece;     // output pixels
  std::int64_t elements;  // of the line that its windows reach over

  explicit Average(const AvgPoolArgs& args) : a(args), channels(a.in.shape[3]) {
    const std::int64_t height = a.kernel[0], width = a.kernel[1], step = a.stride[1];
    at_once = channels >= kWide && height * width <= height * step + width + step;
    const std::int64_t reach = at_once ? 1 : width, apart = at_once ? 1 : step;
    piece = (kElements / channels - reach) / apart + 1;
    piece = piece < 1 ? 1 : piece < a.out.shape[2] ? piece : a.out.shape[2];
    elements = ((piece - 1) * apart + reach) * channels;
  }

  // Rows (axis 0) or columns of a window that count.
  std::int64_t counted(std::int64_t place, int axis) const {
    const std::int64_t margin = a.margin[axis], first = place * a.stride[axis] - a.pad[axis];
    const std::int64_t stop = a.in.shape[1 + axis] + margin, last = first + a.kernel[axis];
    return (last < stop ? last : stop) - (first > -margin ? first : -margin);
  }

  const Channel* entry(std::int64_t count) const {
    std::int64_t low = 0, high = a.table_count - 1;
    while (low < high) {
      const std::int64_t middle = (low + high) / 2;
      if (a.table[middle].count < count) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return a.table + low;
  }
};

// Requantises the sums of output pixels x .. end - 1.
void round(const Average& p, std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end,
           std::byte* sums, Type type) {
  const AvgPoolArgs& a = p.a;
  const bool same = a.table_count == 1;
  const std::int64_t rows = same ? 1 : p.counted(y, 0);
  while (x < end) {
    const std::int64_t columns = same ? 1 : p.counted(x, 1);
    std::int64_t stop = same ? end : x + 1;
    while (stop < end && p.counted(stop, 1) == columns) ++stop;
    RescaleArgs part{a.out, {}, p.entry(rows * columns), 1, a.lo, a.hi, false};
    part.out.data = pixel(a.out, n, y, x);
    part.out.shape[0] = part.out.shape[1] = 1;
    part.out.shape[2] = static_cast<std::int32_t>(stop - x);
    part.in = part.out;
    part.in.type = type;
    part.in.data = sums;
    part.in.stride[3] = element_bytes(type);
    part.in.stride[2] = p.channels * part.in.stride[3];
    HORIZON_SET::rescale(part, Part{0, 1, nullptr});
    sums += (stop - x) * part.in.stride[2];
    x = stop;
  }
}

// In, and types that hold the sum of kInWords elements, or of all rows, and that of a window.
template <class In, class Sum, class Out>
struct Adds {
  static void at_once(const Average& p, std::int64_t n, std::int64_t y, std::int64_t x,
                      std::int64_t end, Out* sums) {
    const AvgPoolArgs& a = p.a;
    const Range rows = rows_of(a, y);
    for (; x < end; ++x, sums += p.channels) {
      const std::int64_t left = x * a.stride[1] - a.pad[1];
      const Range columns = within(left, left + a.kernel[1], a.in.shape[2]);
      const Taps across = {columns.end - columns.begin, a.in.stride[2]};
      add_up<In, Sum>(sums, pixel(a.in, n, rows.begin, columns.begin), down(a, rows), across,
                      kInWords / across.count, p.channels);
    }
  }

  // The sums of the columns of output pixels x .. end - 1.
  static void fill_line(const Average& p, std::int64_t n, std::int64_t y, std::int64_t x,
                        std::int64_t end, Sum* line) {
    const AvgPoolArgs& a = p.a;
    const Range rows = rows_of(a, y);
    const Taps of_rows = down(a, rows), one = {1, 0};
    const std::int64_t left = x * a.stride[1] - a.pad[1];
    const std::int64_t right = (end - 1) * a.stride[1] - a.pad[1] + a.kernel[1];
    const auto [first, last] = within(left, right, a.in.shape[2]);
    const auto clear = [&](std::int64_t from, std::int64_t to) {
      Sum* elements = line + (from - left) * p.channels;
      for (std::int64_t i = 0; i < (to - from) * p.channels; ++i) elements[i] = 0;
    };
    clear(left, first);
    clear(last, right);
    const std::byte* in = pixel(a.in, n, rows.begin, first);
    line += (first - left) * p.channels;
    if (a.in.stride[2] == p.channels * a.in.stride[3]) {
      return add_up<In, Sum>(line, in, of_rows, one, kInWords, (last - first) * p.channels);
    }
    for (std::int64_t i = first; i < last; ++i, in += a.in.stride[2], line += p.channels) {
      add_up<In, Sum>(line, in, of_rows, one, kInWords, p.channels);
    }
  }

  // `all` and `line` have room for a line.
  static void by_columns(const Average& p, std::int64_t n, std::int64_t y, std::int64_t x,
                         std::int64_t end, Out* sums, Out* all, Sum* line) {
    const AvgPoolArgs& a = p.a;
    fill_line(p, n, y, x, end, line);
    const Taps across = {a.kernel[1], p.channels * static_cast<std::int64_t>(sizeof(Sum))};
    const Taps one = {1, 0};
    const std::int64_t most = kInWords / a.kernel[0], step = a.stride[1] * p.channels;
    const auto add = [&](Out* out, const Sum* from, std::int64_t elements) {
      add_up<Sum, Sum>(out, reinterpret_cast<const std::byte*>(from), across, one, most, elements);
    };
    if (a.stride[1] == 1) return add(sums, line, (end - x) * p.channels);
    if (p.channels >= kWide) {
      for (; x < end; ++x, sums += p.channels, line += step) add(sums, line, p.channels);
      return;
    }
    // Of all columns, one after the other, every stride-th.
    add(all, line, (end - x - 1) * step + p.channels);
    for (; x < end; ++x, sums += p.channels, all += step) {
      for (std::int64_t c = 0; c < p.channels; ++c) sums[c] = all[c];
    }
  }

  static void run(const AvgPoolArgs& args, const Part& part) {
    constexpr Type kType = sizeof(Out) == 2 ? Type::int16 : Type::int32;
    const Average p(args);
    auto* const sums = reinterpret_cast<Out*>(part.scratch);
    auto* const all = sums + p.piece * p.channels;
    auto* const line = reinterpret_cast<Sum*>(all + p.elements);
    for_each_run(args.out, part,
                 [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
                   for (; x < end; x += p.piece) {
                     const std::int64_t last = x + p.piece < end ? x + p.piece : end;
                     if (p.at_once) {
                       at_once(p, n, y, x, last, sums);
                     } else {
                       by_columns(p, n, y, x, last, sums, all, line);
                     }
                     round(p, n, y, x, last, part.scratch, kType);
                   }
                 });
  }
};

void average(const AvgPoolArgs& args, const Part& part) {
  if (args.in.type == Type::int16) {
    Adds<std::int16_t, std::int32_t, std::int32_t>::run(args, part);
  } else if (std::int64_t{args.kernel[0]} * args.kernel[1] <= kInWords) {
    Adds<std::int8_t, std::int16_t, std::int16_t>::run(args, part);
  } else {
    Adds<std::int8_t, std::int16_t, std::int32_t>::run(args, part);
  }
}

// The channels that belong to `part`, for outputs with fewer pixels than parts.
AvgPoolArgs own_channels(const AvgPoolArgs& args, const Part& part) {
  AvgPoolArgs own = args;
  const std::int64_t channels = args.out.shape[3];
  const Range groups = share((channels + kSplit - 1) / kSplit, part);
  const std::int64_t begin = groups.begin * kSplit, end = groups.end * kSplit;
  const auto count = static_cast<std::int32_t>((end < channels ? end : channels) - begin);
  for (Tensor* tensor : {&own.out, &own.in}) {
    tensor->data += begin * tensor->stride[3];
    tensor->shape[3] = count;
  }
  return own;
}

}  // namespace

std::size_t HORIZON_SET::avg_pool_scratch(const AvgPoolArgs& args) {
  // No fewer than those of some of the channels.
  const std::int64_t channels = args.in.shape[3], window = args.kernel[1] * channels;
  const std::int64_t line = window > kElements ? window : kElements;
  const std::int64_t sums = channels > kElements ? channels : kElements;
  return static_cast<std::size_t>(sums + 2 * line) * sizeof(std::int32_t);
}

void HORIZON_SET::avg_pool(const AvgPoolArgs& args, Part part) {
  if (pixels_of(args.out) >= part.count || args.out.shape[3] <= kSplit) return average(args, part);
  const AvgPoolArgs own = own_channels(args, part);
  if (own.out.shape[3] > 0) average(own, Part{0, 1, part.scratch});
}

}  // namespace horizon
