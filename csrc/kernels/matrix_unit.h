// A matrix unit for convolutions: AMX's eight tiles, in plain C++.
//
// A tile has up to 16 rows of up to 64 bytes. Tiles 0 to 3 hold int32 sums, 16 in a row; 4 and 5
// hold int8 inputs; 6 and 7 hold weights, in rows of 16 outputs by 4 inputs. This class has the
// same interface as AmxUnit (matrix_unit_amx.h). The kernel is written once for both, so it can be
// tested bit for bit without AMX. The tiles obey the rules of the real ones: a tile whose shape
// does not fit stops the program, as the CPU's exception would.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace horizon {
namespace {

class PlainUnit {
 public:
  // Shapes of all tiles, which become zero: `rows` pixels, 1 to 16; `depth` bytes of inputs, a
  // multiple of 4 up to 64.
  void configure(std::int32_t rows, std::int32_t depth) {
    require(rows >= 1 && rows <= 16 && depth >= 4 && depth <= 64 && depth % 4 == 0);
    for (int i = 0; i < kTiles; ++i) {
      tiles_[i] = Tile{{}, i < 6 ? rows : depth / 4, i == 4 || i == 5 ? depth : 64};
    }
  }
  void release() {
    for (Tile& tile : tiles_) tile = Tile{};
  }

  template <int kTile>
  void zero() {
    __builtin_memset(shaped<kTile>().row, 0, sizeof(Tile::row));
  }
  // Rows that lie `stride` bytes apart.
  template <int kTile>
  void load(const void* from, std::int64_t stride) {
    Tile& tile = shaped<kTile>();
    for (std::int32_t i = 0; i < tile.rows; ++i) {
      __builtin_memcpy(tile.row[i], static_cast<const std::byte*>(from) + i * stride,
                       static_cast<std::size_t>(tile.bytes));
    }
  }
  template <int kTile>
  void store(void* to, std::int64_t stride) {
    const Tile& tile = shaped<kTile>();
    for (std::int32_t i = 0; i < tile.rows; ++i) {
      __builtin_memcpy(static_cast<std::byte*>(to) + i * stride, tile.row[i],
                       static_cast<std::size_t>(tile.bytes));
    }
  }
  // sums[m][n] += inputs[m][4 k + i] weights[k][4 n + i], modulo 2^32.
  template <int kSums, int kInputs, int kWeights>
  void multiply() {
    Tile& sums = shaped<kSums>();
    const Tile &inputs = shaped<kInputs>(), &weights = shaped<kWeights>();
    require(sums.rows == inputs.rows && inputs.bytes == 4 * weights.rows &&
            sums.bytes == weights.bytes);
    for (std::int32_t m = 0; m < sums.rows; ++m) {
      std::uint32_t row[16];
      __builtin_memcpy(row, sums.row[m], sizeof(row));
      for (std::int32_t k = 0; k < weights.rows; ++k) {
        const std::int8_t* x = inputs.row[m] + 4 * k;
        const std::int8_t* w = weights.row[k];
        for (int n = 0; n < 16; ++n) {
          row[n] += static_cast<std::uint32_t>(x[0] * w[4 * n] + x[1] * w[4 * n + 1] +
                                               x[2] * w[4 * n + 2] + x[3] * w[4 * n + 3]);
        }
      }
      __builtin_memcpy(sums.row[m], row, sizeof(row));
    }
  }

 private:
  static constexpr int kTiles = 8;
  struct Tile {
    alignas(64) std::int8_t row[16][64];
    std::int32_t rows, bytes;
  };

  static void require(bool right) {
    if (!right) std::abort();
  }
  template <int kTile>
  Tile& shaped() {
    static_assert(kTile >= 0 && kTile < kTiles);
    require(tiles_[kTile].rows > 0);
    return tiles_[kTile];
  }

  Tile tiles_[kTiles] = {};
};

}  // namespace
}  // namespace horizon
