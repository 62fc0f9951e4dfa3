// How many int8 multiply-accumulates per second the cores can do: VPDPBUSD on registers alone.
//
// As compiled for AVX-512 or for AVX-VNNI. 24 or 12 accumulators, more than latency times
// throughput asks for, and both factors stay in registers; nothing is loaded or stored in the loop.
// They are named one by one because GCC keeps an array of them in memory. benchmarks/peaks.py
// builds this, checks the machine code and calls it.
#include <immintrin.h>

#include "threads.h"

namespace {

// clang-format off
#define TWELVE(DO) \
  DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#ifdef __AVX512F__
#define ACCUMULATORS(DO) \
  TWELVE(DO) \
  DO(12) DO(13) DO(14) DO(15) DO(16) DO(17) DO(18) DO(19) DO(20) DO(21) DO(22) DO(23)
using Vector = __m512i;
constexpr long kMacsPerStep = 24 * 64;
#define SAME_BYTES _mm512_set1_epi8
#define SAME_WORDS _mm512_set1_epi32
#define PRODUCT "vpdpbusd"
#else
#define ACCUMULATORS TWELVE
using Vector = __m256i;
constexpr long kMacsPerStep = 12 * 32;
#define SAME_BYTES _mm256_set1_epi8
#define SAME_WORDS _mm256_set1_epi32
#define PRODUCT "%{vex%} vpdpbusd"
#endif
// clang-format on

#define DECLARE(i) Vector acc##i = SAME_WORDS(i);
#define STEP(i) asm volatile(PRODUCT " %2, %1, %0" : "+v"(acc##i) : "v"(a), "v"(b));

// The assembly counts as an effect of its own: it stays although nobody reads the sums.
__attribute__((noinline)) void steps(long count) {
  const Vector a = SAME_BYTES(3), b = SAME_BYTES(-5);
  ACCUMULATORS(DECLARE)
  for (long i = 0; i < count; ++i) {
    ACCUMULATORS(STEP)
  }
}

}  // namespace

// Seconds by the clock in which `threads` threads do `count` steps each.
extern "C" double peak_seconds(int threads, long count) {
  return seconds_of(threads, [count] { steps(count); });
}

extern "C" long peak_macs_per_step() { return kMacsPerStep; }
