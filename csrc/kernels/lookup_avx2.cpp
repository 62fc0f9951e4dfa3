// Lookups with AVX2: sixteen shuffles of 16 entries each; the upper bits choose between the
// results.
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/lookup_plan.h"

namespace horizon {
namespace {

// One byte of each entry. The table begins with the entry of 0, which is that of the byte 0; those
// of -128..-1 come last.
struct Halves {
  alignas(32) std::uint8_t of[2 * kHalf];

  Halves(const std::byte* table, std::int64_t step) {
    for (std::int64_t i = 0; i < 2 * kHalf; ++i) {
      of[i] = static_cast<std::uint8_t>(table[(i ^ kHalf) * step]);
    }
  }

  __m256i entries(__m256i bytes) const {
    const __m256i place = _mm256_and_si256(bytes, _mm256_set1_epi8(15));
    __m256i found[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      const auto* part = reinterpret_cast<const __m128i*>(of + 16 * i);
      found[i] = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_load_si128(part)), place);
    }
    // Bits 4, 5, 6 and 7, each moved to where a blend looks: the top of its byte.
#pragma GCC unroll 4
    for (int bit = 4, count = 8; bit < 8; ++bit, count /= 2) {
      const __m256i chosen = _mm256_slli_epi16(bytes, 7 - bit);
#pragma GCC unroll 8
      for (int i = 0; i < count; ++i) {
        found[i] = _mm256_blendv_epi8(found[2 * i], found[2 * i + 1], chosen);
      }
    }
    return found[0];
  }
};

__m256i load(const std::byte* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

void store(std::byte* to, __m256i value) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), value);
}

struct Bytes {
  static constexpr std::int64_t kLanes = 32;
  static constexpr bool kMasked = false;
  Halves all;

  explicit Bytes(const std::byte* table) : all(table, 1) {}

  void look(std::byte* to, const std::byte* from) const { store(to, all.entries(load(from))); }
};

struct Words {
  static constexpr std::int64_t kLanes = 32;
  static constexpr bool kMasked = false;
  Halves low, high;

  explicit Words(const std::byte* table) : low(table, 2), high(table + 1, 2) {}

  void look(std::byte* to, const std::byte* from) const {
    // Quarters 0, 2, 1, 3: unpacking takes the lower quarters of both halves first.
    const __m256i bytes = _mm256_permute4x64_epi64(load(from), 0xd8);
    const __m256i lower = low.entries(bytes), upper = high.entries(bytes);
    store(to, _mm256_unpacklo_epi8(lower, upper));
    store(to + 32, _mm256_unpackhi_epi8(lower, upper));
  }
};

}  // namespace

void avx2::lookup(const LookupArgs& args, Part part) { look_up<Bytes, Words>(args, part); }

}  // namespace horizon

#endif
