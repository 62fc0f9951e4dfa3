// Vectors of 16 bytes, in code that is the same for every instruction set.
//
// Everything is static: files for different instruction sets must not share code.
#pragma once

#include <cstddef>
#include <cstdint>

namespace horizon {
namespace {

using Bytes [[gnu::vector_size(16)]] = std::uint8_t;

inline Bytes load_bytes(const std::byte* from) {
  Bytes value;
  __builtin_memcpy(&value, from, 16);
  return value;
}

inline void store_bytes(std::byte* to, Bytes value) { __builtin_memcpy(to, &value, 16); }

// The bytes of a and b interleaved: of their lower halves, then of their upper halves.
inline Bytes zip_low(Bytes a, Bytes b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
inline Bytes zip_high(Bytes a, Bytes b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                                 31);
}

// The same of groups of four bytes.
using Words [[gnu::vector_size(16)]] = std::uint32_t;
inline Words zip_low(Words a, Words b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
inline Words zip_high(Words a, Words b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }

// Transposes a matrix of kRows x 16 bytes, or of 4 x 4 words, in place; kRows is a power of two.
// Interleaving the lower and upper half of the rows rotates the bits of each element's address
// (row, column) by one place to the left. After as many rotations as a row index has bits, row and
// column have changed places.
template <class Vector, int kRows>
inline void transpose(Vector (&x)[kRows]) {
#pragma GCC unroll 4
  for (int turn = 1; turn < kRows; turn *= 2) {
    Vector y[kRows];
#pragma GCC unroll 8
    for (int i = 0; i < kRows / 2; ++i) {
      y[2 * i] = zip_low(x[i], x[i + kRows / 2]);
      y[2 * i + 1] = zip_high(x[i], x[i + kRows / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) x[i] = y[i];
  }
}

// Stores results [count][16 pixels] as `pixels` pixels of `count` bytes each, `stride` apart.
inline void store_transposed(const std::byte* result, std::int64_t count, std::byte* out,
                             std::int64_t stride, std::int64_t pixels) {
  for (std::int64_t at = 0; at < count; at += 16) {
    // The last 16 overlap the previous ones.
    const std::int64_t first = at + 16 <= count ? at : count >= 16 ? count - 16 : 0;
    const std::int64_t valid = count < 16 ? count : 16;
    Bytes rows[16] = {};
    for (std::int64_t i = 0; i < valid; ++i) rows[i] = load_bytes(result + (first + i) * 16);
    transpose(rows);
    for (std::int64_t p = 0; p < pixels; ++p) {
      if (valid == 16) {
        store_bytes(out + p * stride + first, rows[p]);
      } else {
        __builtin_memcpy(out + p * stride, &rows[p], static_cast<std::size_t>(valid));
      }
    }
  }
}

}  // namespace
}  // namespace horizon
