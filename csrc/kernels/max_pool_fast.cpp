// Max pooling: the maximum of each column of a window, then the maximum over the columns.
//
// The columns of a piece of an output row are kept in a line. Columns outside the input have the
// least value; it is never the result, because every window has an element inside. If rows have no
// gaps, vectors run through whole lines, so few channels cost nothing extra. Small windows whose
// width equals the stride are computed directly.
#include "kernels/elements.h"
#include "kernels/parts.h"
#include "kernels/pool_window.h"
#include "kernels/sets.h"
#include "kernels/vectors.h"

namespace horizon {
namespace {

constexpr std::int64_t kLineBytes = 8192;  // of a piece's columns, unless one window has more
constexpr std::int64_t kWide = 16;         // bytes of a pixel that is worth vectors of its own

// out[i] = the largest in[i + row + column] of all rows and columns, for `bytes` bytes of each of
// kPixels pixels.
template <class T, int kPixels>
inline void largest(std::byte* out, std::int64_t out_step, const std::byte* in,
                    std::int64_t in_step, Taps rows, Taps columns, std::int64_t bytes) {
  for_each_vector<T, 4 / kPixels>(bytes, [=]<int kWidth, int kCount>(std::int64_t at) {
    using V = typename VectorOf<T, kWidth>::type;
    V most[kPixels][kCount];
    const std::byte* row = in + at;
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i) most[p][i] = load_as<V>(row + p * in_step + i * kWidth);
    }
    for (std::int64_t r = 0; r < rows.count; ++r, row += rows.step) {
      const std::byte* place = row;
      for (std::int64_t c = 0; c < columns.count; ++c, place += columns.step) {
#pragma GCC unroll 4
        for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 4
          for (int i = 0; i < kCount; ++i) {
            const V next = load_as<V>(place + p * in_step + i * kWidth);
            most[p][i] = next > most[p][i] ? next : most[p][i];
          }
        }
      }
    }
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i) {
        store_as(out + at + p * out_step + i * kWidth, most[p][i]);
      }
    }
  });
}

// out[i] = the largest in[i + tap] of all taps.
template <class T>
void largest(std::byte* out, const std::byte* in, Taps taps, std::int64_t bytes) {
  for_each_vector<T, 8>(bytes, [=]<int kWidth, int kCount>(std::int64_t at) {
    using V = typename VectorOf<T, kWidth>::type;
    V most[kCount];
    const std::byte* place = in + at;
#pragma GCC unroll 8
    for (int i = 0; i < kCount; ++i) most[i] = load_as<V>(place + i * kWidth);
    for (std::int64_t tap = 1; tap < taps.count; ++tap) {
      place += taps.step;
#pragma GCC unroll 8
      for (int i = 0; i < kCount; ++i) {
        const V next = load_as<V>(place + i * kWidth);
        most[i] = next > most[i] ? next : most[i];
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kCount; ++i) store_as(out + at + i * kWidth, most[i]);
  });
}

// Of `pixels` pixels.
template <class T>
void largest_of_pixels(std::byte* out, std::int64_t out_step, const std::byte* in,
                       std::int64_t in_step, Taps rows, Taps columns, std::int64_t bytes,
                       std::int64_t pixels) {
  for (; pixels >= 4; pixels -= 4, out += 4 * out_step, in += 4 * in_step) {
    largest<T, 4>(out, out_step, in, in_step, rows, columns, bytes);
  }
  for (; pixels > 0; --pixels, out += out_step, in += in_step) {
    largest<T, 1>(out, 0, in, 0, rows, columns, bytes);
  }
}

struct Pool {
  const PoolArgs& a;
  std::int64_t pixel_bytes;
  bool wide, at_once;
  std::int64_t piece;       // output pixels
  std::int64_t line_bytes;  // of its columns

  explicit Pool(const PoolArgs& args) : a(args) {
    const std::int64_t height = a.kernel[0], width = a.kernel[1], step = a.stride[1];
    pixel_bytes = a.in.shape[3] * element_bytes(a.in.type);
    wide = pixel_bytes >= kWide;
    at_once = wide && height * width <= height * step + width + step;
    piece = (kLineBytes / pixel_bytes - width) / step + 1;
    piece = piece < 1 ? 1 : piece < a.out.shape[2] ? piece : a.out.shape[2];
    line_bytes = ((piece - 1) * step + width) * pixel_bytes;
  }

  static bool joined(const Tensor& t) { return t.stride[2] == t.shape[3] * t.stride[3]; }
};

template <class T>
void pool_at_once(const Pool& p, std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
  const PoolArgs& a = p.a;
  const Range rows = rows_of(a, y);
  const std::int64_t width = a.in.shape[2], in_step = a.in.stride[2];
  while (x < end) {
    const std::int64_t left = x * a.stride[1] - a.pad[1], right = left + a.kernel[1];
    const auto [first, last] = within(left, right, width);
    // windows that are wholly inside are taken together
    const std::int64_t inside = first == left && right <= width ? (width - right) / a.stride[1] : 0;
    const std::int64_t pixels = inside + 1 < end - x ? inside + 1 : end - x;
    largest_of_pixels<T>(pixel(a.out, n, y, x), a.out.stride[2], pixel(a.in, n, rows.begin, first),
                         a.stride[1] * in_step, down(a, rows), {last - first, in_step},
                         p.pixel_bytes, pixels);
    x += pixels;
  }
}

// The columns of output pixels x .. end - 1.
template <class T>
void fill_line(const Pool& p, std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end,
               std::byte* line) {
  const PoolArgs& a = p.a;
  const Range rows = rows_of(a, y);
  const Taps of_rows = down(a, rows);
  const std::int64_t left = x * a.stride[1] - a.pad[1];
  const std::int64_t right = (end - 1) * a.stride[1] - a.pad[1] + a.kernel[1];
  const auto [first, last] = within(left, right, a.in.shape[2]);
  const auto fill = [&](std::int64_t from, std::int64_t to) {
    constexpr T kLeast = static_cast<T>(std::uint64_t{1} << (8 * sizeof(T) - 1));
    T* elements = reinterpret_cast<T*>(line) + (from - left) * a.in.shape[3];
    for (std::int64_t i = 0; i < (to - from) * a.in.shape[3]; ++i) elements[i] = kLeast;
  };
  fill(left, first);
  fill(last, right);
  const std::byte* in = pixel(a.in, n, rows.begin, first);
  line += (first - left) * p.pixel_bytes;
  if (Pool::joined(a.in)) return largest<T>(line, in, of_rows, (last - first) * p.pixel_bytes);
  for (std::int64_t i = first; i < last; ++i, in += a.in.stride[2], line += p.pixel_bytes) {
    largest<T>(line, in, of_rows, p.pixel_bytes);
  }
}

template <class T>
void pool_line(const Pool& p, std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end,
               std::byte* line) {
  const PoolArgs& a = p.a;
  fill_line<T>(p, n, y, x, end, line);
  const Taps one = {1, 0}, across = {a.kernel[1], p.pixel_bytes};
  std::byte* out = pixel(a.out, n, y, x);
  if (a.stride[1] == 1 && Pool::joined(a.out)) {
    return largest<T>(out, line, across, (end - x) * p.pixel_bytes);
  }
  const std::int64_t step = a.stride[1] * p.pixel_bytes;
  if (p.wide) {
    return largest_of_pixels<T>(out, a.out.stride[2], line, step, one, across, p.pixel_bytes,
                                end - x);
  }
  // Of all columns, one after the other, every stride-th.
  std::byte* all = line + p.line_bytes;
  largest<T>(all, line, across, (end - x - 1) * step + p.pixel_bytes);
  for (; x < end; ++x, out += a.out.stride[2], all += step) {
    for (std::int64_t c = 0; c < a.out.shape[3]; ++c) {
      reinterpret_cast<T*>(out)[c] = reinterpret_cast<const T*>(all)[c];
    }
  }
}

template <class T>
void pool(const PoolArgs& args, const Part& part) {
  const Pool p(args);
  for_each_run(args.out, part,
               [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t end) {
                 if (p.at_once) return pool_at_once<T>(p, n, y, x, end);
                 for (; x < end; x += p.piece) {
                   const std::int64_t last = x + p.piece < end ? x + p.piece : end;
                   pool_line<T>(p, n, y, x, last, part.scratch);
                 }
               });
}

}  // namespace

std::size_t HORIZON_SET::max_pool_scratch(const PoolArgs& args) {
  return static_cast<std::size_t>(2 * Pool(args).line_bytes);
}

void HORIZON_SET::max_pool(const PoolArgs& args, Part part) {
  switch (args.in.type) {
    case Type::int8:
      return pool<std::int8_t>(args, part);
    case Type::int16:
      return pool<std::int16_t>(args, part);
    default:
      return pool<std::int32_t>(args, part);
  }
}

}  // namespace horizon
