// Packed rows of int8 for AVX2 and AVX-VNNI: pixels one after the other, each a multiple of 4
// bytes.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/conv_words_avx2.h"

namespace horizon {
namespace {

// As many pixels of 3 bytes, `offset` added to each, as vectors may be read of; returns how many.
inline std::int64_t pack_triples(const std::byte* from, std::int64_t pixels, std::byte* to,
                                 __m256i offset) {
  const __m256i order = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1));
  std::int64_t x = 0;
  for (; x + 10 <= pixels; x += 8) {  // 28 bytes are read for 24
    const auto load = [=](std::int64_t at) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 3 * x + at));
    };
    const __m256i four = _mm256_shuffle_epi8(_mm256_set_m128i(load(12), load(0)), order);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 4 * x), _mm256_xor_si256(four, offset));
  }
  return x;
}

// Pixels of the input to pixels of `packed` bytes. kOffset, 0 or 128, is added to each byte.
template <int kOffset>
void pack_bytes(const ConvArgs& a, const std::byte* from, std::int64_t pixels, std::byte* to,
                std::int64_t packed) {
  const __m256i offset = _mm256_set1_epi8(static_cast<char>(kOffset));
  const std::int64_t inputs = a.in.shape[3], stride = a.in.stride[2];
  std::int64_t x = inputs == 3 && stride == 3 ? pack_triples(from, pixels, to, offset) : 0;
  const bool joined = inputs == packed && stride == inputs;
  const std::int64_t length = joined ? pixels * inputs : inputs;  // bytes that lie together
  from += x * stride;
  to += x * packed;
  for (; x < (joined ? 1 : pixels); ++x, from += stride, to += packed) {
    std::int64_t c = 0;
    for (; c + 32 <= length; c += 32) {
      const __m256i bytes = _mm256_xor_si256(load_vector(from + c), offset);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + c), bytes);
    }
    for (; c < length; c += 4) {
      std::uint32_t four = 0;
      const std::int64_t left = length - c;
      if (left >= 4) {
        __builtin_memcpy(&four, from + c, 4);
      } else {
        for (std::int64_t i = 0; i < left; ++i) {
          four |= std::to_integer<std::uint32_t>(from[c + i]) << 8 * i;
        }
      }
      four ^= kOffset * 0x01010101u;
      __builtin_memcpy(to + c, &four, 4);
    }
  }
}

}  // namespace
}  // namespace horizon

#endif
