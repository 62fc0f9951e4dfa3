// Resizing.
//
// Nearest: copies of pixels. Bilinear: the two input rows of an output row are added with their
// weights into a line, whose pixels are then added in pairs; only that sum is rounded. Weights are
// divided by the power of two that they share: those of factors 2, 4 and 8 leave sums of int8 that
// fit 16 bits.
#include <type_traits>

#include "kernels/elements.h"
#include "kernels/parts.h"
#include "kernels/sets.h"
#include "kernels/vectors.h"

namespace horizon {
namespace {

constexpr std::int64_t kWide = 16;  // bytes of a pixel that is worth vectors of its own
constexpr int kLanes = 4;           // computed at least, which need as many elements in the line

// The places that outputs first, first + 1, ... of an axis read, in steps of 2^-F pixels.
class Places {
 public:
  Places(const ResizeArgs& a, int axis, std::int64_t first)
      : divisor_(a.divisor[axis]),
        highest_(std::int64_t{a.last[axis]} << a.fraction_bits),
        whole_(a.step[axis] / divisor_),
        part_(a.step[axis] % divisor_) {
    const std::int64_t value = a.step[axis] * (a.origin[axis] + first) + a.offset[axis];
    place_ = value / divisor_;
    rest_ = value % divisor_;
    if (rest_ < 0) {
      --place_;
      rest_ += divisor_;
    }
  }

  std::int64_t next() {
    const std::int64_t place = place_ < 0 ? 0 : place_ > highest_ ? highest_ : place_;
    place_ += whole_;
    rest_ += part_;
    if (rest_ >= divisor_) {
      ++place_;
      rest_ -= divisor_;
    }
    return place;
  }

 private:
  std::int64_t divisor_, highest_, whole_, part_, place_, rest_;
};

bool joined(const Tensor& t) { return t.stride[2] == t.shape[3] * t.stride[3]; }

// Two pixels or rows and the weights, 2^bits in all, with which they are added.
struct Pair {
  std::int32_t first, second;
  std::int32_t weight[2];
};

Pair pair_of(std::int64_t place, std::int32_t bits) {
  const std::int64_t first = place >> bits;
  const std::int32_t one = std::int32_t{1} << bits;
  const auto fraction = static_cast<std::int32_t>(place & (one - 1));
  // the last has no next one, and needs none
  const std::int64_t second = fraction == 0 ? first : first + 1;
  return {static_cast<std::int32_t>(first),
          static_cast<std::int32_t>(second),
          {one - fraction, fraction}};
}

template <class T>
void copy_columns(const std::int32_t* columns, std::byte* out, std::int64_t out_step,
                  const std::byte* in, std::int64_t in_step, std::int64_t pixels) {
  for (std::int64_t i = 0; i < pixels; ++i) {
    store_as(out + i * out_step, load_as<T>(in + columns[i] * in_step));
  }
}

void copy_wide(const std::int32_t* columns, std::byte* out, std::int64_t out_step,
               const std::byte* in, std::int64_t in_step, std::int64_t pixels, std::int64_t bytes) {
  for (std::int64_t i = 0; i < pixels; ++i, out += out_step) {
    const std::byte* from = in + columns[i] * in_step;
    for_each_vector<std::uint8_t, 4>(bytes, [=]<int kWidth, int kCount>(std::int64_t at) {
      using V = typename VectorOf<std::uint8_t, kWidth>::type;
#pragma GCC unroll 4
      for (int k = 0; k < kCount; ++k) {
        store_as(out + at + k * kWidth, load_as<V>(from + at + k * kWidth));
      }
    });
  }
}

void nearest(const ResizeArgs& a, const Part& part) {
  auto* columns = reinterpret_cast<std::int32_t*>(part.scratch);  // places in `in`
  Places across(a, 1, 0);
  for (std::int64_t x = 0; x < a.out.shape[2]; ++x) {
    columns[x] = static_cast<std::int32_t>(across.next() + a.pad[1]);
  }
  const std::int64_t bytes = a.out.shape[3] * element_bytes(a.out.type);
  const std::int64_t out_step = a.out.stride[2], in_step = a.in.stride[2];
  const std::byte* done = nullptr;  // the row that was read before, from column 0 on
  const std::byte* copy = nullptr;  // what it became
  for_each_run(a.out, part, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
    const std::int64_t row = Places(a, 0, y).next() + a.pad[0];
    const std::byte* in = pixel(a.in, n, row, 0);
    std::byte* out = pixel(a.out, n, y, x);
    const std::int32_t* own = columns + x;
    if (in == done && joined(a.out)) {
      __builtin_memcpy(out, copy, static_cast<std::size_t>((end - x) * bytes));
      return;
    }
    if (bytes >= kWide) {
      copy_wide(own, out, out_step, in, in_step, end - x, bytes);
    } else if (bytes == 1) {
      copy_columns<std::uint8_t>(own, out, out_step, in, in_step, end - x);
    } else if (bytes == 2) {
      copy_columns<std::uint16_t>(own, out, out_step, in, in_step, end - x);
    } else if (bytes == 4) {
      copy_columns<std::uint32_t>(own, out, out_step, in, in_step, end - x);
    } else if (bytes == 8) {
      copy_columns<std::uint64_t>(own, out, out_step, in, in_step, end - x);
    } else {
      for (std::int64_t b = 0; b < bytes; ++b) {
        copy_columns<std::uint8_t>(own, out + b, out_step, in + b, in_step, end - x);
      }
    }
    done = x == 0 ? in : nullptr;
    copy = out;
  });
}

// line = first * weight + second * weight, of elements of T, as elements of Line.
template <class T, class Line>
void add_rows(std::byte* line, const std::byte* first, const std::byte* second,
              const std::int32_t (&weights)[2], std::int64_t elements) {
  const Line w0 = static_cast<Line>(weights[0]), w1 = static_cast<Line>(weights[1]);
  constexpr auto kRatio = static_cast<std::int64_t>(sizeof(Line) / sizeof(T));
  for_each_vector<Line, 4>(
      elements * static_cast<std::int64_t>(sizeof(Line)),
      [=]<int kWidth, int kCount>(std::int64_t at) {
        using Wide = typename VectorOf<Line, kWidth>::type;
        using Narrow = AsMany<T, Line, kWidth>;
#pragma GCC unroll 4
        for (int k = 0; k < kCount; ++k) {
          const std::int64_t place = at + k * kWidth;
          const Wide a = converted<Wide>(load_as<Narrow>(first + place / kRatio));
          const Wide b = converted<Wide>(load_as<Narrow>(second + place / kRatio));
          store_as(line + place, static_cast<Wide>(a * w0 + b * w1));
        }
      });
}

// Two pixels of the line to an output pixel of `elements` elements.
template <class T, class Line, class Sum>
inline void add_pixels(std::byte* out, const std::byte* first, const std::byte* second, Sum w0,
                       Sum w1, Sum half, Sum shift, std::int64_t elements) {
  constexpr std::int64_t kLine = sizeof(Sum) / sizeof(Line), kOut = sizeof(Sum) / sizeof(T);
  for_each_vector<Sum, 1>(
      elements * static_cast<std::int64_t>(sizeof(Sum)), [=]<int kWidth, int>(std::int64_t at) {
        using Wide = typename VectorOf<Sum, kWidth>::type;
        using Middle = AsMany<Line, Sum, kWidth>;
        using Narrow = AsMany<T, Sum, kWidth>;
        const Wide a = converted<Wide>(load_as<Middle>(first + at / kLine));
        const Wide b = converted<Wide>(load_as<Middle>(second + at / kLine));
        const Wide sum = static_cast<Wide>(a * w0 + b * w1 + half);
        store_as(out + at / kOut, converted<Narrow>(static_cast<Wide>(sum >> shift)));
      });
}

struct Bilinear {
  const ResizeArgs& a;
  Pair* columns;    // of `in`; weights of 2^column_bits
  std::byte* line;  // one row of `in`
  std::int32_t column_bits;

  Bilinear(const ResizeArgs& args, std::byte* scratch)
      : a(args), columns(reinterpret_cast<Pair*>(scratch)), line(scratch + column_bytes(args)) {
    std::int64_t fractions = std::int64_t{1} << a.fraction_bits;
    Places across(a, 1, 0);
    for (std::int64_t x = 0; x < a.out.shape[2]; ++x) {
      columns[x] = pair_of(across.next(), a.fraction_bits);
      fractions |= columns[x].weight[1];
      columns[x].first += a.pad[1];
      columns[x].second += a.pad[1];
    }
    const std::int32_t shared = __builtin_ctzll(static_cast<unsigned long long>(fractions));
    column_bits = a.fraction_bits - shared;
    for (std::int64_t x = 0; x < a.out.shape[2]; ++x) {
      for (std::int32_t& weight : columns[x].weight) weight >>= shared;
    }
  }

  static std::int64_t column_bytes(const ResizeArgs& a) {
    return (a.out.shape[2] * static_cast<std::int64_t>(sizeof(Pair)) + 63) / 64 * 64;
  }
  static std::size_t scratch_bytes(const ResizeArgs& a) {
    const std::int64_t wide = 2 * element_bytes(a.in.type);
    const std::int64_t elements = std::int64_t{a.in.shape[2]} * a.in.shape[3] + kLanes;
    return static_cast<std::size_t>(column_bytes(a) + elements * wide);
  }

  // The rows of output row y; weights of 2^bits.
  Pair rows(std::int64_t y, std::int32_t& bits) const {
    Pair pair = pair_of(Places(a, 0, y).next(), a.fraction_bits);
    pair.first += a.pad[0];
    pair.second += a.pad[0];
    const std::int32_t all = pair.weight[1] | std::int32_t{1} << a.fraction_bits;
    const std::int32_t shared = __builtin_ctz(static_cast<unsigned>(all));
    for (std::int32_t& weight : pair.weight) weight >>= shared;
    bits = a.fraction_bits - shared;
    return pair;
  }
};

// Adds rows y0 and y1 of `in`, columns first .. last, into the line.
template <class T, class Line>
void fill_line(const Bilinear& b, std::int64_t n, const Pair& rows, std::int64_t first,
               std::int64_t last) {
  const Tensor& in = b.a.in;
  const std::int64_t channels = in.shape[3];
  const std::int64_t line_pixel = channels * static_cast<std::int64_t>(sizeof(Line));
  const std::byte* upper = pixel(in, n, rows.first, 0);
  const std::byte* lower = pixel(in, n, rows.second, 0);
  const bool all = joined(in);
  const std::int64_t step = all ? last + 1 - first : 1;
  for (std::int64_t x = first; x <= last; x += step) {
    add_rows<T, Line>(b.line + x * line_pixel, upper + x * in.stride[2], lower + x * in.stride[2],
                      rows.weight, step * channels);
  }
}

// The same for pixels of kChannels elements, fewer than the four lanes that are computed. What the
// others hold means nothing; unsigned numbers may wrap around.
template <class T, class Line, class Sum, int kChannels>
inline void add_few(std::byte* out, const std::byte* first, const std::byte* second, Sum w0, Sum w1,
                    Sum half, Sum shift) {
  constexpr int kWidth = kLanes * static_cast<int>(sizeof(Sum));
  using Signed = typename VectorOf<Sum, kWidth>::type;
  using Number = std::make_unsigned_t<Sum>;
  using Unsigned = typename VectorOf<Number, kWidth>::type;
  const auto load = [](const std::byte* from) {
    return reinterpret_cast<Unsigned>(converted<Signed>(load_as<AsMany<Line, Sum, kWidth>>(from)));
  };
  const Unsigned sum = load(first) * static_cast<Number>(w0) +
                       load(second) * static_cast<Number>(w1) + static_cast<Number>(half);
  const auto narrow = converted<AsMany<T, Sum, kWidth>>(reinterpret_cast<Signed>(sum) >> shift);
  __builtin_memcpy(out, &narrow, kChannels * sizeof(T));
}

// Output pixels from the line; the weights of all four taps are 2^shift together.
template <class T, class Line, class Sum>
void finish_pixels(const Bilinear& b, std::byte* out, std::int64_t x, std::int64_t end,
                   std::int32_t shift) {
  const std::int64_t channels = b.a.out.shape[3], out_step = b.a.out.stride[2];
  const auto half = static_cast<Sum>(std::int64_t{1} << shift >> 1);
  const auto places = static_cast<Sum>(shift);
  const std::int64_t line_pixel = channels * static_cast<std::int64_t>(sizeof(Line));
  const auto for_each_pixel = [&](auto add) {
    for (; x < end; ++x, out += out_step) {
      const Pair& pair = b.columns[x];
      add(out, b.line + pair.first * line_pixel, b.line + pair.second * line_pixel,
          static_cast<Sum>(pair.weight[0]), static_cast<Sum>(pair.weight[1]));
    }
  };
  const auto few = [&]<int kChannels>() {
    for_each_pixel(
        [=](std::byte* to, const std::byte* first, const std::byte* second, Sum w0, Sum w1) {
          add_few<T, Line, Sum, kChannels>(to, first, second, w0, w1, half, places);
        });
  };
  if (channels == 1) return few.template operator()<1>();
  if (channels == 2) return few.template operator()<2>();
  if (channels == 3) return few.template operator()<3>();
  for_each_pixel(
      [=](std::byte* to, const std::byte* first, const std::byte* second, Sum w0, Sum w1) {
        add_pixels<T, Line, Sum>(to, first, second, w0, w1, half, places, channels);
      });
}

template <class T, class Line>
void bilinear(const ResizeArgs& a, const Part& part) {
  const Bilinear b(a, part.scratch);
  for_each_run(a.out, part, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
    std::int32_t row_bits;
    const Pair rows = b.rows(y, row_bits);
    fill_line<T, Line>(b, n, rows, b.columns[x].first, b.columns[end - 1].second);
    const std::int32_t shift = row_bits + b.column_bits;
    std::byte* out = pixel(a.out, n, y, x);
    if constexpr (sizeof(T) == 1) {
      if (shift <= 8) return finish_pixels<T, Line, Line>(b, out, x, end, shift);
    }
    finish_pixels<T, Line, std::int32_t>(b, out, x, end, shift);
  });
}

}  // namespace

std::size_t HORIZON_SET::resize_scratch(const ResizeArgs& args) {
  if (args.fraction_bits != 0) return Bilinear::scratch_bytes(args);
  return static_cast<std::size_t>(args.out.shape[2]) * sizeof(std::int32_t);
}

void HORIZON_SET::resize(const ResizeArgs& args, Part part) {
  if (args.fraction_bits == 0) return nearest(args, part);
  return args.in.type == Type::int8 ? bilinear<std::int8_t, std::int16_t>(args, part)
                                    : bilinear<std::int16_t, std::int32_t>(args, part);
}

}  // namespace horizon
