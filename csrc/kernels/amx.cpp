#include "kernels/amx.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace horizon {
namespace {

constexpr std::uint32_t kTile = 1u << 24, kInt8 = 1u << 25;     // CPUID 7.0, EDX
constexpr std::uint32_t kOsxsave = 1u << 27;                    // CPUID 1, ECX
constexpr std::uint32_t kTileState = (1u << 17) | (1u << 18);   // XCR0: shapes and contents
constexpr int kRequestPermission = 0x1023, kTileContents = 18;  // of arch_prctl

bool cpu_has_amx() {
  std::uint32_t a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kOsxsave) == 0) return false;
  std::uint32_t kept, upper;
  __asm__("xgetbv" : "=a"(kept), "=d"(upper) : "c"(0));
  if ((kept & kTileState) != kTileState) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kTile) != 0 && (d & kInt8) != 0;
}

}  // namespace

bool amx_permitted() {
  static const bool permitted =
      cpu_has_amx() && syscall(SYS_arch_prctl, kRequestPermission, kTileContents) == 0;
  return permitted;
}

const char* amx_remark() {
  return cpu_has_amx() && !amx_permitted() ? ", AMX refused by the system" : "";
}

}  // namespace horizon

#else

bool horizon::amx_permitted() { return false; }
const char* horizon::amx_remark() { return ""; }

#endif
