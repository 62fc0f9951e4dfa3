// AMX's tiles as the kernels use them; PlainUnit (matrix_unit.h) says what each function does.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace horizon {
namespace {

struct AmxUnit {
  void configure(std::int32_t rows, std::int32_t depth) const {
    struct alignas(64) {
      std::uint8_t palette, start_row, reserved[14];
      std::uint16_t bytes[16];
      std::uint8_t rows[16];
    } shapes = {};
    static_assert(sizeof(shapes) == 64);
    shapes.palette = 1;
    for (int i = 0; i < 8; ++i) {
      shapes.rows[i] = static_cast<std::uint8_t>(i < 6 ? rows : depth / 4);
      shapes.bytes[i] = static_cast<std::uint16_t>(i == 4 || i == 5 ? depth : 64);
    }
    barrier();
    _tile_loadconfig(&shapes);
  }
  void release() const { _tile_release(); }

  // Compilers want the numbers of tiles as literals.
#define HORIZON_EACH_TILE(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
  template <int kTile>
  void zero() const {
#define HORIZON_ZERO(tile) \
  if constexpr (kTile == tile) _tile_zero(tile);
    HORIZON_EACH_TILE(HORIZON_ZERO)
#undef HORIZON_ZERO
  }
  template <int kTile>
  void load(const void* from, std::int64_t stride) const {
#define HORIZON_LOAD(tile) \
  if constexpr (kTile == tile) _tile_loadd(tile, from, stride);
    barrier();
    HORIZON_EACH_TILE(HORIZON_LOAD)
#undef HORIZON_LOAD
  }
  template <int kTile>
  void store(void* to, std::int64_t stride) const {
#define HORIZON_STORE(tile) \
  if constexpr (kTile == tile) _tile_stored(tile, to, stride);
    HORIZON_EACH_TILE(HORIZON_STORE)
#undef HORIZON_STORE
    barrier();
  }
#undef HORIZON_EACH_TILE
  template <int kSums, int kInputs, int kWeights>
  void multiply() const {
    static_assert(kSums == 2 * (kInputs - 4) + (kWeights - 6));
    if constexpr (kSums == 0) _tile_dpbssd(0, 4, 6);
    if constexpr (kSums == 1) _tile_dpbssd(1, 4, 7);
    if constexpr (kSums == 2) _tile_dpbssd(2, 5, 6);
    if constexpr (kSums == 3) _tile_dpbssd(3, 5, 7);
  }

 private:
  // GCC's tile loads do not tell it that they read memory.
  static void barrier() { __asm__ volatile("" ::: "memory"); }
};

}  // namespace
}  // namespace horizon
