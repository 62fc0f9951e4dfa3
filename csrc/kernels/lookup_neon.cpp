// Lookups with NEON: four tables of 64 bytes; every index is in exactly one of them.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels/lookup_plan.h"

namespace horizon {
namespace {

// One byte of each entry. The table begins with the entry of 0, which is that of the byte 0; those
// of -128..-1 come last.
struct Quarters {
  uint8x16x4_t of[4];

  Quarters(const std::byte* table, std::int64_t step) {
    std::uint8_t bytes[2 * kHalf];
    for (std::int64_t i = 0; i < 2 * kHalf; ++i) {
      bytes[i] = static_cast<std::uint8_t>(table[(i ^ kHalf) * step]);
    }
    for (int i = 0; i < 4; ++i) of[i] = vld1q_u8_x4(bytes + 64 * i);
  }

  uint8x16_t entries(uint8x16_t places) const {
    uint8x16_t found = vqtbl4q_u8(of[0], places);
    for (int i = 1; i < 4; ++i) {
      // A place that is not among the 64 leaves what is there.
      places = vsubq_u8(places, vdupq_n_u8(64));
      found = vqtbx4q_u8(found, of[i], places);
    }
    return found;
  }
};

uint8x16_t load(const std::byte* from) {
  return vld1q_u8(reinterpret_cast<const std::uint8_t*>(from));
}

void store(std::byte* to, uint8x16_t value) {
  vst1q_u8(reinterpret_cast<std::uint8_t*>(to), value);
}

struct Bytes {
  static constexpr std::int64_t kLanes = 16;
  static constexpr bool kMasked = false;
  Quarters all;

  explicit Bytes(const std::byte* table) : all(table, 1) {}

  void look(std::byte* to, const std::byte* from) const { store(to, all.entries(load(from))); }
};

struct Words {
  static constexpr std::int64_t kLanes = 16;
  static constexpr bool kMasked = false;
  Quarters low, high;

  explicit Words(const std::byte* table) : low(table, 2), high(table + 1, 2) {}

  void look(std::byte* to, const std::byte* from) const {
    const uint8x16_t places = load(from);
    const uint8x16_t lower = low.entries(places), upper = high.entries(places);
    store(to, vzip1q_u8(lower, upper));
    store(to + 16, vzip2q_u8(lower, upper));
  }
};

}  // namespace

void neon::lookup(const LookupArgs& args, Part part) { look_up<Bytes, Words>(args, part); }

}  // namespace horizon

#endif
