#include "kernels/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include <cstdint>

namespace horizon {
namespace {

// Bits of XCR0: the registers that the operating system saves.
constexpr std::uint32_t kYmm = 0b110, kZmm = kYmm | 0b1110'0000, kTiles = 3u << 17;

struct Answers {
  std::uint32_t saved = 0;            // XCR0
  std::uint32_t one_c = 0;            // CPUID 1, ECX
  std::uint32_t b = 0, c = 0, d = 0;  // CPUID 7.0
  std::uint32_t more_a = 0;           // CPUID 7.1, EAX
  Answers() {
    constexpr std::uint32_t kOsxsave = 1u << 27;
    std::uint32_t other_a, other_b, other_d, upper;
    if (__get_cpuid(1, &other_a, &other_b, &one_c, &other_d) == 0) return;
    if ((one_c & kOsxsave) != 0) {
      __asm__("xgetbv" : "=a"(saved), "=d"(upper) : "c"(0));
    }
    if (__get_cpuid_count(7, 0, &other_a, &b, &c, &d) == 0) {
      b = c = d = 0;
      return;
    }
    std::uint32_t other_c;
    if (other_a >= 1) __get_cpuid_count(7, 1, &more_a, &other_b, &other_c, &other_d);
  }
};

const Answers& answers() {
  static const Answers found;
  return found;
}

bool has(std::uint32_t word, int bit, std::uint32_t registers) {
  return (word >> bit & 1) != 0 && (answers().saved & registers) == registers;
}

}  // namespace

bool cpu_has_fma() { return has(answers().one_c, 12, kYmm); }
bool cpu_has_avx2() { return has(answers().b, 5, kYmm); }
bool cpu_has_avxvnni() { return has(answers().more_a, 4, kYmm); }
bool cpu_has_avx512f() { return has(answers().b, 16, kZmm); }
bool cpu_has_avx512dq() { return has(answers().b, 17, kZmm); }
bool cpu_has_avx512bw() { return has(answers().b, 30, kZmm); }
bool cpu_has_avx512vl() { return has(answers().b, 31, kZmm); }
bool cpu_has_avx512vnni() { return has(answers().c, 11, kZmm); }
bool cpu_has_amx() { return has(answers().d, 24, kTiles) && has(answers().d, 25, kTiles); }

}  // namespace horizon

#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

bool horizon::cpu_has_dotprod() { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }

#endif
