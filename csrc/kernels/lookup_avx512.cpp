// Lookups with AVX-512: permutations of words, two registers at a time. Permutations of bytes would
// need fewer instructions, but not every processor with VNNI has them.
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/lookup_plan.h"

namespace horizon {
namespace {

// Tables begin with the entry of 0, which is that of the byte 0; those of -128..-1 come last.
template <int kRegisters>
struct Registers {
  __m512i of[kRegisters];

  explicit Registers(const std::byte* table) {
    for (int i = 0; i < kRegisters; ++i) {
      of[i] = _mm512_loadu_si512(table + (i + kRegisters / 2) % kRegisters * 64);
    }
  }
};

struct Bytes : Registers<4> {
  static constexpr std::int64_t kLanes = 64;
  static constexpr bool kMasked = true;
  using Registers::Registers;

  // For the byte in each word, the word of the table that holds its entry.
  __m512i words(__m512i bytes) const {
    const __m512i index = _mm512_srli_epi16(bytes, 1);
    return _mm512_mask_blend_epi16(_mm512_test_epi16_mask(bytes, _mm512_set1_epi16(0x80)),
                                   _mm512_permutex2var_epi16(of[0], index, of[1]),
                                   _mm512_permutex2var_epi16(of[2], index, of[3]));
  }

  __m512i entries(__m512i bytes) const {
    const __m512i one = _mm512_set1_epi16(1);
    const __m512i even = _mm512_and_si512(bytes, _mm512_set1_epi16(0xff));
    const __m512i odd = _mm512_srli_epi16(bytes, 8);
    __m512i low = words(even), high = words(odd);
    low = _mm512_mask_srli_epi16(low, _mm512_test_epi16_mask(even, one), low, 8);
    high = _mm512_mask_slli_epi16(high, _mm512_testn_epi16_mask(odd, one), high, 8);
    return _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaa, low, high);
  }

  void look(std::byte* to, const std::byte* from) const {
    _mm512_storeu_si512(to, entries(_mm512_loadu_si512(from)));
  }

  void look(std::byte* to, const std::byte* from, std::int64_t lanes) const {
    const __mmask64 mask = (__mmask64{1} << lanes) - 1;
    _mm512_mask_storeu_epi8(to, mask, entries(_mm512_maskz_loadu_epi8(mask, from)));
  }
};

struct Words : Registers<8> {
  static constexpr std::int64_t kLanes = 32;
  static constexpr bool kMasked = true;
  using Registers::Registers;

  __m512i entries(__m256i bytes) const {
    const __m512i index = _mm512_cvtepu8_epi16(bytes);
    const __mmask32 upper = _mm512_test_epi16_mask(index, _mm512_set1_epi16(0x40));
    const auto half = [&](int i) {
      return _mm512_mask_blend_epi16(upper, _mm512_permutex2var_epi16(of[i], index, of[i + 1]),
                                     _mm512_permutex2var_epi16(of[i + 2], index, of[i + 3]));
    };
    return _mm512_mask_blend_epi16(_mm512_test_epi16_mask(index, _mm512_set1_epi16(0x80)), half(0),
                                   half(4));
  }

  void look(std::byte* to, const std::byte* from) const {
    const auto* bytes = reinterpret_cast<const __m256i*>(from);
    _mm512_storeu_si512(to, entries(_mm256_loadu_si256(bytes)));
  }

  void look(std::byte* to, const std::byte* from, std::int64_t lanes) const {
    const __mmask32 mask = (__mmask32{1} << lanes) - 1;
    _mm512_mask_storeu_epi16(to, mask, entries(_mm256_maskz_loadu_epi8(mask, from)));
  }
};

}  // namespace

void avx512::lookup(const LookupArgs& args, Part part) { look_up<Bytes, Words>(args, part); }

}  // namespace horizon

#endif
